"""Peers who carry: sync, mail and files on a real store, joined by links that carry bundles only.

Files come over no link here, so whatever arrives came with the queue. What a crash leaves is the
store and the false folder of the library; bytes in it that were not flushed are lost.
"""

from itertools import pairwise
from random import Random

from meshpeer.core.file_writes import PutChunks, PutFile
from meshpeer.core.files.answers import Answers
from meshpeer.core.files.events import FileComplete
from meshpeer.core.files.files import Files
from meshpeer.core.files.parts import Parts
from meshpeer.core.files.requests import (
    CopyChunk,
    Finish,
    Flush,
    ReadChunk,
    RepeatChunk,
    WriteChunk,
)
from meshpeer.core.files.wants import Wants
from meshpeer.core.formats.attachment import Attachment
from meshpeer.core.formats.card import Card
from meshpeer.core.formats.manifest import (
    CHUNK,
    Manifest,
    chunk_hash,
    chunk_size_for,
    want_tag,
)
from meshpeer.core.formats.sealed_file import SLICE, open_chunk, seal_chunk
from meshpeer.core.identity.certificate import Certificate
from meshpeer.core.identity.keys import DeviceKey, PersonKey
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.journal import Journal
from meshpeer.core.mail.draft import Draft
from meshpeer.core.mail.letters import message_state
from meshpeer.core.mail.mail import Mail
from meshpeer.core.mail.people import Own, People
from meshpeer.core.sync.account import Kind
from meshpeer.core.sync.events import CarriedBy, Evicted, ValueSeen, WantCame, WantGone
from meshpeer.core.sync.policy import SimplePolicy
from meshpeer.core.sync.shares import Limits
from meshpeer.core.sync.sync import Sync
from meshpeer.core.writes import Box, DeliveryState
from meshpeer.errors import StoreFullError
from store.restore import _restore_queue, restore_files, restore_mail
from store.store import Store
from tests.core.sync.village import Village

WALL = 1_800_000_000.0


class Crash(Exception):
    """The machine of this peer lost its power."""


def manifest_of(data):
    size = chunk_size_for(len(data))
    cuts = (data[at : at + size] for at in range(0, len(data), size))
    return Manifest(len(data), b"".join(map(chunk_hash, cuts)))


def sealed(data, key):
    """The sealed file of these bytes."""
    slices = [data[at : at + SLICE] for at in range(0, max(1, len(data)), SLICE)]
    last = len(slices) - 1
    return b"".join(
        seal_chunk(key, index, index == last, piece) for index, piece in enumerate(slices)
    )


def opened(data, key):
    """The bytes within a sealed file."""
    slices = [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]
    last = len(slices) - 1
    return b"".join(
        open_chunk(key, index, index == last, piece) for index, piece in enumerate(slices)
    )


class Ring:
    """A key ring that outlives restarts."""

    def __init__(self):
        self.kept = {}

    def keys(self, person):
        return [key for (whose, _), key in self.kept.items() if whose == person]

    def keep(self, person, key):
        self.kept[person, key.number] = key

    def drop(self, person, number):
        self.kept.pop((person, number), None)


class Chain:
    """Who published which sealing key: heard by everybody at once."""

    def __init__(self):
        self.keys = {}

    def sealing_key(self, person, device):
        return self.keys.get((person, device))


