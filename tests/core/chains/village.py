"""Peers with false disks, joined by false links: reliable, in order, and cut at will."""

from random import Random

from meshpeer.core.chain_writes import (
    CutLog,
    DropAuthor,
    DropBody,
    DropFollow,
    DropLog,
    DropWithdrawn,
    PutAuthor,
    PutBlock,
    PutFollow,
    PutFork,
    PutLog,
    PutWithdrawn,
)
from meshpeer.core.chains.archive import RestoredChains
from meshpeer.core.chains.chains import Chains
from meshpeer.core.chains.events import Held
from meshpeer.core.formats.block import NO_BLOCK, Block, Header, skip_of
from meshpeer.core.formats.card import Card
from meshpeer.core.formats.record import Post
from meshpeer.core.identity.certificate import Certificate
from meshpeer.core.identity.keys import DeviceKey, PersonKey
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.journal import Journal
from meshpeer.core.mail.people import Own, People
from meshpeer.core.sync.account import Account, Kind
from store.restore import restore_chains
from store.store import Store

STREAM = 4


class Disk:
    """Keeps what was committed, and finds it again as the store does."""

    def __init__(self):
        self.blocks, self.logs, self.forks = {}, {}, {}
        self.authors, self.follows, self.taken_back = {}, {}, set()
        self.places = {}

    def commit(self, writes):
        for write in writes:
            match write:
                case PutBlock():
                    known = self.blocks.get(write.id)
                    if known is None or known.body is None:
                        self.blocks[write.id] = write
                    self.places[write.device, write.log, write.sequence] = write.id
                case DropBody(id):
                    if id in self.blocks:
                        self.blocks[id] = self.blocks[id]._replace(body=None, item=None)
                case PutLog():
                    self.logs[write.device, write.log] = write
                case DropLog(device, log):
                    self.logs.pop((device, log), None)
                    self.forks.pop((device, log), None)
                    self._cut(device, log, 1, 0)
                case CutLog(device, log, first, last):
                    self._cut(device, log, first, last)
                case PutFork():
                    self.forks.setdefault((write.device, write.log), write)
                case PutAuthor():
                    self.authors[write.person] = write
                case DropAuthor(person):
                    self.authors.pop(person, None)
                    self.taken_back = {row for row in self.taken_back if row[1] != person}
                case PutFollow():
                    self.follows[write.person] = write
                case DropFollow(person):
                    self.follows.pop(person, None)
                case PutWithdrawn():
                    self.taken_back.add(tuple(write))
                case DropWithdrawn(person):
                    rows = self.taken_back
                    self.taken_back = {
                        row for row in rows if row[1] != person or row[0] in self.blocks
                    }

    def _cut(self, device, log, first, last):
        for key in [key for key in self.places if key[:2] == (device, log)]:
            if not first <= key[2] <= last:
                del self.blocks[self.places.pop(key)]

    def copy(self):
        other = type(self)()
        other.commit(self.everything())
        return other

    def everything(self):
        """Writes that make another disk hold the same."""
        kept = (self.blocks, self.logs, self.forks, self.authors, self.follows)
        rows = [row for rows in kept for row in rows.values()]
        return rows + [PutWithdrawn(*row) for row in self.taken_back]

    def restored(self, new_log=False):
        return RestoredChains(
            list(self.logs.values()),
            list(self.authors.values()),
            list(self.follows.values()),
            list(self.forks.values()),
            new_log,
        )

    @property
    def kept_logs(self):
        return self.logs

    @property
    def kept_forks(self):
        return self.forks

    @property
    def kept_authors(self):
        return self.authors

    # -- what chains look up

    def block_id(self, device, log, sequence):
        return self.places.get((device, log, sequence))

    def header(self, id):
        row = self.blocks.get(id)
        return row.header if row else None

    def body(self, id):
        row = self.blocks.get(id)
        return row.body if row else None

    def withdrawn(self, target):
        return {person for id, person in self.taken_back if id == target}

    def count_withdrawn(self, person):
        return sum(row[1] == person for row in self.taken_back)

    def log_blocks(self, device, log, first, last, limit):
        ids = [self.block_id(device, log, n) for n in range(last, first - 1, -1)]
        rows = [self.blocks[id] for id in ids if id is not None]
        return [(row.header, row.body) for row in rows[:limit]]

    def log_sizes(self, device, log, first, last):
        ids = [(n, self.block_id(device, log, n)) for n in range(first, last + 1)]
        rows = [(n, self.blocks[id]) for n, id in ids if id is not None]
        return [(n, len(row.header) + len(row.body or b"")) for n, row in rows]


