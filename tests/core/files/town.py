"""Hosts with a false disk on a false network, in virtual time: rates, latencies, links that end.

Each host's uplink and downlink carry so many bytes a second, whatever the number of its links;
those with something to send take turns, piece by piece. Each stream has a window, as real links
have. The same seed gives the same run; nothing sleeps.
"""

from collections import deque
from functools import partial
from random import Random

from meshpeer.core.file_writes import (
    DropFetch,
    DropFile,
    PutBlob,
    PutChunks,
    PutFetch,
    PutFile,
)
from meshpeer.core.files.events import ChunkCame, FileComplete, HolderBanned
from meshpeer.core.files.files import Files
from meshpeer.core.files.requests import (
    CopyChunk,
    Damaged,
    Finish,
    Flush,
    ReadChunk,
    RepeatChunk,
    WriteChunk,
)
from meshpeer.core.files.shelf import Held, RestoredFiles
from meshpeer.core.formats.manifest import (
    HASH_SIZE,
    Manifest,
    chunk_hash,
    chunk_size_for,
    want_tag,
)
from meshpeer.core.journal import Journal
from meshpeer.errors import StoreError, StoreFullError
from meshpeer.sim.loop import Alarm, Loop

MBIT = 125_000.0
PIECE = 16_384
WINDOW = 1 << 20
DISK_S = 0.003


def manifest_of(data):
    size = chunk_size_for(len(data))
    cuts = (data[at : at + size] for at in range(0, len(data), size))
    return Manifest(len(data), b"".join(map(chunk_hash, cuts)))


class Disk:
    """What outlives a crash: rows, whole files, and what was flushed of partial ones."""

    def __init__(self):
        self.files, self.fetches, self.blobs = {}, {}, {}
        self.contents, self.partial, self.chunks = {}, {}, {}

    def commit(self, writes):
        for write in writes:
            match write:
                case PutFile():
                    self.files[write.id] = write
                case PutBlob(file, data):
                    self.contents[file] = data
                case PutChunks(file, hashes):
                    for at in range(0, len(hashes), HASH_SIZE):
                        found = file, at // HASH_SIZE
                        self.chunks.setdefault(hashes[at : at + HASH_SIZE], found)
                case PutFetch():
                    self.fetches[write.file] = write
                case DropFetch(file):
                    self.fetches.pop(file, None)
                case DropFile(file):
                    self.files.pop(file, None)


class End:
    """One end of a link."""

    def __init__(self, near, far, latency):
        self.near, self.far, self.latency = near, far, latency
        self.peer_id, self.initiator, self.binding = far.id, True, b"B" * 32
        self.closed, self.rtt, self.rate = None, 2 * latency, None
        self.out = {}
        self.waiting = {}
        self.came = {}
        self.credit = {}
        self.other = None
        self.sent = 0

    def write(self, stream, data):
        if self.closed is None and data:
            self.out.setdefault(stream, deque()).append(bytes(data))
            self.waiting[stream] = self.waiting.get(stream, 0) + len(data)
            self.near.pump()

    def read(self, stream, limit):
        came = self.came.get(stream)
        if not came:
            return b""
        data = bytes(came[:limit])
        del came[:limit]
        self.other.credit[stream] = self.other.credit.get(stream, WINDOW) + len(data)
        self.other.near.pump()
        return data

    def buffered(self, stream):
        return self.waiting.get(stream, 0)

    def close(self, reason):
        self.closed = self.closed or reason
        loop = self.near.town.loop
        loop.at(loop.now, lambda: self.near.town.unlink(self))

    def take(self):
        """The next piece that may go, lower streams first."""
        for stream in sorted(self.out):
            credit = self.credit.get(stream, WINDOW)
            pieces = self.out[stream]
            if not pieces or credit <= 0:
                continue
            data, size = b"", min(PIECE, credit)
            while pieces and len(data) < size:
                part = pieces.popleft()
                if len(data) + len(part) > size:
                    cut = size - len(data)
                    pieces.appendleft(part[cut:])
                    part = part[:cut]
                data += part
            self.credit[stream] = credit - len(data)
            self.waiting[stream] -= len(data)
            self.sent += len(data)
            return stream, data
        return None


