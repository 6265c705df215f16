"""One person on several devices, apart and together again, from copies and from backups."""

import shutil

import pytest

from meshpeer.core.formats.record import Post, parse_record
from meshpeer.errors import UsageError
from meshpeer.node.backup import make_backup
from meshpeer.node.restoring import restore
from meshpeer.node.state import State
from tests.node.machines import WORDS, meet

pytestmark = pytest.mark.usefixtures("quick")


def test_both_post_while_apart_and_have_one_timeline_after(pair):
    laptop, phone = pair
    for machine in pair:
        machine.post(f"one from {machine.state.root.name}")
        machine.post(f"two from {machine.state.root.name}")
    meet(laptop, phone)
    assert laptop.timeline() == phone.timeline()
    assert len(laptop.timeline()) == 4
    newest = [device.newest for device in laptop.listed().items]
    assert newest == [device.newest for device in phone.listed().items]
    assert sorted(newest) == [False, True]


def test_a_copied_folder_writes_in_a_log_of_its_own(machine, tmp_path):
    laptop = machine("laptop")
    laptop.post("before")
    laptop.stop()
    shutil.copytree(laptop.state.root, tmp_path / "copy")
    laptop.start()
    copy = machine("copy")
    laptop.post("in the original")
    copy.post("in the copy")
    copy.post("in the copy, too")
    bob = machine("bob", "bob")
    bob.journal.add(bob.people.accept(laptop.own.card, None, wall=0))
    for one in (laptop, copy, laptop):
        meet(one, bob)
    for one in (laptop, copy, bob):
        assert not one.forks()
    expected = ["before", "in the copy", "in the copy, too", "in the original"]
    assert copy.timeline() == laptop.timeline() == expected


def test_a_peer_restored_from_an_old_backup_forks_nothing(pair, machine, tmp_path):
    laptop, phone = pair
    laptop.post("in the backup")
    make_backup(laptop.state, tmp_path / "backup", WORDS, nickname="ann")
    laptop.post("after the backup")
    meet(laptop, phone)
    restore(tmp_path / "backup", State(tmp_path / "again"), WORDS)
    again = machine("again")
    assert again.own.card == laptop.own.card
    again.post("after the loss")
    meet(again, phone)
    for one in (again, phone):
        assert not one.forks()
        assert one.timeline() == ["after the backup", "after the loss", "in the backup"]
    again.stop()
    again.start()
    again.post("and on")
    heads = [head for head in again.chains.heads(again.own.person) if head.height]
    mine = [head for head in heads if head.device == again.own.device.public]
    assert len(mine) == 2, "it goes on in the log that it began"


def test_a_restored_peer_takes_the_newest_list_from_its_other_device(
    pair, machine, tmp_path
):
    laptop, phone = pair
    make_backup(laptop.state, tmp_path / "backup", WORDS, nickname="ann")
    tablet = machine("tablet")
    laptop.add(tablet)
    meet(laptop, phone)
    restore(tmp_path / "backup", State(tmp_path / "again"), WORDS)
    again = machine("again")
    assert again.own.card.number == 2
    meet(again, phone)
    assert again.own.card.number == 3
    again.stop()
    again.start()
    assert again.revoke("3").number == 1_003
    assert again.revoke("2").number == 1_004


def test_a_revocation_after_a_restore_holds_although_newer_lists_were_signed(
    pair, machine, tmp_path
):
    laptop, phone = pair
    bob, tablet = machine("bob", "bob"), machine("tablet")
    bob.journal.add(bob.people.accept(laptop.own.card, None, wall=0))
    make_backup(laptop.state, tmp_path / "backup", WORDS, nickname="ann")
    laptop.add(tablet)
    meet(laptop, bob)
    restore(tmp_path / "backup", State(tmp_path / "again"), WORDS)
    again = machine("again")
    again.revoke("2")
    meet(again, bob)
    assert not bob.people.contacts_at(phone.peer.id)
    assert bob.people.get(again.own.person).card.revoked
    assert again.add(tablet).listed


def test_restored_as_a_new_device_it_is_listed_beside_the_old_one(pair, machine, tmp_path):
    laptop, phone = pair
    laptop.post("in the backup")
    make_backup(laptop.state, tmp_path / "backup", WORDS, nickname="ann")
    restore(tmp_path / "backup", State(tmp_path / "new"), WORDS, as_new_device=True)
    new = machine("new")
    assert not new.listed().listed
    assert new.own.person == laptop.own.person
    with pytest.raises(UsageError):
        new.post("not yet")
    assert laptop.add(new).number == 3
    assert new.listed().listed
    laptop.post("from the old one")
    new.post("from the new one")
    meet(laptop, new)
    expected = ["from the new one", "from the old one", "in the backup"]
    assert laptop.timeline() == new.timeline() == expected
    assert not laptop.forks()
    assert phone.own.person == new.own.person


def test_the_whole_story_of_one_person_on_three_devices(pair, machine, tmp_path):
    laptop, phone = pair
    bob = machine("bob", "bob")
    bob.journal.add(bob.people.accept(laptop.own.card, None, wall=0))
    make_backup(laptop.state, tmp_path / "backup", WORDS, nickname="ann")
    laptop.post("a")
    phone.post("b")
    meet(laptop, phone)
    meet(phone, bob)
    restore(tmp_path / "backup", State(tmp_path / "again"), WORDS)
    again = machine("again")
    again.post("c")
    meet(again, phone)
    again.revoke("2")
    phone.post("d, by a thief")
    meet(again, bob)
    meet(phone, bob)
    for one in (again, bob):
        assert not one.forks()
        rows = one.store.timeline([again.own.person], limit=100)
        texts = [parse_record(row.body) for row in rows if row.body]
        assert sorted(x.text for x in texts if isinstance(x, Post)) == ["a", "b", "c"]