class StoreDisk(Store):
    """The real store, with the lists that tests look at."""

    def __init__(self):
        super().__init__(":memory:")

    @property
    def blocks(self):
        rows = self._all("SELECT n, header, body, received, received_wall FROM block")
        found = {}
        for number, data, body, received, wall in rows:
            h = Header.parse(data)
            row = self.record(number)
            found[h.id] = PutBlock(
                h.id, h.person, h.device, h.log, h.sequence, h.lamport, data, body,
                received, wall, row.item,
            )  # fmt: skip
        return found

    @property
    def places(self):
        return {(b.device, b.log, b.sequence): id for id, b in self.blocks.items()}

    @property
    def kept_logs(self):
        return {(row.device, row.log): row for row in self.logs()}

    @property
    def kept_forks(self):
        return {(row.device, row.log): row for row in self.forks()}

    @property
    def kept_authors(self):
        return {row.person: row for row in self.authors()}

    def copy(self):
        other = StoreDisk()
        taken = self._all("SELECT target, id FROM withdrawn JOIN key ON n = person")
        rows = [PutWithdrawn(*row) for row in taken]
        rows += [*self.blocks.values(), *self.logs(), *self.authors(), *self.forks()]
        other.commit(rows + self.follows())
        return other

    def restored(self, new_log=False):
        return restore_chains(self, new_log=new_log)


class Person:
    """Somebody with some devices; number 1 of the card is made at once."""

    def __init__(self, name, devices=1, seed=0):
        self.name = name
        self.rng = Random(f"{name}{seed}").randbytes
        self.key = PersonKey.generate(self.rng)
        self.devices = [self._device() for _ in range(devices)]
        self.number = 0
        self.issue()

    def _device(self):
        device, sealing = DeviceKey.generate(self.rng), KeyPair.generate(self.rng)
        return device, sealing, KeyPair.generate(self.rng).public

    @property
    def id(self):
        return self.key.public

    def issue(self, revoked=(), without=()):
        """A newer card."""
        self.number += 1
        gone = {revocation.device for revocation in revoked} | set(without)
        self.card = Card.sign(
            self.key,
            number=self.number,
            nickname=self.name,
            devices=[
                Certificate(device.public, sealing.public, peer)
                for device, sealing, peer in self.devices
                if device.public not in gone
            ],
            revoked=revoked,
        )
        return self.card

    def own(self, device=0):
        key, sealing, _ = self.devices[device]
        return Own(self.card, key, sealing)


class Log:
    """Makes blocks as a device does, honest or not."""

    def __init__(self, person, device=0, id=b"L" * 16):
        self.person, self.key, self.id = person, person.devices[device][0], id
        self.blocks = []

    def add(self, record=None, *, body=None, **lies):
        """The next block."""
        n = len(self.blocks) + 1
        record = record or Post(f"{self.person.name} {n}")
        parts = {
            "person": self.person.id,
            "log": self.id,
            "sequence": n,
            "lamport": n,
            "previous": self.blocks[-1].id if self.blocks else NO_BLOCK,
            "skip": self.blocks[skip_of(n) - 1].id if n > 1 else NO_BLOCK,
            "body": record.to_bytes() if body is None else body,
        }
        block = Block.sign(self.key, **(parts | lies))
        self.blocks.append(block)
        return block

    def grow(self, count):
        return [self.add() for _ in range(count)]

    def branch(self, at):
        """Another log of the same name that shares the first blocks."""
        other = Log(self.person, id=self.id)
        other.key, other.blocks = self.key, self.blocks[:at]
        return other