class Carrier:
    """One peer with one person; its disk outlives it."""

    def __init__(self, name, world):
        self.name, self.world = name, world
        rng = Random(f"{world.seed} {name}").randbytes
        self.rng = rng
        self.id = name.encode().ljust(32, b".")
        self.person = PersonKey.generate(rng)
        self.device, self.sealing = DeviceKey.generate(rng), KeyPair.generate(rng)
        certificate = Certificate(self.device.public, self.sealing.public, self.id)
        self.card = Card.sign(self.person, number=1, nickname=name, devices=[certificate])
        self.store, self.ring = Store(":memory:"), Ring()
        self.whole, self.partial = {}, {}
        self.full = self.lazy = False
        self.limits = Limits()
        self.crash_at, self.before, self.commits = 0, False, 0
        self.start()

    def start(self):
        now = self.world.now
        self.journal, self.asked = Journal(), {}
        for chunks in self.partial.values():
            chunks["now"] = dict(chunks["flushed"])
        people = People([Own(self.card, self.device, self.sealing)], self.store.contacts())
        queue = _restore_queue(self.store, self.journal, self.limits, SimplePolicy())
        both = {"journal": self.journal, "rng": self.rng, "wall": lambda: WALL + now}
        self.mail = Mail(
            people=people,
            archive=self.store,
            restored=restore_mail(self.store, now),
            ring=self.ring,
            heard=self.world.chain,
            now=now,
            **both,
        )
        self.sync = Sync(
            queue=queue, journal=self.journal, rng=self.rng, deliver=self.deliver, now=now
        )
        self.files = Files(
            shelf=self.store, restored=restore_files(self.store), now=now, **both
        )
        self.parts = Parts(
            files=self.files,
            shelf=self.store,
            journal=self.journal,
            ask_again=self.sync.ask_again,
        )
        self.wants = Wants(
            files=self.parts,
            post=self.sync,
            restored=self.store.wants(),
            now=now,
            **both,
        )
        self.answers = Answers(
            shelf=self.store,
            files=self.parts,
            post=self.sync,
            restored=self.store.answered(),
            held=list(queue.wants()),
            now=now,
            **both,
        )
        self.retag()
        for receipt_hash, bundle in self.mail.outbox.watched():
            self.sync.watch(receipt_hash, bundle, now)
        self.mail.open(post=self.sync, shelf=self.store, parts=self.parts, now=now)
        for row in self.files.fetches():
            self.wants.look(row.file, now)

    @property
    def own(self):
        return self.mail.people.own[self.person.public]

    @property
    def events(self):
        return []

    @events.setter
    def events(self, _):
        pass

    def retag(self):
        self.sync.tags = self.mail.keys.tags | self.wants.tags
        self.tagged = self.wants.changes, self.mail.keys.changes

    def deliver(self, bundle, account, now):
        if bundle.header.tag in self.wants.tags:
            return self.wants.receive(bundle, account, now)
        return self.mail.inbox.receive(bundle, account, now)

    # -- what people do

    def knows(self, other):
        self.journal.add(
            self.mail.people.accept(other.card, None, wall=0),
            self.mail.people.introduce(other.person.public),
        )
        self.settle()

    def publishes(self, data):
        manifest = manifest_of(data)
        self.whole[manifest.id] = data
        tag = want_tag(manifest.id)
        self.journal.add(
            PutFile(manifest.id, tag, manifest.size, manifest.to_bytes(), None),
            PutChunks(manifest.id, manifest.hashes),
        )
        self.settle()
        self.files.known(manifest, self.world.now)
        self.answers.known(manifest.id, self.world.now)
        self.settle()
        return manifest.id

    def fetches(self, file):
        self.files.fetch(file, now=self.world.now)
        self.wants.look(file, self.world.now)
        self.settle()

    def writes(self, other, text, *files):
        attachments = []
        for number, data in enumerate(files):
            key = self.rng(32)
            file = self.publishes(sealed(data, key))
            size = len(self.whole[file])
            attachments.append(Attachment(file, size, f"{number}.bin", "", key))
        contact = self.mail.people.get(other.person.public)
        draft = Draft(text, attachments=tuple(attachments))
        message_id = self.mail.send(self.own, contact, draft, self.world.now)
        self.settle()
        return message_id, attachments

    @staticmethod
    def draft(text, *attachments):
        return Draft(text, attachments=attachments)

    def publishes_key(self, record):
        self.world.chain.keys[self.person.public, self.device.public] = record
        for carrier in self.world.carriers:
            carrier.mail.key_heard(self.person.public)
            carrier.settle()

    # -- what can be seen

    def inbox(self):
        return [row.text for row in self.store.messages(Box.INBOX)]

    def told(self, message_id, kind="state"):
        rows = self.store.events_after(0, 1_000)
        mine = [row.body for row in rows if row.kind == kind]
        return [body for body in mine if message_id.hex() in body]

    def has_told_arrived(self, message_id):
        return any('"arrived"' in body for body in self.told(message_id))

    def states(self, message_id):
        row = next(
            row
            for row in self.store.messages_by_id(message_id.hex())
            if row.box is Box.OUTBOX
        )
        return {row.state for row in self.store.deliveries([row.number])}

    def arrived(self, message_id, other):
        """As a screen says it: from rows alone."""
        files = self.store.attachments(message_id, other.person.public, sent=True)
        lack = any(file.state == "underway" for file in files)
        state = message_state(self.states(message_id), files_lack=lack, over=False)
        return state is DeliveryState.ARRIVED

    def held(self):
        return list(self.store.queue_index())

    # -- the shell

    def settle(self):
        while self.work(self.world.now):
            pass

    def work(self, now):
        moved = False
        for event in self.sync.events():
            moved = True
            match event:
                case ValueSeen(value=value):
                    self.mail.value_seen(value, now)
                case CarriedBy(bundle=bundle, peer=peer):
                    self.mail.outbox.carried(bundle, peer, now)
                case Evicted(bundle=bundle):
                    self.mail.dropped(bundle, now)
                case WantCame(bundle, account):
                    self.answers.came(bundle, account, now)
                case WantGone(bundle, tag, satisfied):
                    self.answers.gone(bundle, tag, satisfied, now)
        for event in self.files.events():
            moved = True
            if isinstance(event, FileComplete):
                self.mail.file_complete(event.file, now)
                self.answers.known(event.file, now)
            if file := getattr(event, "file", None):
                self.parts.look(file, now)
                self.wants.look(file, now)
        for wanted in self.mail.wanted():
            moved = True
            attachment = wanted.attachment
            self.files.fetch(attachment.file, size=attachment.size, now=now)
            self.wants.look(attachment.file, now)
        self.mail.people_changed(now)
        for own, record in self.mail.wake(now):
            assert own.person == self.person.public
            self.publishes_key(record)
        self.wants.wake(now)
        self.answers.wake(now)
        self.files.wake(now)
        moved = moved or self.sync.next_wakeup() == 0.0
        self.sync.wake(now)
        if self.tagged != (self.wants.changes, self.mail.keys.changes):
            self.retag()
        for owner in (self.files, self.answers, self.mail):
            for request in owner.requests():
                self.asked[request] = owner
        while self.asked and not self.lazy:
            moved = True
            request = next(iter(self.asked))
            self.asked.pop(request).done(request, self.do(request), now)
        if loads := self.sync.loads():
            moved = True
            found = self.store.wires(loads)
            self.sync.loaded({id: found.get(id) for id in loads}, now)
        return self.commit(now) or moved

    def commit(self, now):
        batch = self.journal.take()
        if batch is None:
            return False
        self.commits += bool(batch)
        crashes = self.commits == self.crash_at and batch
        if crashes and self.before:
            raise Crash(self)
        self.store.commit(batch)
        if crashes:
            raise Crash(self)
        self.journal.committed(now)
        return True

    def do(self, request):
        partial = self.partial.setdefault(request.file, {"now": {}, "flushed": {}})
        if self.full and not isinstance(request, ReadChunk):
            return StoreFullError("no room on the disk; make some")
        match request:
            case ReadChunk(file, part):
                return self.read(file, part)
            case WriteChunk(_, index, _, data):
                partial["now"][index] = data
            case CopyChunk(_, index, _, _, _, source, at):
                partial["now"][index] = self.read(source, at)
            case RepeatChunk(_, index, indices):
                partial["now"].update(dict.fromkeys(indices, partial["now"][index]))
            case Flush():
                partial["flushed"] = dict(partial["now"])
            case Finish(file):
                pieces = partial["flushed"]
                data = b"".join(pieces[index] for index in range(len(pieces)))
                assert manifest_of(data).id == file
                self.whole[file] = data
        return None

    def read(self, file, part):
        data = self.whole.get(file)
        if data is None:
            return self.partial.get(file, {"now": {}})["now"].get(part)
        return data[part * CHUNK : (part + 1) * CHUNK]

    def content(self, file):
        """The bytes of a file that is here whole."""
        assert self.store.held(want_tag(file)).complete
        return self.whole.get(file) or self.store.blob(file)


