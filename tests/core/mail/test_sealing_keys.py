"""Sealing keys that are renewed: which opens what, for how long, and what is sealed again."""

import pytest

from meshpeer.core.formats.bundle import Bundle
from meshpeer.core.identity.seal import destination_tag
from meshpeer.core.mail.mail import RESEAL_S
from meshpeer.core.mail.sealing_keys import CHECK_S, KEEP_S, MAX_OLD, RENEW_S
from meshpeer.core.sync.account import Account, Kind
from meshpeer.core.writes import DeliveryState
from meshpeer.errors import StoreError
from tests.core.mail.carriers import World
from tests.core.mail.test_attachments import friends, noise

DAY = 86_400.0
FERRY = Account(Kind.CONTACT, "the ferry")


def tag_of(carrier):
    """Under which tag the only bundle of this peer travels."""
    (row,) = carrier.held()
    return Bundle.parse(carrier.store.wires([row.id])[row.id]).header.tag


def newest(carrier):
    return max(carrier.ring.keys(carrier.person.public))


def public(carrier):
    return carrier.world.chain.keys[carrier.person.public, carrier.device.public].sealing


def renewed(world, carrier, now=RENEW_S):
    world.later(now - world.now)
    return public(carrier)


def test_a_device_makes_a_new_key_every_thirty_running_days():
    world = World("bob")
    world.later(RENEW_S - world.now - 1)
    assert world.chain.keys == {}
    first = renewed(world, world.bob, RENEW_S + CHECK_S)
    world.later(RENEW_S - DAY)
    assert public(world.bob) == first
    world.later(DAY + CHECK_S)
    assert public(world.bob) != first
    assert newest(world.bob).number == 2


def test_mail_is_sealed_to_the_newest_key_heard_and_old_ones_still_open():
    world = friends("ann", "bob")
    world.ann.writes(world.bob, "to the card's key")
    old = {row.id for row in world.ann.held()}
    key = renewed(world, world.bob)
    assert (
        world.ann.mail.keys.receiver(world.bob.person.public, world.bob.card.devices[0])
        == key
    )
    assert {row.id for row in world.ann.held()} & old == set(), "expired long ago"
    world.ann.writes(world.bob, "to the new key")
    assert tag_of(world.ann) == destination_tag(key)
    world.meet(world.ann, world.bob)
    assert world.bob.inbox() == ["to the new key"]


def test_an_old_key_opens_for_sixty_days_after_its_successor_and_then_is_gone():
    world = friends("ann", "bob")
    first = renewed(world, world.bob)
    renewed(world, world.bob, 2 * RENEW_S + CHECK_S)
    made = newest(world.bob).made
    assert destination_tag(first) in world.bob.sync.tags
    world.later(made + KEEP_S - world.now - 1)
    assert destination_tag(first) in world.bob.sync.tags
    world.later(1 + CHECK_S)
    world.later(CHECK_S)
    assert destination_tag(first) not in world.bob.sync.tags
    assert destination_tag(world.bob.sealing.public) in world.bob.sync.tags, "the card's"
    assert all(key.number > 1 for key in world.bob.ring.keys(world.bob.person.public))


def test_who_has_not_heard_of_a_new_key_is_still_understood():
    world = friends("ann", "bob")
    heard = dict(world.chain.keys)
    renewed(world, world.bob)
    world.chain.keys = heard
    world.ann.writes(world.bob, "to the card's key")
    assert tag_of(world.ann) == destination_tag(world.bob.sealing.public)
    world.meet(world.ann, world.bob)
    assert world.bob.inbox() == ["to the card's key"]


def renews(carrier):
    """On request: the command does this."""
    record = carrier.mail.keys.renew(carrier.own, carrier.world.now)
    carrier.retag()
    carrier.publishes_key(record)
    return record.sealing


def test_unconfirmed_mail_is_sealed_again_and_shown_once():
    world = friends("ann", "ferry", "bob")
    message_id, _ = world.ann.writes(world.bob, "twice sealed")
    world.meet(world.ann, world.ferry)
    (old,) = world.ferry.held()
    key = renews(world.bob)
    assert tag_of(world.ann) == destination_tag(key)
    assert len(world.ann.states(message_id)) >= 1

    copy = world.ferry.store.wires([old.id])[old.id]
    world.meet(world.ann, world.ferry)
    assert old.id not in {row.id for row in world.ferry.held()}, "it was asked back"
    world.meet(world.ferry, world.bob)
    assert world.bob.inbox() == ["twice sealed"]
    world.bob.mail.inbox.receive(Bundle.parse(copy), FERRY, world.now)
    world.bob.settle()
    assert world.bob.inbox() == ["twice sealed"], "the old one opens too, and is no news"
    world.chain_of_meetings(world.bob, world.ferry, world.ann)
    assert DeliveryState.ARRIVED in world.ann.states(message_id)
    assert world.ann.held() == []


