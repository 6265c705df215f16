"""Whose chains are held, how much of each, and what they say that others act on."""

import pytest

from meshpeer.core.chains.events import CardHeard, Held, KeyHeard
from meshpeer.core.chains.interest import Level
from meshpeer.core.chains.limits import ChainLimits
from meshpeer.core.formats.card import Revocation
from meshpeer.core.formats.record import Devices, Follow, Key, Post
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.mail.people import Status
from meshpeer.errors import UsageError
from tests.core.chains.village import Log, Peer, Person, Village

pytestmark = pytest.mark.usefixtures("disk")


def test_contacts_are_held_until_they_are_muted_or_blocked():
    bob, ann = Peer("bob"), Person("ann")
    bob.knows(ann)
    assert bob.chains.wanted(ann.id)
    bob.take(*Log(ann).grow(3))
    bob.chains.mute(ann.id, 0.0)
    bob.commit(0.0)
    assert not bob.chains.wanted(ann.id)
    assert not bob.disk.blocks
    assert not bob.disk.kept_logs
    bob.start()
    assert not bob.chains.wanted(ann.id)
    bob.chains.unfollow(ann.id, 0.0)
    assert bob.chains.wanted(ann.id)
    bob.people.change(ann.id, status=Status.BLOCKED)
    bob.chains.wake(0.0)
    assert not bob.chains.wanted(ann.id)


def test_somebody_followed_by_id_alone_is_found_at_whoever_holds_it():
    ann, bob, carla = Peer("ann"), Peer("bob"), Peer("carla")
    carla.knows(ann.person)
    ann.say(Post("hello"))
    village = Village()
    village.meet(ann, carla)
    village.link(bob, carla)
    village.run()
    assert not bob.rows(ann.person)
    bob.chains.follow(ann.person.id, village.now)
    village.run()
    assert bob.texts(ann.person) == ["hello"]
    assert bob.chains.card_of(ann.person.id) == ann.person.card
    bob.start()
    assert bob.chains.card_of(ann.person.id) == ann.person.card
    bob.chains.unfollow(ann.person.id, 0.0)
    bob.commit(0.0)
    assert not bob.disk.blocks
    assert not bob.disk.kept_authors


def test_who_is_met_by_chance_learns_of_a_third_only_what_both_want():
    bob, carla, ann = Peer("bob"), Peer("carla"), Person("ann")
    for number in range(30):
        bob.knows(Person(f"friend {number} of bob"))
        carla.knows(Person(f"friend {number} of carla"))
    village = Village()
    assert village.meet(bob, carla) < 31 * 16 + 8
    pipe = village.link(bob, carla)
    village.run()
    assert pipe.other.sent == 0
    village.unlink(pipe)
    bob.knows(ann)
    carla.knows(ann)
    pipe = village.link(bob, carla)
    village.run()
    assert 0 < pipe.other.sent < 2 * 16


@pytest.mark.parametrize("first", ["bob", "carla"])
@pytest.mark.parametrize("caller", ["bob", "carla"])
def test_whoever_calls_and_whoever_follows_first_both_have_it(caller, first):
    ann, bob, carla = Peer("ann"), Peer("bob"), Peer("carla")
    ann.say(Post("hello"))
    village = Village()
    village.link(*(bob, carla) if caller == "bob" else (carla, bob))
    village.run()
    for one in (bob, carla) if first == "bob" else (carla, bob):
        one.chains.follow(ann.person.id, village.now, ann.person.card)
        village.run()
    village.link(ann, carla)
    village.run()
    assert bob.texts(ann.person) == carla.texts(ann.person) == ["hello"]
    ann.say(Post("again"))
    village.run()
    assert bob.texts(ann.person) == ["hello", "again"]


def test_nobody_follows_or_mutes_himself():
    bob = Peer("bob")
    for verb in (bob.chains.follow, bob.chains.mute):
        with pytest.raises(UsageError):
            verb(bob.person.id, 0.0)


def test_who_is_followed_by_a_contact_is_held_within_a_quota():
    bob = Peer("bob", limits=ChainLimits(nearby=20 << 10, nearby_persons=2))
    ann, others = Person("ann"), [Person(f"other{n}") for n in range(4)]
    bob.knows(ann)
    log = Log(ann)
    bob.take(*(log.add(Follow(other.id, True)) for other in others[:3]))
    held = [other for other in others if bob.chains.level(other.id) is Level.SOME]
    assert len(held) == 2
    assert others[3] not in held
    chosen = held[0]
    bob.chains.take_card(chosen.card, 0.0)
    flood = Log(chosen)
    bob.take(*flood.grow(100))
    assert bob.chains.weight(chosen.id) <= 20 << 10
    assert max(row[2] for row in bob.rows(chosen)) == 100
    bob.start()
    assert bob.chains.level(chosen.id) is Level.SOME
    bob.take(log.add(Follow(chosen.id, False)))
    assert bob.chains.level(chosen.id) is Level.NONE
    assert not bob.rows(chosen)
    assert len([o for o in others if bob.chains.level(o.id) is Level.SOME]) == 2