class Peer:
    """One peer's chains, with a person on it."""

    disk_type = Disk

    def __init__(
        self, name, person=None, *, disk=None, device=0, limits=None, new_log=False, now=0.0
    ):
        self.name = name
        self.id = name.encode().ljust(32, b".")
        self.person = person or Person(name)
        self.device = device
        self.disk = self.disk_type() if disk is None else disk
        self.limits = limits
        self.people = People([self.person.own(device)])
        self.full = False
        self.starts = len(self.disk.kept_logs)
        self.start(new_log, now)

    def start(self, new_log=False, now=0.0):
        """Begin with what is on the disk."""
        self.starts += 1
        self.journal = Journal()
        self.events = []
        self.chains = Chains(
            people=self.people,
            journal=self.journal,
            rng=Random(f"{self.name}{self.starts}").randbytes,
            wall=lambda: 1_800_000_000.0,
            archive=self.disk,
            restored=self.restored(new_log),
            limits=self.limits,
            now=now,
        )
        self.commit(now)

    def restored(self, new_log):
        return self.disk.restored(new_log)

    @property
    def own(self):
        return self.people.own[self.person.id]

    def knows(self, *persons):
        for person in persons:
            self.people.accept(person.card, None, wall=0)
        self.chains.wake(0.0)
        self.commit(0.0)

    def posts(self, *texts, now=0.0):
        """Publish, without the disk."""
        return [self.chains.publish(self.own, Post(text), now) for text in texts]

    def say(self, record, now=0.0):
        block = self.chains.publish(self.own, record, now)
        self.commit(now)
        return block

    def commit(self, now):
        """True if there was something to do."""
        moved = False
        while (writes := self.journal.take()) is not None:
            if self.full:
                self.journal.failed()
                self.chains.wake(now)
                return moved
            self.disk.commit(writes)
            self.journal.committed(now)
            moved = True
        return moved

    def take(self, *blocks, now=0.0):
        """As if a neighbour had brought them, each by itself."""
        for block in blocks:
            self.chains.intake.take(block, now)
            self.chains._settle(None, now)
            self.chains._refresh(now)
        self.commit(now)

    def heard(self, kind=None):
        self.events += self.chains.events()
        return [event for event in self.events if kind is None or isinstance(event, kind)]

    def texts(self, person):
        """What is held of a person, in order."""
        held = [event for event in self.heard(Held) if event.person == person.id]
        held.sort(key=lambda event: (event.lamport, event.device))
        return [event.record.text for event in held if isinstance(event.record, Post)]

    def rows(self, person):
        """Device, log, sequence, id and whether there is a body of all that is on the disk."""
        return {
            (*Header.parse(row.header)[1:4], row.id, row.body is not None)
            for row in self.disk.blocks.values()
            if row.person == person.id
        }


class Pipe:
    """One end of a link; what is written waits until the village carries it over."""

    def __init__(self, near, far, initiator):
        self.peer_id, self.initiator = far.id, initiator
        self.binding = b"".join(sorted((near.id[:16], far.id[:16])))
        self.closed = self.rate = None
        self.out, self.came = bytearray(), bytearray()
        self.near, self.other, self.sent = near, None, 0
        self.deaf = False

    def write(self, stream, data):
        assert stream == STREAM
        assert self.closed is None
        self.out += data

    def read(self, stream, limit):
        data = bytes(self.came[:limit])
        del self.came[:limit]
        return data

    def buffered(self, stream):
        return len(self.out)

    def close(self, reason):
        self.closed = self.closed or reason


class Village:
    """Moves bytes, commits and reads until nothing moves."""

    def __init__(self, now=0.0):
        self.now = now
        self.pipes = []

    def link(self, left, right):
        near, far = Pipe(left, right, True), Pipe(right, left, False)
        near.other, far.other = far, near
        self.pipes += [near, far]
        for pipe in (near, far):
            account = Account(Kind.CONTACT, pipe.other.near.name)
            pipe.near.chains.link_up(pipe, account, self.now)
        return near

    def unlink(self, pipe):
        for end in (pipe, pipe.other):
            end.closed = "cut"
            end.near.chains.link_down(end, self.now)
            self.pipes.remove(end)

    def meet(self, left, right):
        """One contact time; gives the bytes that went both ways."""
        pipe = self.link(left, right)
        self.run()
        self.unlink(pipe)
        return pipe.sent + pipe.other.sent

    def run(self, rounds=100_000):
        for _ in range(rounds):
            if not self.step():
                return
        raise AssertionError("it never ends")

    def step(self):
        """All that waits is carried once; False if nothing moved."""
        moved = [self.carry(pipe) for pipe in list(self.pipes)]
        moved += [self.work(peer) for peer in self.peers()]
        return any(moved)

    def peers(self):
        return list({pipe.near.id: pipe.near for pipe in self.pipes}.values())

    def carry(self, pipe):
        if not pipe.out or pipe.closed or pipe.other.deaf:
            return False
        pipe.sent += len(pipe.out)
        pipe.other.came += pipe.out
        pipe.out.clear()
        pipe.other.near.chains.readable(pipe.other, self.now)
        pipe.near.chains.writable(pipe, self.now)
        return True

    def work(self, peer):
        reads = peer.chains.reads()
        for request in reads:
            rows = peer.disk.log_blocks(*request[1:])
            peer.chains.blocks_read(request, rows, self.now)
        committed = peer.commit(self.now)
        due = peer.chains.next_wakeup()
        if due is not None and due <= self.now:
            peer.chains.wake(self.now)
            committed = True
        peer.heard()
        return bool(reads) or committed

    def wait(self, seconds):
        """Let time pass, a second at a time."""
        for _ in range(int(seconds)):
            self.now += 1.0
            for peer in self.peers():
                peer.chains.wake(self.now)
            self.run()
