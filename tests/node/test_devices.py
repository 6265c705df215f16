"""One person on several devices: added, joined, revoked, with the key away."""

import pytest

from meshpeer.core.chains.events import Held
from meshpeer.core.formats.card import MAX_DEVICES, Card
from meshpeer.core.formats.device_request import DeviceRequest
from meshpeer.core.formats.record import Post, parse_record
from meshpeer.core.identity import idtext
from meshpeer.core.identity.certificate import Certificate
from meshpeer.core.identity.keys import DeviceKey
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.writes import Box, PutMessage
from meshpeer.errors import NotFoundError, UsageError
from meshpeer.node import device_facade as asks
from meshpeer.node import person_key
from meshpeer.node.config import Config
from tests.node.machines import WORDS, meet

pytestmark = pytest.mark.usefixtures("quick")


# ---- adding and joining


def test_a_phone_becomes_a_device_of_the_person_on_the_laptop(pair):
    laptop, phone = pair
    assert phone.own.person == laptop.own.person
    assert phone.own.card.nickname == "ann"
    found = phone.listed()
    assert (found.number, found.listed, found.key_here) == (2, True, False)
    assert [device.here for device in found.items] == [False, True]
    assert laptop.listed().key_here
    assert Card.read(found.card).hints


def test_who_joined_is_the_same_person_after_a_restart(pair):
    laptop, phone = pair
    phone.stop()
    phone.start()
    assert phone.own.card == laptop.own.card
    assert phone.state.persons()[0].person is None
    assert phone.own.card.nickname == "ann"


def test_the_contacts_of_who_joins_are_kept_but_for_itself(machine):
    laptop, phone, bob = machine("laptop"), machine("phone"), machine("bob", "bob")
    phone.journal.add(
        phone.people.accept(bob.own.card, "bobby", wall=0),
        phone.people.accept(laptop.own.card, "me", wall=0),
    )
    laptop.add(phone)
    assert [contact.petname for contact in phone.people] == ["bobby"]
    phone.stop()
    phone.start()
    assert [contact.petname for contact in phone.people] == ["bobby"]


def test_adding_a_device_twice_signs_one_list(pair):
    laptop, phone = pair
    again = laptop.do(laptop.service.add_device(asks.NewDevice(phone.request())))
    assert again.number == 2
    assert len(again.items) == 2


def test_contacts_hear_of_the_new_device_from_the_chain(machine):
    laptop, phone, bob = machine("laptop"), machine("phone"), machine("bob", "bob")
    bob.journal.add(bob.people.accept(laptop.own.card, None, wall=0))
    meet(laptop, bob)
    laptop.add(phone)
    meet(laptop, bob)
    assert bob.people.get(laptop.own.person).card.number == 2
    assert bob.people.contacts_at(phone.peer.id)
    bob.stop()
    bob.start()
    assert bob.people.contacts_at(phone.peer.id)


def test_a_device_hears_from_another_that_the_list_changed(machine):
    laptop, phone, tablet = machine("laptop"), machine("phone"), machine("tablet")
    laptop.add(phone)
    laptop.add(tablet)
    meet(laptop, phone)
    assert phone.own.card.number == 3
    phone.stop()
    phone.start()
    assert len(phone.own.card.devices) == 3


def test_a_card_that_does_not_list_this_device_is_refused(machine):
    laptop, phone, eve = machine("laptop"), machine("phone"), machine("eve")
    found = laptop.do(laptop.service.add_device(asks.NewDevice(eve.request())))
    with pytest.raises(UsageError, match="does not list this device"):
        phone.do(phone.service.join_person(asks.Joining(found.card)))
    assert phone.state.persons()[0].person is not None


def test_a_device_with_mail_of_another_person_does_not_join(machine):
    laptop, phone = machine("laptop"), machine("phone", "old me")
    mail = PutMessage(
        b"m" * 16,
        Box.OUTBOX,
        phone.own.person,
        b"c" * 32,
        "hi",
        "text",
        1,
        0,
        0.0,
        0,
        9,
        None,
    )
    phone.journal.add(mail)
    with pytest.raises(UsageError, match=r"old me has written.*--state FOLDER"):
        laptop.add(phone)
    assert phone.own.card.nickname == "old me"


def test_a_device_that_published_for_another_person_does_not_join(machine):
    laptop, phone = machine("laptop"), machine("phone")
    phone.post("mine")
    with pytest.raises(UsageError, match="published"):
        laptop.add(phone)


def test_without_the_persons_key_no_device_is_added(pair, machine):
    _, phone = pair
    tablet = machine("tablet")
    with pytest.raises(UsageError, match="import-key"):
        phone.do(phone.service.add_device(asks.NewDevice(tablet.request())))
    assert phone.own.card.number == 2


def test_a_copy_of_a_device_is_not_added_beside_it(pair):
    laptop, phone = pair
    half = Certificate(DeviceKey(b"n" * 32).public, phone.own.sealing.public, b"\x09" * 32)
    half = half._replace(peer=KeyPair(b"q" * 32).public)
    asked = DeviceRequest.sign(DeviceKey(b"n" * 32), half).to_uri()
    with pytest.raises(UsageError, match="copy"):
        laptop.do(laptop.service.add_device(asks.NewDevice(asked)))