def tags_of(carrier):
    wires = [carrier.store.wires([row.id])[row.id] for row in carrier.held()]
    return {Bundle.parse(wire).header.tag for wire in wires}


def test_a_contact_who_makes_key_after_key_is_not_sent_it_all_again_each_time():
    """Never confirming, and publishing keys as fast as blocks, would flood us and the carriers."""
    world = friends("ann", "bob")
    for n in range(5):
        world.ann.writes(world.bob, f"{n}")
    first = renews(world.bob)
    assert tags_of(world.ann) == {destination_tag(first)}, (
        "the first time it is done at once"
    )
    held = world.ann.held()
    last = [renews(world.bob) for _ in range(10)][-1]
    assert world.ann.held() == held
    world.later(RESEAL_S + 1)
    assert tags_of(world.ann) == {destination_tag(last)}
    world.meet(world.ann, world.bob)
    assert sorted(world.bob.inbox()) == ["0", "1", "2", "3", "4"]


def test_a_restart_between_hearing_and_sealing_loses_nothing():
    world = friends("ann", "bob")
    world.ann.writes(world.bob, "heard in vain")
    record = world.bob.mail.keys.renew(world.bob.own, world.now)
    world.bob.retag()
    world.chain.keys[world.bob.person.public, world.bob.device.public] = record
    world.crash(world.ann)
    assert tag_of(world.ann) == destination_tag(record.sealing)
    once = world.ann.held()
    world.crash(world.ann)
    assert world.ann.held() == once, "and it isn't sealed again each time"


def test_mail_that_arrived_or_was_asked_back_is_not_sealed_again():
    world = friends("ann", "bob")
    message_id, _ = world.ann.writes(world.bob, "regretted")
    world.ann.mail.recall(message_id, world.now)
    world.ann.settle()
    world.ann.writes(world.bob, "arrived")
    world.meet(world.ann, world.bob)
    renews(world.bob)
    assert world.ann.held() == []
    world.crash(world.ann)
    assert world.ann.held() == []


def test_pieces_are_made_anew_for_a_new_key():
    world = friends("ann", "ferry", "bob")
    message_id, _ = world.ann.writes(world.bob, "with a file", noise(2))
    world.meet(world.ann, world.ferry)
    before = {row.id for row in world.ferry.held()}
    renews(world.bob)
    world.meet(world.ann, world.ferry)
    after = {row.id for row in world.ferry.held()}
    assert len(after) == len(before)
    assert not after & before
    world.meet(world.ferry, world.bob)
    world.later(2.0)
    world.chain_of_meetings(world.ferry, world.bob, world.ferry, world.ann)
    assert world.ann.arrived(message_id, world.bob)


def test_a_restored_device_without_its_renewed_keys_makes_another_at_once():
    """Its card's key and its chain are in the backup, its ring is not."""
    world = friends("ann", "bob")
    renews(world.bob)
    renews(world.bob)
    lost = public(world.bob)
    message_id, _ = world.ann.writes(world.bob, "can't be opened")
    world.bob.ring.kept.clear()
    world.crash(world.bob)
    world.later(CHECK_S)
    assert public(world.bob) != lost
    assert newest(world.bob).number == 3, "above the one that was lost"
    world.meet(world.ann, world.bob)
    assert world.bob.inbox() == ["can't be opened"]
    assert DeliveryState.ARRIVED in world.ann.states(message_id)


def test_a_key_that_was_kept_and_not_told_is_told_after_a_restart():
    world = World("bob")
    record = world.bob.mail.keys.renew(world.bob.own, world.now)
    world.crash(world.bob)
    assert public(world.bob) == record.sealing
    world.later(3 * CHECK_S)
    assert newest(world.bob).number == 1


def test_a_key_that_can_not_be_kept_is_not_told(monkeypatch):
    world = World("bob")

    def full(person, key):
        raise StoreError("no room")

    monkeypatch.setattr(world.bob.ring, "keep", full)
    with pytest.raises(StoreError):
        world.bob.mail.keys.renew(world.bob.own, world.now)
    assert world.chain.keys == {}
    assert world.bob.mail.keys.tags == world.bob.mail.people.tags


def test_renewing_on_request_keeps_only_so_many_old_keys():
    world = World("bob")
    for _ in range(3 * MAX_OLD):
        renews(world.bob)
    assert len(world.bob.ring.kept) == MAX_OLD + 1
    assert len(world.bob.mail.keys.tags) == MAX_OLD + 2
