"""Peers with a false disk, joined by false links: reliable, in order, and cut at will."""

from random import Random

from meshpeer.core.formats.bundle import Bundle, Header, Priority
from meshpeer.core.identity.preimage import one_way
from meshpeer.core.journal import Journal
from meshpeer.core.sync.account import Account, Kind
from meshpeer.core.sync.policy import SimplePolicy
from meshpeer.core.sync.queue import Held, Queue
from meshpeer.core.sync.shares import Limits
from meshpeer.core.sync.sync import Sync
from meshpeer.core.sync.verdict import Opened
from meshpeer.core.writes import (
    DropBundle,
    DropOver,
    DropValue,
    PutBundle,
    PutCarried,
    PutOver,
    PutValue,
    TouchBundle,
)

HOUR = 3_600
HEADER = 49


class Disk:
    """Keeps what was committed, as the real store does."""

    def __init__(self):
        self.bundles, self.overs, self.values, self.carried = {}, {}, {}, {}
        self.writes = 0

    def commit(self, writes):
        for write in writes:
            self.writes += 1
            match write:
                case PutBundle():
                    self.bundles[write.id] = write
                case TouchBundle(id, header, received):
                    old = self.bundles[id]
                    wire = header + old.wire[len(header) :]
                    self.bundles[id] = old._replace(wire=wire, received=received)
                case DropBundle(id):
                    del self.bundles[id]
                    self.carried = {
                        key: row for key, row in self.carried.items() if key[0] != id
                    }
                case PutOver():
                    self.overs[write.id] = write
                case DropOver(id):
                    del self.overs[id]
                case PutValue():
                    self.values[write.value] = write
                case DropValue(value):
                    del self.values[value]
                case PutCarried():
                    self.carried[write.bundle, write.peer] = write


class Peer:
    """One peer's sync; `receipts` says which value opens which receipt hash here."""

    def __init__(self, name, now=0.0, disk=None, limits=None, tags=(), policy=None):
        self.name = name
        self.id = name.encode().ljust(32, b".")
        self.disk = disk or Disk()
        self.full = False
        self.journal = Journal()
        self.queue = Queue(
            journal=self.journal, policy=policy or SimplePolicy(), limits=limits
        )
        self.receipts, self.delivered, self.events = {}, [], []
        self.sync = Sync(
            queue=self.queue,
            journal=self.journal,
            rng=Random(name).randbytes,
            deliver=self.deliver,
            now=now,
        )
        self.sync.tags = frozenset(tags)
        for row in self.disk.values.values():
            self.queue.restore_memory(row)
        for row in self.disk.bundles.values():
            self.queue.restore(
                Held(
                    row.id,
                    row.wire[: HEADER + row.wire[3]],
                    len(row.wire),
                    row.account,
                    row.first_seen,
                    row.received,
                    row.own,
                )
            )
        for rows in (self.disk.overs, self.disk.carried):
            for row in rows.values():
                self.queue.restore_memory(row)

    def deliver(self, bundle, account, now):
        verdict = self.receipts[bundle.header.receipt_hash]
        if isinstance(verdict, Opened):
            self.delivered.append(bundle.id)
        return verdict

    def commit(self, now):
        """True if there was something to do."""
        writes = self.journal.take()
        if writes is None:
            return False
        if self.full:
            self.journal.failed()
            self.sync.wake(now)
            return False
        self.disk.commit(writes)
        self.journal.committed(now)
        return True

    def holds(self, bundle):
        return bundle.id in self.queue and bundle.id in self.disk.bundles


class Pipe:
    """One end of a link; what is written waits until the village carries it over."""

    def __init__(self, near, far, initiator):
        self.peer_id, self.initiator = far.id, initiator
        self.binding = b"".join(sorted((near.id, far.id)))[:32]
        self.closed = self.rate = None
        self.out = {n: bytearray() for n in range(4)}
        self.came = {n: bytearray() for n in range(4)}
        self.near, self.other, self.sent = near, None, 0

    def write(self, stream, data):
        assert self.closed is None
        self.out[stream] += data

    def read(self, stream, limit):
        data = bytes(self.came[stream][:limit])
        del self.came[stream][:limit]
        return data

    def buffered(self, stream):
        return len(self.out[stream])

    def close(self, reason):
        self.closed = self.closed or reason


class Village:
    """Moves bytes, commits and loads until nothing moves."""

    def __init__(self, now=0.0):
        self.now = now
        self.pipes = []

    def link(self, left, right, kind=Kind.CONTACT, budget=None):
        near, far = Pipe(left, right, True), Pipe(right, left, False)
        near.other, far.other = far, near
        self.pipes += [near, far]
        near.budget = far.budget = budget
        for pipe in (near, far):
            pipe.near.sync.link_up(pipe, Account(kind, pipe.other.near.name), self.now)
        return near

    def unlink(self, pipe):
        for end in (pipe, pipe.other):
            end.closed = "cut"
            end.near.sync.link_down(end, self.now)
            self.pipes.remove(end)

    def meet(self, left, right, kind=Kind.CONTACT, budget=None):
        """One contact time; gives the bytes that went both ways."""
        pipe = self.link(left, right, kind, budget)
        self.run()
        self.unlink(pipe)
        return pipe.sent + pipe.other.sent

    def run(self):
        for _ in range(10_000):
            moved = [self.carry(pipe) for pipe in list(self.pipes)]
            moved += [self.work(peer) for peer in self.peers()]
            if not any(moved):
                return
        raise AssertionError("it never ends")

    def peers(self):
        return list({pipe.near.id: pipe.near for pipe in self.pipes}.values())

    def carry(self, pipe):
        moved = False
        for stream, data in pipe.out.items():
            room = len(data) if pipe.budget is None else max(0, pipe.budget - pipe.sent)
            if data and room and pipe.closed is None:
                moved = True
                pipe.sent += len(data[:room])
                pipe.other.came[stream] += data[:room]
                del data[:room]
        if moved:
            pipe.other.near.sync.readable(pipe.other, self.now)
            pipe.near.sync.writable(pipe, self.now)
        return moved

    def work(self, peer):
        loads = {id: self.wire(peer, id) for id in peer.sync.loads()}
        peer.sync.loaded(loads, self.now)
        committed = peer.commit(self.now)
        if peer.sync.next_wakeup() == 0.0:
            peer.sync.wake(self.now)
            committed = True
        peer.events += peer.sync.events()
        return bool(loads) or committed

    def wire(self, peer, id):
        row = peer.disk.bundles.get(id)
        return row.wire if row else None


def bundle(
    n,
    *,
    size=300,
    tag=b"T" * 16,
    priority=Priority.NORMAL,
    lifetime=86_400,
    hop_limit=4,
    hops=0,
    age=0,
    hour=490_000,
):
    """A bundle with receipt `receipt(n)`; nothing in it is really sealed."""
    header = Header(
        priority,
        hop_limit,
        tag,
        one_way(one_way(receipt(n))),
        lifetime,
        hour,
        hops,
        age,
    )
    return Bundle.make(header, Random(n).randbytes(size))


def receipt(n):
    return n.to_bytes(16, "big")


def recall(n):
    return one_way(receipt(n))


def capacity(size, bundles=1_000):
    return Limits(size, bundles, large=1.0)