def test_a_person_has_so_many_devices_and_no_more(machine):
    laptop = machine("laptop")

    def one(number):
        key = DeviceKey(bytes([number]) * 32)
        peer = KeyPair(b"p" * 31 + bytes([number])).public
        sealing = KeyPair(b"s" * 31 + bytes([number])).public
        asked = DeviceRequest.sign(key, Certificate(key.public, sealing, peer)).to_uri()
        return laptop.do(laptop.service.add_device(asks.NewDevice(asked)))

    for number in range(1, MAX_DEVICES):
        one(number)
    with pytest.raises(UsageError, match="at most 16 devices"):
        one(MAX_DEVICES)


# ---- revoking


def test_a_revoked_device_gets_nothing_and_what_it_wrote_before_stays(machine):
    laptop, phone, bob = machine("laptop"), machine("phone"), machine("bob", "bob")
    laptop.add(phone)
    bob.journal.add(bob.people.accept(laptop.own.card, None, wall=0))
    phone.post("from the phone")
    meet(phone, laptop)
    found = laptop.revoke("2")
    assert [device.revoked for device in found.items] == [False, True]
    assert found.items[1].blocks == 1
    phone.post("the thief")
    meet(laptop, bob)
    meet(phone, bob)
    rows = bob.store.timeline([laptop.own.person], limit=100)
    texts = [parse_record(row.body) for row in rows if row.body]
    assert [one.text for one in texts if isinstance(one, Post)] == ["from the phone"]
    assert not bob.people.contacts_at(phone.peer.id)


def test_a_revoked_device_learns_it_and_says_so(pair):
    laptop, phone = pair
    laptop.revoke(idtext.encode(phone.own.device.public))
    meet(laptop, phone)
    assert not phone.listed().listed
    with pytest.raises(UsageError):
        phone.post("still here?")


def test_a_revoked_device_with_the_key_does_not_put_itself_back(machine, tmp_path):
    laptop, phone = machine("laptop"), machine("phone")
    laptop.add(phone)
    person_key.export_key(laptop.state, tmp_path / "key", WORDS)
    person_key.import_key(phone.state, tmp_path / "key", WORDS)
    laptop.revoke("2")
    meet(laptop, phone)
    with pytest.raises(UsageError, match="revoked"):
        phone.do(phone.service.add_device(asks.NewDevice(phone.request())))


def test_what_was_revoked_never_comes_back_with_its_old_keys(pair):
    laptop, phone = pair
    asked = phone.request()
    laptop.revoke("2")
    with pytest.raises(UsageError, match="make new ones"):
        laptop.do(laptop.service.add_device(asks.NewDevice(asked)))
    with pytest.raises(UsageError, match="revoked already"):
        laptop.revoke(idtext.encode(phone.own.device.public))


def test_revocations_stay_in_all_later_lists(machine):
    laptop, phone, tablet = machine("laptop"), machine("phone"), machine("tablet")
    laptop.add(phone)
    laptop.revoke("2")
    laptop.add(tablet)
    laptop.config = Config(nickname="anna")
    laptop.stop()
    laptop.start()
    card = laptop.own.card
    assert (card.number, card.nickname) == (5, "anna")
    assert [one.device for one in card.revoked] == [phone.own.device.public]


def test_this_device_and_unknown_ones_are_not_revoked(pair):
    laptop, _ = pair
    with pytest.raises(UsageError, match="this device"):
        laptop.revoke("1")
    with pytest.raises(NotFoundError, match="no device 3"):
        laptop.revoke("3")
    with pytest.raises(NotFoundError):
        laptop.revoke(idtext.encode(b"x" * 32))


# ---- the person's key away


def test_a_key_that_lies_in_a_drawer_comes_back_when_it_is_needed(machine, tmp_path):
    laptop, phone = machine("laptop"), machine("phone")
    path = tmp_path / "key.vault"
    person = person_key.export_key(laptop.state, path, WORDS, remove=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert person == laptop.own.person
    assert not laptop.listed().key_here
    with pytest.raises(UsageError, match="import-key"):
        laptop.add(phone)
    laptop.post("writing goes on")
    laptop.stop()
    laptop.start()
    with pytest.raises(UsageError, match="passphrase is wrong"):
        person_key.import_key(laptop.state, path, WORDS + "!")
    assert person_key.import_key(laptop.state, path, WORDS) == person
    assert laptop.add(phone).number == 2


def test_a_key_of_somebody_else_is_not_taken(machine, tmp_path):
    laptop, bob = machine("laptop"), machine("bob", "bob")
    person_key.export_key(bob.state, tmp_path / "key", WORDS)
    with pytest.raises(UsageError, match="does not live"):
        person_key.import_key(laptop.state, tmp_path / "key", WORDS)
    with pytest.raises(UsageError, match="there already"):
        person_key.export_key(bob.state, tmp_path / "key", WORDS)


def test_a_device_without_the_key_keeps_it_where_it_was_brought(pair, tmp_path):
    laptop, phone = pair
    person_key.export_key(laptop.state, tmp_path / "key", WORDS, remove=True)
    person_key.import_key(phone.state, tmp_path / "key", WORDS)
    phone.stop()
    phone.start()
    assert phone.own.card.number == 2, "its own nickname setting is no news"
    assert phone.revoke("1").number == 3


# ---- a crash


def test_a_list_is_on_the_disk_before_anybody_hears_of_it(machine, monkeypatch):
    laptop, phone = machine("laptop"), machine("phone")
    asked = phone.request()
    monkeypatch.setattr("meshpeer.node.durable.os.fsync", lambda fd: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        laptop.do(laptop.service.add_device(asks.NewDevice(asked)))
    assert laptop.own.card.number == 1
    assert not [event for event in laptop.seen if isinstance(event, Held)]
    assert not laptop.store.authors()
