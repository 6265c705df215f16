"""Wants: a file crosses where no path leads to anybody who holds it."""

from random import Random

import pytest

from meshpeer.core.files import wants as wants_module
from meshpeer.core.files.answers import STRANGER_BUDGET
from meshpeer.core.files.wants import PATIENCE_S, QUIET_S
from meshpeer.core.formats.bundle import Bundle
from meshpeer.core.formats.manifest import CHUNK, want_tag
from meshpeer.core.formats.want import SUITE_WANT, Want
from meshpeer.core.sync.account import Kind
from tests.core.mail.carriers import Crash, World

SMALL = b"a small file" * 100


def noise(chunks, seed=0):
    return Random(seed).randbytes(int(chunks * CHUNK))


def wants_in(carrier):
    """The wants that lie in this peer's queue."""
    found = []
    for id, tag, _ in carrier.sync.queue.wants():
        wire = carrier.store.wires([id])[id]
        found.append((tag, Want.parse(Bundle.parse(wire).payload)))
    return found


def bundles_of(carrier):
    return [Bundle.parse(carrier.store.wires([row.id])[row.id]) for row in carrier.held()]


@pytest.mark.parametrize("data", [SMALL, b"", noise(0.5), noise(2.5)], ids=len)
def test_a_file_crosses_the_gap_asked_for_by_somebody_its_publisher_never_meets(data):
    world = World("ann", "ferry", "bob")
    file = world.ann.publishes(data)
    world.bob.fetches(file)
    world.later(PATIENCE_S)
    assert [tag for tag, _ in wants_in(world.bob)] == [want_tag(file)]

    world.meet(world.bob, world.ferry)
    world.meet(world.ferry, world.ann)
    world.meet(world.ann, world.ferry)
    assert not world.ferry.store.held(want_tag(file)), "who carries it holds nothing of it"
    world.meet(world.ferry, world.bob)
    world.later(1.0)
    assert world.bob.content(file) == data

    world.meet(world.bob, world.ferry)
    world.meet(world.ferry, world.ann)
    for carrier in world.carriers:
        assert carrier.held() == [], "want and answers are purged by their receipts"


def asks(world, asker, file):
    asker.fetches(file)
    world.later(PATIENCE_S)


def test_a_want_says_neither_who_asks_nor_for_what():
    world = World("ann", "bob")
    file = world.ann.publishes(SMALL)
    asks(world, world.bob, file)
    (bundle,) = bundles_of(world.bob)
    assert bundle.header.suite == SUITE_WANT
    for secret in (file, world.bob.id, world.bob.sealing.public, world.bob.person.public):
        assert secret not in bundle.wire


def test_what_comes_while_the_want_is_under_way_is_answered_late():
    world = World("ann", "ferry", "bob")
    file = World("else").carriers[0].publishes(SMALL)
    asks(world, world.bob, file)
    world.chain_of_meetings(world.bob, world.ferry, world.ann)
    assert len(world.ann.held()) == 1
    assert world.ann.publishes(SMALL) == file
    world.chain_of_meetings(world.ann, world.ferry, world.bob)
    assert world.bob.content(file) == SMALL


def test_a_stranger_brings_a_want_for_one_mebibyte_and_the_rest_is_asked_for_anew():
    world = World("ann", "ferry", "bob")
    data = noise(9)
    file = world.ann.publishes(data)
    asks(world, world.bob, file)
    budgets = [wants_in(world.bob)[0][1].runs]
    for _ in range(4):
        world.meet(world.bob, world.ferry, Kind.STRANGER)
        world.meet(world.ferry, world.ann, Kind.STRANGER)
        parts = [b for b in bundles_of(world.ann) if b.header.suite != SUITE_WANT]
        assert sum(len(part.payload) for part in parts) < 1.1 * STRANGER_BUDGET
        world.meet(world.ferry, world.bob, Kind.STRANGER)
        world.later(wants_module.AGAIN_S + QUIET_S)
        budgets += [want.runs for _, want in wants_in(world.bob)]
    assert world.bob.content(file) == data
    counted = [sum(count for _, count in runs) for runs in budgets[1:]]
    assert counted == [6, 2], "each asks only for what lacks"


