"""What people see of chains: posts that arrive, whoever met whom, and on how many devices."""

import pytest

from meshpeer.core.chains.asking import SCREEN
from meshpeer.core.chains.events import Held
from meshpeer.core.formats.record import Post
from tests.core.chains.village import Log, Peer, Person, Village

pytestmark = pytest.mark.usefixtures("disk")


def test_a_post_reaches_a_contact():
    ann, bob = Peer("ann"), Peer("bob")
    bob.knows(ann.person)
    ann.say(Post("hello"))
    Village().meet(ann, bob)
    assert bob.texts(ann.person) == ["hello"]
    assert bob.rows(ann.person) == ann.rows(ann.person)


def test_a_post_made_while_the_link_is_up_arrives_at_once():
    ann, bob = Peer("ann"), Peer("bob")
    bob.knows(ann.person)
    village = Village()
    village.link(ann, bob)
    village.run()
    ann.posts("one", "two")
    village.run()
    assert bob.texts(ann.person) == ["one", "two"]


def test_no_neighbour_hears_of_a_block_that_is_not_on_the_disk():
    ann, bob = Peer("ann"), Peer("bob")
    bob.knows(ann.person)
    village = Village()
    pipe = village.link(ann, bob)
    village.run()
    sent, ann.full = pipe.sent, True
    ann.posts("not yet")
    village.run()
    assert pipe.sent == sent
    ann.full = False
    village.run()
    assert bob.texts(ann.person) == ["not yet"]


def test_a_post_goes_on_to_somebody_who_never_meets_its_author():
    ann, bob, carla = Peer("ann"), Peer("bob"), Peer("carla")
    bob.knows(ann.person)
    carla.knows(ann.person)
    ann.say(Post("hello"))
    village = Village()
    village.meet(ann, bob)
    village.meet(bob, carla)
    assert carla.texts(ann.person) == ["hello"]


def test_a_new_follower_of_a_long_chain_reads_the_newest_first():
    ann, bob = Peer("ann"), Peer("bob")
    bob.knows(ann.person)
    for n in range(1_000):
        ann.posts(f"{n}")
    ann.commit(0.0)
    Village().meet(ann, bob)
    held = [event.sequence for event in bob.heard(Held)]
    assert held[:SCREEN] == list(range(1_000, 1_000 - SCREEN, -1))
    assert sorted(held) == list(range(1, 1_001))


def test_two_that_hold_the_same_say_only_that():
    ann, bob = Peer("ann"), Peer("bob")
    bob.knows(ann.person)
    ann.knows(bob.person)
    ann.posts(*"abcdefgh")
    ann.commit(0.0)
    village = Village()
    village.meet(ann, bob)
    assert village.meet(ann, bob) < 150


def test_who_was_away_hears_what_happened_meanwhile():
    ann, bob = Peer("ann"), Peer("bob")
    bob.knows(ann.person)
    village = Village()
    for part in range(5):
        for n in range(300 if part == 3 else 3):
            ann.posts(f"{part} {n}")
        ann.commit(0.0)
        village.meet(ann, bob)
        assert bob.rows(ann.person) == ann.rows(ann.person)
    assert all(event.fresh for event in bob.heard(Held))


def test_two_devices_of_a_person_post_while_apart_and_both_are_heard():
    ann = Person("ann", devices=2)
    phone, desk = Peer("phone", ann), Peer("desk", ann, device=1)
    bob = Peer("bob")
    bob.knows(ann)
    phone.say(Post("on the road"))
    desk.say(Post("at home"))
    village = Village()
    village.meet(phone, bob)
    village.meet(bob, desk)
    assert desk.texts(ann) == ["at home", "on the road"] or desk.texts(ann) == [
        "on the road",
        "at home",
    ]
    village.meet(bob, phone)
    assert sorted(phone.texts(ann)) == sorted(desk.texts(ann)) == sorted(bob.texts(ann))
    phone.say(Post("later"))
    village.meet(phone, desk)
    assert desk.texts(ann)[-1] == "later"


def test_a_restart_goes_on_in_the_same_log():
    ann, bob = Peer("ann"), Peer("bob")
    bob.knows(ann.person)
    first = ann.say(Post("one"))
    ann.start()
    second = ann.say(Post("two"))
    assert second.header.previous == first.id
    assert second.header.lamport > first.header.lamport
    Village().meet(ann, bob)
    bob.start()
    third = ann.say(Post("three"))
    Village().meet(ann, bob)
    assert third.id in bob.disk.blocks


def test_a_crash_before_the_commit_makes_no_fork():
    ann, bob = Peer("ann"), Peer("bob")
    bob.knows(ann.person)
    village = Village()
    link = village.link(ann, bob)
    ann.posts("lost")
    village.carry(link)
    village.unlink(link)
    ann.start()
    ann.say(Post("instead"))
    village.meet(ann, bob)
    assert bob.texts(ann.person) == ["instead"]
    assert not bob.disk.kept_forks


def test_what_comes_out_of_a_backup_goes_on_in_a_new_log():
    ann, bob = Peer("ann"), Peer("bob")
    bob.knows(ann.person)
    ann.say(Post("one"))
    backup = ann.disk.copy()
    ann.say(Post("two"))
    village = Village()
    village.meet(ann, bob)
    old = Peer("ann", ann.person, disk=backup, new_log=True)
    old.say(Post("after the fire"))
    village.meet(old, bob)
    assert sorted(bob.texts(ann.person)) == ["after the fire", "one", "two"]
    assert sorted(row[3] for row in old.rows(ann.person)) == sorted(
        row[3] for row in bob.rows(ann.person)
    )
    assert not bob.disk.kept_forks
    old.start()
    old.say(Post("and a restart later"))
    village.meet(old, bob)
    assert not bob.disk.kept_forks
    assert len(bob.chains.heads(ann.person.id)) == 2


def test_a_copy_of_a_device_that_hears_its_own_later_blocks_starts_a_new_log():
    ann, bob = Peer("ann"), Peer("bob")
    bob.knows(ann.person)
    ann.say(Post("one"))
    copied = ann.disk.copy()
    ann.say(Post("two"))
    village = Village()
    village.meet(ann, bob)
    copy = Peer("ann", ann.person, disk=copied)
    village.meet(copy, bob)
    copy.say(Post("three"))
    village.meet(copy, bob)
    assert sorted(bob.texts(ann.person)) == ["one", "three", "two"]
    assert not bob.disk.kept_forks


def test_a_log_made_by_hand_is_held_like_any_other():
    ann, bob = Person("ann"), Peer("bob")
    bob.knows(ann)
    bob.take(*Log(ann).grow(20))
    assert len(bob.rows(ann)) == 20