def test_an_older_word_on_whom_to_follow_changes_nothing():
    bob, ann, other = Peer("bob"), Person("ann"), Person("other")
    bob.knows(ann)
    log = Log(ann)
    says = [log.add(Follow(other.id, following)) for following in (True, False, True)]
    bob.take(says[2], says[0], says[1])
    assert bob.chains.level(other.id) is Level.SOME
    bob.take(log.add(Follow(other.id, False)))
    assert bob.chains.level(other.id) is Level.NONE


def test_what_one_device_follows_the_other_follows_too():
    ann, other = Person("ann", devices=2), Person("other")
    phone, desk = Peer("phone", ann), Peer("desk", ann, device=1)
    phone.say(Follow(other.id, True))
    Village().meet(phone, desk)
    assert desk.chains.level(other.id) is Level.ALWAYS


def test_friends_of_strangers_are_not_held():
    bob, ann, other = Peer("bob"), Person("ann"), Person("other")
    bob.chains.follow(ann.id, 0.0, ann.card)
    bob.take(Log(ann).add(Follow(other.id, True)))
    assert bob.chains.level(ann.id) is Level.ALWAYS
    assert bob.chains.level(other.id) is Level.NONE


def test_the_newest_sealing_key_of_a_device_is_known_whatever_came_first():
    bob, ann = Peer("bob"), Person("ann", devices=2)
    bob.knows(ann)
    log, device = Log(ann), ann.devices[0][0].public
    keys = [KeyPair.generate(ann.rng).public for _ in range(3)]
    blocks = [log.add(Key(key, number)) for number, key in enumerate(keys, 1)]
    assert bob.chains.sealing_key(ann.id, device) is None
    bob.take(blocks[1], blocks[0])
    assert bob.chains.sealing_key(ann.id, device).sealing == keys[1]
    assert bob.chains.sealing_key(ann.id, ann.devices[1][0].public) is None
    bob.start()
    bob.take(blocks[2])
    assert bob.chains.sealing_key(ann.id, device).sealing == keys[2]
    assert [event.sealing for event in bob.heard(KeyHeard)] == [keys[2]]
    bob.chains.take_card(ann.issue([Revocation(device)]), 0.0)
    assert bob.chains.sealing_key(ann.id, device) is None


def test_a_device_hears_of_its_persons_newer_card():
    ann = Person("ann", devices=2)
    phone, desk = Peer("phone", ann), Peer("desk", ann, device=1)
    card = ann.issue()
    desk.say(Devices(card.to_bytes()))
    Village().meet(phone, desk)
    assert phone.heard(CardHeard) == [CardHeard(card, True)]
    assert phone.chains.card_of(ann.id) == card


def test_a_revoked_device_is_told_so_when_it_publishes():
    ann = Person("ann", devices=2)
    phone = Peer("phone", ann)
    phone.say(Post("one"))
    phone.chains.take_card(ann.issue([Revocation(phone.own.device.public)]), 0.0)
    with pytest.raises(UsageError, match="device list"):
        phone.say(Post("two"))
    phone.commit(0.0)
    assert not phone.rows(ann)


def test_a_device_that_began_all_its_logs_is_told_so():
    bob = Peer("bob", limits=ChainLimits(logs=3))
    for n in range(3):
        bob.chains.new_log(bob.own, 0.0)
        bob.say(Post(f"{n}"))
    with pytest.raises(UsageError, match="3 logs"):
        bob.chains.new_log(bob.own, 0.0)


def test_a_device_that_left_the_list_says_nothing_new_and_loses_nothing():
    bob, ann = Peer("bob"), Person("ann", devices=2)
    bob.knows(ann)
    log = Log(ann)
    bob.take(*log.grow(3))
    bob.chains.take_card(ann.issue(without=[log.key.public]), 0.0)
    bob.take(log.add())
    assert len(bob.rows(ann)) == 3
    carla = Peer("carla")
    carla.chains.follow(ann.id, 0.0)
    carla.commit(0.0)
    Village().meet(bob, carla)
    assert not carla.rows(ann)
    assert carla.chains.card_of(ann.id).number == 2


def test_everything_that_is_told_is_on_the_disk():
    bob, ann = Peer("bob"), Person("ann")
    bob.knows(ann)
    bob.full = True
    bob.take(*Log(ann).grow(3))
    assert not bob.heard(Held)
    bob.full = False
    bob.commit(0.0)
    assert len(bob.heard(Held)) == 3
