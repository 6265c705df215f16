"""Proofs that what came newest and what was held before are of one log."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.chains.asking import SCREEN
from meshpeer.core.chains.events import Forked
from meshpeer.core.chains.joining import JOINS_BURST, PROOF_COST
from meshpeer.core.chains.log import STATE_VERSION, UNPROVED
from meshpeer.core.chains.log import Log as Shape
from meshpeer.core.chains.messages import PREFIX_SIZE, Join, Joined, pack
from meshpeer.core.chains.serve_rate import ServeRate
from meshpeer.core.chains.session import STRIKES
from meshpeer.core.formats.block import HEADER_SIZE, MAX_PATH, check_path, path
from meshpeer.core.formats.cbor import decode, encode
from meshpeer.core.formats.record import Post
from meshpeer.core.sync.allowance import Rate
from meshpeer.core.sync.messages import MAX_BODY
from tests.core.chains.stranger import Stranger, changed
from tests.core.chains.village import Log, Peer, Person, Village

OLD, NEW = 90, 600

on_both_disks = pytest.mark.usefixtures("disk")


def way(log, first, last):
    """The headers of an honest proof."""
    return tuple(log.blocks[n - 1].header for n in path(last, first))


def answer(join, headers):
    return Joined(*join, tuple(headers))


def behind(ann, log):
    """Bob, who holds the oldest blocks, and somebody who offered and gave him the newest."""
    bob = Peer("bob")
    bob.knows(ann)
    bob.take(*log.blocks[:OLD])
    eve = Stranger(bob)
    eve.wants(ann)
    eve.offers(log)
    eve.gives(log, *log.blocks[-SCREEN:])
    return bob, eve


def asked(eve):
    """The one proof that Bob asks for."""
    (join,) = eve.asks(Join)
    return join


def shape(bob, log):
    return bob.chains.book.logs[log.key.public, log.id]


def is_joined(bob, log):
    return not shape(bob, log).unjoined


@pytest.fixture
def log(ann):
    log = Log(ann)
    log.grow(NEW)
    return log


@on_both_disks
def test_who_was_away_long_is_sure_of_the_newest_before_history_came(ann):
    author, bob = Peer("author", ann), Peer("bob")
    bob.knows(ann)
    village = Village()
    for n in range(OLD):
        author.posts(f"{n}")
    village.meet(author, bob)
    for n in range(3_000):
        author.posts(f"later {n}")
    author.commit(0.0)
    village.link(author, bob)
    seen = []  # whether something lacked, and whether it was joined
    while village.step():
        (row,) = bob.chains.book.logs_of(ann.id)
        seen.append((len(row.held) > 1, not row.unjoined))
    assert [one for one, _ in groupby(seen)] == [
        (False, True),
        (True, False),
        (True, True),
        (False, True),
    ]
    assert bob.rows(ann) == author.rows(ann)
    (row,) = bob.chains.book.logs_of(ann.id)
    assert row.proved == ()


@on_both_disks
def test_a_proof_is_asked_for_once_and_outlives_a_restart(ann, log):
    bob, eve = behind(ann, log)
    assert [head.log for head in bob.chains.unjoined(ann.id)] == [log.id]
    join = asked(eve)
    assert join.last > NEW - SCREEN
    assert join.first == OLD
    eve.say(answer(join, way(log, join.first, join.last)))
    assert bob.chains.unjoined(ann.id) == []
    assert eve.asks(Join) == []
    bob.start()
    assert is_joined(bob, log)
    assert len(shape(bob, log).held) == 2


@on_both_disks
def test_a_hole_that_is_filled_needs_no_proof_any_more(ann, log):
    bob, _ = behind(ann, log)
    bob.take(*reversed(log.blocks[OLD : NEW - SCREEN]))
    assert is_joined(bob, log)
    assert shape(bob, log).proved == ()


@on_both_disks
def test_a_link_across_the_hole_needs_no_proof(ann):
    log, bob = Log(ann), Peer("bob")
    log.grow(364)
    bob.knows(ann)
    bob.take(*log.blocks[:121], log.blocks[363])  # the skip link of 364 names 121
    assert is_joined(bob, log)
    assert not is_joined_after_losing(bob, log)


def is_joined_after_losing(bob, log):
    """Whether it is still joined when one end of the link is gone."""
    row = shape(bob, log)
    row.keep(1, 120, row.head, 0)
    row.held.add(300)
    return not row.unjoined


@on_both_disks
def test_a_neighbour_that_has_not_all_on_the_way_says_so_and_is_asked_no_more(ann, log):
    bob, eve = behind(ann, log)
    eve.say(answer(asked(eve), ()))
    eve.gives(log, *log.blocks[-2 * SCREEN : -SCREEN])
    assert eve.asks(Join) == []
    assert not is_joined(bob, log)
    assert eve.end.closed is None


@on_both_disks
def test_who_does_not_answer_is_not_waited_for_for_ever(ann, log):
    bob, eve = behind(ann, log)
    join = asked(eve)
    other = Stranger(bob, "olga")
    other.wants(ann)
    other.offers(log)
    assert other.asks(Join) == []
    bob.chains.link_down(eve.end, 0.0)
    other.work()
    assert asked(other) == join
    other.say(answer(join, way(log, join.first, join.last)))
    assert is_joined(bob, log)


@on_both_disks
def test_who_offers_only_the_newest_is_not_asked_for_a_proof(ann, log):
    bob = Peer("bob")
    bob.knows(ann)
    bob.take(*log.blocks[:OLD])
    eve = Stranger(bob)
    eve.offers(log, first=NEW - 200)
    eve.gives(log, *log.blocks[-SCREEN:])
    assert eve.asks(Join) == []


# -- hostile


def forged(log, join):
    """The headers on the way, and one of them changed after it was signed."""
    headers = list(way(log, join.first, join.last))
    at = len(headers) // 2
    headers[at] = changed(log.blocks[headers[at].sequence - 1], lamport=1).header
    return headers


def of_another_log(log, join):
    other = Log(log.person, id=b"another log here")
    other.grow(join.last)
    headers = way(other, join.first, join.last)
    return [header._replace(log=log.id) for header in headers]


def skipping_the_links(log, join):
    """True headers of true places, but of another branch in between."""
    other = log.branch(join.first + 1)
    other.add(Post("another truth"))
    other.grow(join.last - len(other.blocks))
    headers = list(way(other, join.first, join.last))
    headers[0] = log.blocks[join.last - 1].header
    return headers


@on_both_disks
@pytest.mark.parametrize("lie", [forged, of_another_log, skipping_the_links])
def test_a_false_proof_proves_nothing_freezes_nothing_and_is_held_against_who_sent_it(
    ann, log, lie
):
    bob, eve = behind(ann, log)
    join = asked(eve)
    eve.say(answer(join, lie(log, join)))
    assert not is_joined(bob, log)
    assert not bob.disk.kept_forks
    assert bob.heard(Forked) == []
    assert sum(bob.chains.counters[field] for field in ("path", "signature")) == 1
    assert eve.asks(Join) == []


@on_both_disks
def test_a_true_proof_of_another_history_shows_the_fork(ann, log):
    other = log.branch(OLD // 2)
    other.add(Post("what was written was rewritten"))
    other.grow(NEW - len(other.blocks))
    bob = Peer("bob")
    bob.knows(ann)
    bob.take(*log.blocks[:OLD])
    eve = Stranger(bob)
    eve.offers(other)
    eve.gives(other, *other.blocks[-SCREEN:])
    join = asked(eve)
    eve.say(answer(join, way(other, join.first, join.last)))
    assert len(bob.heard(Forked)) == 1
    assert eve.end.closed is None


@on_both_disks
def test_a_proof_that_nobody_asked_for_is_not_looked_at(ann, log):
    bob, eve = behind(ann, log)
    join = asked(eve)
    unasked = join._replace(first=join.first - 1)
    eve.say(answer(unasked, way(log, unasked.first, unasked.last)))
    assert bob.chains.counters["joined"] == 1
    other = Log(Person("dora"))
    other.grow(4)
    for _ in range(STRIKES):
        eve.say(Joined(other.key.public, other.id, 1, 4, way(other, 1, 4)))
    assert eve.end.closed
    assert not is_joined(bob, log)


@on_both_disks
def test_proofs_are_given_only_to_who_is_told_of_the_person_and_at_a_rate(ann, log):
    bob = Peer("bob")
    bob.knows(ann)
    bob.take(*log.blocks)
    eve = Stranger(bob)
    eve.heard()
    join = Join(log.key.public, log.id, 1, NEW)
    assert eve.say(join) == [answer(join, ())]
    eve.wants(ann)
    (heard,) = eve.say(join)
    assert heard == answer(join, way(log, 1, NEW))
    check_path(heard.headers)
    nowhere = join._replace(log=b"?" * 16)
    assert eve.say(nowhere) == [answer(nowhere, ())]
    beyond = join._replace(last=NEW + 1)
    assert eve.say(beyond) == [answer(beyond, ())]
    for _ in range(JOINS_BURST - 4):
        assert eve.say(join)
    for _ in range(STRIKES):
        assert eve.end.closed is None
        assert eve.say(join) == []
    assert eve.end.closed


def test_who_links_again_and_again_is_given_no_more_proofs_for_it(ann, log):
    bob = Peer("bob")
    bob.knows(ann)
    bob.take(*log.blocks)
    join, steps = Join(log.key.public, log.id, 1, NEW), len(path(NEW, 1))
    bob.chains.serve_rate = ServeRate(stranger=Rate(1, 100 * steps * PROOF_COST))
    given = 0
    for _ in range(4):
        eve = Stranger(bob)
        eve.wants(ann)
        eve.say(*[join] * (JOINS_BURST - 1))
        given += sum(bool(one.headers) for one in eve.asks(Joined))
        bob.chains.link_down(eve.end, 0.0)
    assert JOINS_BURST <= given <= 101


@on_both_disks
def test_a_hole_in_what_is_held_can_not_be_proved_over(ann, log):
    bob = Peer("bob")
    bob.knows(ann)
    bob.take(*log.blocks[:OLD], *log.blocks[-SCREEN:])
    eve = Stranger(bob)
    eve.wants(ann)
    join = Join(log.key.public, log.id, 1, NEW)
    assert eve.say(join) == [answer(join, ())]


def test_the_largest_proof_fits_a_frame():
    person, steps = Person("ann"), path(2**53 - 1, 1)
    assert len(steps) <= MAX_PATH
    size = len(pack(Joined(b"d" * 32, b"l" * 16, 1, 2**53 - 1, ())))
    assert size + len(person.id) + len(steps) * (HEADER_SIZE - PREFIX_SIZE) <= MAX_BODY


@given(
    st.lists(st.integers(1, 400), min_size=2, max_size=12, unique=True),
    st.sets(st.integers(0, 11)),
)
def test_a_bridge_leads_from_span_to_span_and_a_proof_of_each_joins_all(edges, merged):
    edges = sorted(edges)
    row = Shape(b"p" * 32, b"d" * 32, b"l" * 16)
    for n, edge in enumerate(edges):
        row.held.add(edge, edges[n + 1] if n in merged and n + 1 < len(edges) else edge)
    for _ in range(len(row.held) - 1):
        below, above = row.unjoined[0]
        steps = row.bridge()
        assert steps == path(steps[0], steps[-1])
        assert row.held.over(steps[0]) == row.held.over(above)
        assert steps[-1] == below
        assert not any(step in row.held for step in steps[1:-1])
        row.join(steps[-1], steps[0])
    assert row.unjoined == []
    assert row.bridge() == []
    assert Shape.restore(row.row()).proved == row.proved
    row.keep(edges[-1], edges[-1], bytes(32), 0)
    assert row.proved == ()


def test_a_row_of_the_version_before_has_no_proofs():
    row = Shape(b"p" * 32, b"d" * 32, b"l" * 16).row()
    version, *parts, _ = decode(row.state, "log")
    assert version == STATE_VERSION
    older = Shape.restore(row._replace(state=encode([UNPROVED, *parts])))
    assert older.row() == row