def test_two_holders_bring_different_chunks():
    world = World("ann", "carol", "east", "west", "bob")
    data = noise(7)
    file = world.ann.publishes(data)
    assert world.carol.publishes(data) == file
    asks(world, world.bob, file)
    for ferry, holder in ((world.east, world.ann), (world.west, world.carol)):
        world.meet(world.bob, ferry, Kind.STRANGER)
        world.meet(ferry, holder, Kind.STRANGER)
    world.meet(world.east, world.bob, Kind.STRANGER)
    first = world.bob.files.progress(file).have
    world.meet(world.west, world.bob, Kind.STRANGER)
    assert first == 3 * CHUNK, "the root takes a little of the fourth"
    assert world.bob.files.progress(file).have > first


def test_a_contact_brings_a_want_for_all_of_its_budget():
    world = World("ann", "ferry", "bob")
    data = noise(9)
    file = world.ann.publishes(data)
    asks(world, world.bob, file)
    world.chain_of_meetings(world.bob, world.ferry, world.ann, world.ferry, world.bob)
    assert world.bob.content(file) == data


def test_a_want_whose_lifetime_ended_is_sent_again_with_a_new_key():
    world = World("bob")
    file = World("else").carriers[0].publishes(SMALL)
    asks(world, world.bob, file)
    ((_, first),) = wants_in(world.bob)
    world.later(wants_module.LIFETIME)
    world.later(1.0)
    ((_, second),) = wants_in(world.bob)
    assert first.sealing != second.sealing
    assert len(world.bob.store.wants()) == 1


def test_who_asks_no_more_ends_the_want_everywhere():
    world = World("ferry", "bob")
    file = World("else").carriers[0].publishes(SMALL)
    asks(world, world.bob, file)
    world.meet(world.bob, world.ferry)
    world.bob.files.cancel(file, world.now)
    world.bob.parts.look(file, world.now)
    world.bob.wants.look(file, world.now)
    world.bob.settle()
    world.meet(world.bob, world.ferry)
    assert world.bob.held() == world.ferry.held() == []


def test_answers_that_come_after_all_is_here_get_their_receipts_and_go():
    world = World("ann", "east", "west", "bob")
    file = world.ann.publishes(SMALL)
    asks(world, world.bob, file)
    world.meet(world.bob, world.east)
    world.meet(world.bob, world.west)
    world.meet(world.east, world.ann)
    world.meet(world.west, world.ann)
    world.meet(world.east, world.bob)
    assert world.bob.content(file) == SMALL
    world.crash(world.bob)
    world.meet(world.west, world.bob)
    assert world.west.held() == []


def test_answers_that_are_needed_no_more_go_from_who_gave_and_who_carries_them():
    world = World("ann", "east", "west", "bob")
    file = world.ann.publishes(SMALL)
    asks(world, world.bob, file)
    world.meet(world.bob, world.east)
    world.meet(world.east, world.ann)
    world.meet(world.ann, world.west)
    assert world.ann.held()
    assert world.west.held()
    world.meet(world.east, world.bob)
    assert world.bob.content(file) == SMALL
    world.meet(world.bob, world.ann)
    assert world.ann.held() == []
    world.meet(world.ann, world.west)
    assert world.west.held() == []


def test_a_crash_at_any_commit_of_anybody_only_makes_it_later():
    """Bob asks, a ferry carries, Ann answers; each loses its power before and behind each commit."""
    data = noise(1.5)
    for name in ("ann", "ferry", "bob"):
        for before in (True, False):
            for at in range(1, 40):
                if not crosses(data, name, at, before=before):
                    assert at > 2
                    break


def crosses(data, name, at, *, before):
    world = World("ann", "ferry", "bob")
    file = world.ann.publishes(data)
    carrier = getattr(world, name)
    carrier.crash_at, carrier.before, carrier.commits = at, before, 0

    def live():
        if world.bob.files.progress(file) is None:
            held = world.bob.store.held(want_tag(file))
            if not (held and held.complete):
                world.bob.fetches(file)
        for _ in range(3):
            world.later(wants_module.AGAIN_S + QUIET_S)
            world.chain_of_meetings(world.bob, world.ferry, world.ann, pause=1.0)
            world.chain_of_meetings(world.ann, world.ferry, world.bob, pause=1.0)

    try:
        live()
    except Crash:
        world.crash(carrier)
        live()
    assert world.bob.content(file) == data
    for _ in range(2):
        world.chain_of_meetings(world.bob, world.ferry, world.ann, world.ferry, world.bob)
    for one in world.carriers:
        assert one.held() == [], (name, at, before, one.name)
    return carrier.commits >= at