class Host:
    """A peer's files, with the shell that a node would be."""

    def __init__(self, town, name, up, down, disk=None, limits=None):
        self.town, self.name = town, name
        self.id = name.encode().ljust(32, b".")
        self.up, self.down = up, down
        self.busy_until = self.down_free = 0.0
        self.turn = deque()
        self.limits = limits
        self.disk = disk or Disk()
        self.full = False
        self.lies = set()
        self.events, self.completed, self.banned, self.chunks_came = [], {}, [], []
        self.reads = 0
        self.asked = []
        self.disk_rate, self.disk_free = None, 0.0
        self.life = 0
        self.hour = 12
        self.boot()

    def boot(self):
        self.life += 1
        disk = self.disk
        for rows in disk.partial.values():
            rows["now"] = dict(rows["flushed"])
        self.journal = Journal()
        self.random = Random(f"{self.town.seed} {self.name} {self.life}")
        self.alarm = Alarm(self.town.loop, self.wake)
        self.settling = False
        fetches = [r for r in disk.fetches.values() if r.state not in ("done", "failed")]
        self.files = Files(
            journal=self.journal,
            rng=self.random.randbytes,
            wall=lambda: self.hour * 3_600 + self.town.loop.now,
            shelf=self,
            restored=RestoredFiles(
                tuple(fetches),
                {r.file: disk.files[r.file] for r in fetches if r.file in disk.files},
            ),
            now=self.now,
            limits=self.limits,
        )
        self.settle()

    def crash(self):
        for end in [end for end in self.town.ends if end.near is self]:
            self.town.unlink(end)
        self.boot()

    @property
    def now(self):
        return self.town.loop.now

    # -- the shelf

    def held(self, tag):
        for row in self.disk.files.values():
            if row.tag == tag:
                return Held(row.id, row.size, row.have is None)
        return None

    def manifest(self, file):
        row = self.disk.files.get(file)
        return row.manifest if row else None

    def chunk_elsewhere(self, hash):
        return self.disk.chunks.get(hash)

    # -- what somebody does

    def publish(self, data):
        manifest = manifest_of(data)
        self.disk.contents[manifest.id] = data
        self.disk.commit(
            [
                PutFile(
                    manifest.id, want_tag(manifest.id), len(data), manifest.to_bytes(), None
                ),
                PutChunks(manifest.id, manifest.hashes),
            ]
        )
        self.files.known(manifest, self.now)
        self.settle()
        return manifest

    def fetch(self, file, **settings):
        self.files.fetch(file, now=self.now, **settings)
        self.settle()

    def has(self, file):
        return self.disk.contents.get(file)

    # -- the shell

    def wake(self):
        self.files.wake(self.now)
        self.settle()

    def settle(self):
        if not self.settling:
            self.settling = True
            self.town.loop.at(self.now, self.really_settle)

    def really_settle(self):
        self.settling = False
        for event in self.files.events():
            match event:
                case FileComplete(file):
                    self.completed[file] = self.now
                case HolderBanned():
                    self.banned.append(event)
                case ChunkCame(_, chunk):
                    self.chunks_came.append(chunk)
            self.events.append(event)
        if (writes := self.journal.take()) is not None:
            self.later(lambda: self.commit(writes))
        for request in self.files.requests():
            self.asked.append(request)
            done = partial(self.answer, request)
            if self.disk_rate and not isinstance(request, ReadChunk):
                self.disk_free = max(self.disk_free, self.now) + self.takes(request)
                self.later(done, self.disk_free)
            else:
                self.later(done)
        due = self.files.next_wakeup()
        self.alarm.set(None if due is None else max(due, self.now + 0.001))

    def takes(self, request):
        """How long the disk has nothing else to do."""
        match request:
            case WriteChunk(_, _, _, data):
                return len(data) / self.disk_rate
            case CopyChunk():
                return request.size / self.disk_rate
            case RepeatChunk(_, _, indices):
                return request.size * len(indices) / self.disk_rate
        return DISK_S

    def later(self, action, at=0.0):
        life = self.life

        def act():
            if life == self.life:
                action()
                self.settle()

        self.town.loop.at(max(self.now + DISK_S, at), act)

    def commit(self, writes):
        if self.full:
            self.journal.failed()
        else:
            self.disk.commit(writes)
            self.journal.committed(self.now)

    def answer(self, request):
        self.files.done(request, self.do(request), self.now)

    def do(self, request):
        disk = self.disk
        partial = disk.partial.setdefault(request.file, {"now": {}, "flushed": {}})
        if self.full and not isinstance(request, ReadChunk):
            return StoreFullError("no room on the disk; make some")
        match request:
            case ReadChunk(file, part):
                self.reads += 1
                return self.read(file, part)
            case WriteChunk(_, index, _, data):
                partial["now"][index] = data
            case CopyChunk(file, index, _, _, hash, source, at):
                data = self.read(source, at)
                if data is None or chunk_hash(data) != hash:
                    return StoreError("it is another chunk now")
                partial["now"][index] = data
            case RepeatChunk(_, index, indices, _, _, hash):
                data = partial["now"].get(index, b"")
                if chunk_hash(data) != hash:
                    return Damaged([index])
                partial["now"].update(dict.fromkeys(indices, data))
            case Flush():
                partial["flushed"] = dict(partial["now"])
            case Finish(file):
                pieces = partial["flushed"]
                data = b"".join(pieces[index] for index in range(len(pieces)))
                assert manifest_of(data).id == file
                disk.contents[file] = data
                del disk.partial[file]
        return None

    def read(self, file, part):
        data = self.disk.contents.get(file)
        if data is None:
            data = self.disk.partial.get(file, {"now": {}})["now"].get(part)
        else:
            size = chunk_size_for(len(data))
            data = data[part * size : (part + 1) * size]
        if data and part in self.lies:
            return bytes(len(data))
        return data

    # -- the network

    def pump(self):
        if self.busy_until <= self.now and not getattr(self, "pumping", False):
            self.pumping = True
            self.town.loop.at(self.now, self.send)

    def send(self):
        self.pumping = False
        if self.busy_until > self.now:
            return
        for _ in range(len(self.turn)):
            end = self.turn[0]
            self.turn.rotate(-1)
            if end.closed is None and (piece := end.take()):
                stream, data = piece
                self.busy_until = self.now + len(data) / self.up
                self.town.loop.at(self.busy_until, self.send)
                arrives = self.busy_until + end.latency
                self.town.loop.at(arrives, partial(end.far.queue, end, *piece))
                if end.waiting[stream] < 262_144:
                    self.files.writable(end, self.now)
                    self.settle()
                return

    def queue(self, end, stream, data):
        self.down_free = max(self.down_free, self.now) + len(data) / self.down
        self.town.loop.at(self.down_free, lambda: self.receive(end, stream, data))

    def receive(self, end, stream, data):
        if end.closed is None and end.other.closed is None:
            end.other.came.setdefault(stream, bytearray()).extend(data)
            self.files.readable(end.other, self.now)
            self.settle()


