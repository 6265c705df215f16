"""One person on several devices: added, apart, together again, revoked, restored.

Real state folders, databases and chains; only the network between the machines is a pipe.
"""

import asyncio
import shutil
from random import Random
from types import SimpleNamespace

import pytest

from meshpeer.core.chains.chains import STREAM, Chains
from meshpeer.core.chains.events import CardHeard, Forked, Held
from meshpeer.core.clock import ClockReading
from meshpeer.core.formats.card import MAX_DEVICES, Card
from meshpeer.core.formats.device_request import DeviceRequest
from meshpeer.core.formats.record import Post, parse_record
from meshpeer.core.identity import idtext
from meshpeer.core.identity.certificate import Certificate
from meshpeer.core.identity.keys import DeviceKey
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.journal import Journal
from meshpeer.core.mail.people import People
from meshpeer.core.sync.account import Account, Kind
from meshpeer.core.writes import Box, PutMessage
from meshpeer.errors import NotFoundError, UsageError
from meshpeer.node import device_facade as asks
from meshpeer.node import person_key, vault
from meshpeer.node.backup import make_backup
from meshpeer.node.config import Config
from meshpeer.node.devices import DeviceService
from meshpeer.node.loading import must_begin_logs
from meshpeer.node.own_cards import load_own
from meshpeer.node.restoring import restore
from meshpeer.node.state import State
from store.restore import restore_chains
from store.store import Store

WORDS = "correct horse battery staple"


class Pipe:
    """One end of a link that carries bytes when it is told to."""

    def __init__(self, near, far):
        self.peer_id, self.initiator = far.peer.id, near.peer.id < far.peer.id
        self.binding = bytes(32)
        self.closed = None
        self.out, self.came = bytearray(), bytearray()

    def write(self, stream, data):
        assert stream == STREAM
        self.out += data

    def read(self, stream, limit=1 << 30):
        data = bytes(self.came[:limit])
        del self.came[:limit]
        return data

    def buffered(self, stream):
        return len(self.out)

    def close(self, reason):
        self.closed = reason


class Machine:
    """A peer on its state folder, started again by `start`; nothing but the disk outlives that."""

    def __init__(self, folder, nickname="ann"):
        self.state = State(folder)
        self.config = Config(nickname=nickname)
        self.state.create()
        self.starts = 0
        self.start()

    def start(self):
        self.starts += 1
        self.store = Store(self.state.database)
        fresh = self.store.saved_clock() is None
        self.store.clock = lambda: ClockReading(1.0, "boot", 1.0, 1.0)
        heard = {author.person: author.card for author in self.store.authors()}
        own = load_own(self.state, self.config.nickname, fresh=fresh, heard=heard)
        new_log = must_begin_logs(self.state, self.store, own)
        self.people = People(own, self.store.contacts())
        self.journal = Journal()
        self.chains = Chains(
            people=self.people,
            journal=self.journal,
            rng=Random(f"{self.state.root} {self.starts}").randbytes,
            wall=self.wall,
            archive=self.store,
            restored=restore_chains(self.store, new_log=new_log),
        )
        self.peer = SimpleNamespace(
            id=KeyPair(self.state.peer_key()).public,
            mail=SimpleNamespace(people=self.people),
            journal=self.journal,
            chains=self.chains,
            publish=self.chains.publish,
        )
        self.service = DeviceService(self)
        self.seen = []
        self.commit()

    def stop(self):
        self.commit()
        self.store.close()

    def commit(self):
        """Bring to the disk what waits, and from it what is asked for."""
        while self.take() | self.read():
            pass

    def take(self):
        batch = self.journal.take()
        if batch is None:
            return False
        self.store.commit(batch)
        self.journal.committed(0.0)
        for event in self.chains.events():
            self.seen.append(event)
            if isinstance(event, CardHeard):
                self.journal.add(*self.people.take(event.card))
        return True

    def read(self):
        requests = self.chains.reads()
        for request in requests:
            self.chains.blocks_read(request, self.store.log_blocks(*request[1:]), 0.0)
        return bool(requests)

    # what a service asks of the node

    def now(self):
        return 0.0

    def wall(self):
        return 1_800_000_000

    def check_disk(self):
        pass

    async def durable(self):
        self.commit()

    def learn_hints(self, card):
        self.hinted = card

    def hints(self):
        return ["udp:192.0.2.7:6374"]

    # what people do

    def do(self, asked):
        done = asyncio.run(asked)
        self.commit()
        return done

    @property
    def own(self):
        (own,) = self.people.own.values()
        return own

    def request(self):
        return self.do(self.service.device_request()).uri

    def add(self, other):
        """Add another machine's device, and let it join; give the list."""
        found = self.do(self.service.add_device(asks.NewDevice(other.request())))
        other.do(other.service.join_person(asks.Joining(found.card)))
        return found

    def revoke(self, which):
        return self.do(self.service.revoke_device(asks.WhichDevice(which)))

    def listed(self):
        return self.do(self.service.devices())

    def post(self, text):
        self.chains.publish(self.own, Post(text=text), 0.0)
        self.commit()

    def timeline(self):
        """All posts held here of the person who lives here, as they are shown."""
        rows = self.store.timeline([self.own.person], limit=100)
        records = (parse_record(row.body) for row in rows if row.body)
        return sorted(record.text for record in records if isinstance(record, Post))

    def forks(self):
        return [event for event in self.seen if isinstance(event, Forked)]


def meet(one, other):
    """Two machines have a link until they have no more to say."""
    ends = Pipe(one, other), Pipe(other, one)
    pairs = list(zip((one, other), ends, strict=True))
    for machine, end in pairs:
        account = Account(Kind.CONTACT, "neighbour")
        machine.chains.link_up(end, account, 0.0)
    now, quiet = 0.0, 0
    while quiet < 5:
        now += 1.0
        quiet += 1
        for machine, end in pairs:
            machine.chains.wake(now)
            machine.commit()
            far, other_end = pairs[machine is one]
            if end.out:
                quiet = 0
                other_end.came += end.out
                end.out.clear()
                far.chains.readable(other_end, now)
                far.commit()
    for machine, end in pairs:
        assert end.closed is None, end.closed
        machine.chains.link_down(end, now)
        machine.commit()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(vault, "PASSES", 1)
    monkeypatch.setattr(vault, "MEMORY_LOG", 10)


@pytest.fixture
def machine(tmp_path):
    made = []

    def make(name, nickname="ann"):
        made.append(Machine(tmp_path / name, nickname))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def pair(machine):
    """A laptop that has the key, and a phone that joined."""
    laptop, phone = machine("laptop"), machine("phone", "my phone")
    laptop.add(phone)
    return laptop, phone


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


# ---- copies and backups


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


def test_a_list_is_on_the_disk_before_anybody_hears_of_it(machine, monkeypatch):
    laptop, phone = machine("laptop"), machine("phone")
    asked = phone.request()
    monkeypatch.setattr("meshpeer.node.state.os.fsync", lambda fd: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        laptop.do(laptop.service.add_device(asks.NewDevice(asked)))
    assert laptop.own.card.number == 1
    assert not [event for event in laptop.seen if isinstance(event, Held)]
    assert not laptop.store.authors()