class World(Village):
    """Carriers who meet in turns."""

    def __init__(self, *names, seed=0, now=100.0):
        super().__init__(now)
        self.seed = seed
        self.chain = Chain()
        self.carriers = []
        for name in names:
            carrier = Carrier(name, self)
            self.carriers.append(carrier)
            setattr(self, name, carrier)

    def friends(self, *carriers):
        for one in carriers:
            for other in carriers:
                if one is not other:
                    one.knows(other)

    def work(self, carrier):
        return carrier.work(self.now)

    def peers(self):
        return self.carriers

    def run(self):
        """Until nobody has anything to do or to say."""
        super().run()
        while any(map(self.may_carry, self.pipes)):
            super().run()

    @staticmethod
    def may_carry(pipe):
        room = pipe.budget is None or pipe.sent < pipe.budget
        return room and pipe.closed is None and any(pipe.out.values())

    def later(self, seconds):
        """Time goes by, and everybody does what is due."""
        self.now += seconds
        for carrier in self.carriers:
            carrier.settle()

    def crash(self, carrier):
        for pipe in list(self.pipes):
            if pipe.near is not carrier:
                pipe.closed = "gone"
                pipe.near.sync.link_down(pipe, self.now)
        self.pipes.clear()
        carrier.start()
        carrier.settle()

    def chain_of_meetings(self, *carriers, kind=Kind.CONTACT, pause=30.0):
        """Each meets the next, one after the other."""
        for one, other in pairwise(carriers):
            self.meet(one, other, kind)
            self.later(pause)