class Town:
    """All hosts and links of one run."""

    def __init__(self, seed=1):
        self.seed, self.loop = seed, Loop()
        self.ends = []

    def host(self, name, up=100 * MBIT, down=100 * MBIT, **settings):
        return Host(self, name, up, down, **settings)

    def link(self, left, right, latency=0.001):
        near, far = End(left, right, latency), End(right, left, latency)
        near.other, far.other = far, near
        for end in (near, far):
            self.ends.append(end)
            end.near.turn.append(end)
        for end in (near, far):
            end.near.files.link_up(end, self.loop.now)
            end.near.settle()
        return near

    def unlink(self, end):
        for one in (end, end.other):
            one.closed = one.closed or "cut"
            if one in self.ends:
                self.ends.remove(one)
                one.near.turn.remove(one)
                one.near.files.link_down(one, self.loop.now)
                one.near.settle()

    def leave(self, host):
        for end in [end for end in self.ends if end.near is host]:
            self.unlink(end)

    def run(self, until):
        self.loop.run(self.loop.now + until)

    def run_until(self, done, limit=600.0):
        """Run until it is so; give the seconds that took."""
        start = self.loop.now
        while not done():
            if self.loop.now - start > limit:
                raise AssertionError(f"not within {limit} s")
            self.loop.run(self.loop.now + 0.01)
        return self.loop.now - start
