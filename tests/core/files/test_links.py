"""Files over real links: what the false ones of the other tests leave out."""

from random import Random

from meshpeer.core.file_writes import PutFile
from meshpeer.core.files.events import FileComplete
from meshpeer.core.files.files import Files
from meshpeer.core.files.requests import ReadChunk, RepeatChunk, WriteChunk
from meshpeer.core.files.shelf import Held
from meshpeer.core.formats.manifest import CHUNK, want_tag
from meshpeer.core.journal import Journal
from meshpeer.core.link.events import LinkDown, LinkUp, Readable, Writable
from tests.core.files.town import manifest_of
from tests.core.link.pair import Network

MIB = 1 << 20


class Shelf:
    """The files of one node."""

    def __init__(self):
        self.contents, self.manifests = {}, {}

    def held(self, tag):
        manifest = self.manifests.get(tag)
        return Held(manifest.id, manifest.size, True) if manifest else None

    def manifest(self, file):
        return self.manifests[want_tag(file)].to_bytes()

    def chunk_elsewhere(self, hash):
        return None

    def put(self, data):
        manifest = manifest_of(data)
        self.contents[manifest.id] = data
        self.manifests[want_tag(manifest.id)] = manifest
        return manifest.id


class Sharer:
    """Files on a node of the simulated network of link tests; its disk takes no time."""

    def __init__(self, network, name):
        self.network, self.node, self.shelf = network, network.node(name), Shelf()
        self.node.reads = False
        self.node.on_event = self.take
        self.journal, self.done, self.pieces = Journal(), set(), {}
        self.files = Files(
            journal=self.journal,
            rng=Random(name).randbytes,
            wall=lambda: 0.0,
            shelf=self.shelf,
            now=network.now,
        )

    def take(self, event):
        now = self.network.now
        match event:
            case LinkUp(link):
                self.files.link_up(link, now)
            case LinkDown(link):
                self.files.link_down(link, now)
            case Readable(link):
                self.files.readable(link, now)
            case Writable(link):
                self.files.writable(link, now)
        self.work()

    def work(self):
        now = self.network.now
        due = self.files.next_wakeup()
        if due is not None and due <= now:
            self.files.wake(now)
        while requests := self.files.requests():
            for request in requests:
                self.files.done(request, self.do(request), now)
        if (writes := self.journal.take()) is not None:
            self.journal.committed(now)
            for write in writes:
                if isinstance(write, PutFile) and write.have is None and self.pieces:
                    self.shelf.put(b"".join(map(self.pieces.get, sorted(self.pieces))))
        for event in self.files.events():
            if isinstance(event, FileComplete):
                self.done.add(event.file)

    def do(self, request):
        if isinstance(request, ReadChunk):
            at = request.index * CHUNK
            return self.shelf.contents[request.file][at : at + request.size]
        if isinstance(request, WriteChunk):
            self.pieces[request.index] = request.data
        if isinstance(request, RepeatChunk):
            data = self.pieces[request.index]
            self.pieces.update(dict.fromkeys(request.indices, data))
        return None


def carry(network, sharers, seconds):
    """Run, and wake whoever is due, until all have the file."""
    end = network.now + seconds
    while network.now < end and not all(sharer.done for sharer in sharers):
        network.run(0.02)
        for sharer in sharers:
            sharer.work()
            sharer.node.flush()


def fetched(wire, size):
    network = Network()
    for setting, value in wire.items():
        setattr(network.default, setting, value)
    source, fetcher = Sharer(network, "source"), Sharer(network, "fetcher")
    data = Random(7).randbytes(size)
    file = source.shelf.put(data)
    source.node.connect(fetcher.node)
    fetcher.files.fetch(file, size=size, now=network.now)
    began = network.now
    carry(network, [fetcher], 60)
    assert fetcher.shelf.contents[file] == data
    assert not source.files.counters
    assert not fetcher.files.counters
    return network.now - began


def test_a_file_comes_over_a_real_link_at_the_speed_of_the_link():
    took = fetched({"rate": 100e6, "latency": 0.005}, 8 * MIB)
    assert took < 8 * MIB * 8 / 100e6 * 1.4 + 0.3


def test_a_file_comes_over_a_link_that_loses_and_reorders():
    fetched({"rate": 20e6, "latency": 0.02, "loss": 0.03, "jitter": 0.01}, 2 * MIB)
