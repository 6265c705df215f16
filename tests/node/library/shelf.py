"""A library on a real folder, a real store and the core's real files; no network.

Files that come are handed to the core as if bundles had brought them (`Files.take`).
"""

import asyncio
import os
import time
from contextlib import asynccontextmanager

from meshpeer.core.files.events import FetchFailed, FileComplete
from meshpeer.core.files.files import Files
from meshpeer.core.files.messages import PAGE0, ROOT
from meshpeer.core.files.shelf import RestoredFiles
from meshpeer.core.formats.manifest import Manifest
from meshpeer.core.journal import Journal
from meshpeer.node.library.hashing import Hasher
from meshpeer.node.library.library import Library
from meshpeer.node.writer import Writer
from store.store import Store


class Peer:
    """As much of a node as files need: store, journal, writer, core files and library."""

    def __init__(self, root, *, keep_free=0):
        self.root = root
        root.mkdir(exist_ok=True)
        self.store = Store(root / "meshpeer.db")
        self.journal = Journal()
        rows = self.store.fetches_underway()
        known = {row.file: self.store.whole_file(row.file) for row in rows}
        self.files = Files(
            journal=self.journal,
            rng=os.urandom,
            wall=time.time,
            shelf=self.store,
            restored=RestoredFiles(
                tuple(rows), {id: row for id, row in known.items() if row is not None}
            ),
            now=self.now(),
        )
        self.library = Library(
            self.store,
            self.journal,
            self.files,
            root / "files",
            now=self.now,
            soon=self.soon,
            keep_free=keep_free,
            settings=self.store.settings,
        )
        self.complete = set()
        self.refused = []
        self._due = False
        self._timer = None
        self._happened = asyncio.Event()

    def now(self):
        return time.monotonic()

    def start(self):
        self.loop = asyncio.get_running_loop()
        self.writer = Writer(
            self.store,
            self.journal,
            committed=self._committed,
            failed=lambda error: self.refused.append(error),
        )
        self.library.start()
        self.soon()
        return self

    async def close(self):
        await self.library.close()
        if self._timer:
            self._timer.cancel()
        await self.writer.close()
        self.store.close()

    def soon(self):
        if not self._due:
            self._due = True
            self.loop.call_soon(self.turn)

    def turn(self):
        self._due = False
        now = self.now()
        self.files.wake(now)
        for event in self.files.events():
            if isinstance(event, FileComplete):
                self.complete.add(event.file)
                self.library.complete(event.file)
            elif isinstance(event, FetchFailed):
                self.library.failed(event.file, event.why)
        self.library.turn()
        self.writer.turn()
        if self._timer:
            self._timer.cancel()
        due = self.files.next_wakeup()
        self._timer = self.loop.call_later(max(due - now, 0.01), self.soon) if due else None
        self._happened.set()
        self._happened = asyncio.Event()

    def _committed(self, batch):
        self.journal.committed(self.now())
        self.soon()

    async def until(self, holds, what):
        """Wait for turns until this holds."""
        async with asyncio.timeout(20):
            while not holds():
                happened = self._happened
                try:
                    await asyncio.wait_for(happened.wait(), 0.05)
                except TimeoutError:
                    continue
        assert holds(), what

    def bring(self, data, *, only=None):
        """Hand over parts of a file as if bundles had brought them; give its id."""
        manifest = manifest_of(data)
        self.bring_manifest(manifest)
        for index in range(manifest.count) if only is None else only:
            at = index * manifest.chunk_size
            self.files.take(
                manifest.id, index, data[at : at + manifest.chunk_size], self.now()
            )
        self.soon()
        return manifest.id

    def bring_manifest(self, manifest):
        self.files.take(manifest.id, ROOT, manifest.root, self.now())
        for number, page in enumerate(manifest.pages):
            self.files.take(manifest.id, PAGE0 + number, page, self.now())

    def content(self, file):
        """Read a file as others would get it, from this loop's point of view."""
        return self.library.content(file, 1 << 30)


def manifest_of(data) -> Manifest:
    return Hasher().data(data)


@asynccontextmanager
async def peer(root, **options):
    """Give a running peer."""
    running = Peer(root, **options).start()
    try:
        yield running
    finally:
        await running.close()
