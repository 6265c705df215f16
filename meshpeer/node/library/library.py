"""All that a peer does with ordinary files: publishing, reading, writing, watching, mirroring.

The node gives it what the core asks for (`turn`) and tells it which files are complete; it answers
in the loop, and journals what has to last before it says that anything is done. Disks are slow and
may hang, so nothing here blocks the loop: three threads, one that reads chunks for others and one
that writes what comes (chunks.py), one that looks through folders and hashes.

A file is fetched for somebody, who named a place or takes the folder of files, or for a mirror,
whose place is in the mirror's own folder until it is moved. If both want it, the person's wish
decides where it goes, and the mirror copies.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from meshpeer.core.file_writes import (
    DropFetch,
    DropFile,
    DropPlace,
    FileWrite,
    PutFetch,
    PutPlace,
)
from meshpeer.core.files.files import Files
from meshpeer.core.files.requests import Request
from meshpeer.core.formats.manifest import Manifest
from meshpeer.core.journal import Journal
from meshpeer.errors import NotFoundError, StoreError
from meshpeer.node.library import packing
from meshpeer.node.library.chunks import Chunks, is_a_mirrors
from meshpeer.node.library.further_places import FurtherPlace, FurtherPlaces
from meshpeer.node.library.mirroring import Goal, Mirror, Mirrors, Needed
from meshpeer.node.library.partials import KEEP_FREE
from meshpeer.node.library.underway import Underway
from meshpeer.node.library.watches import Watches
from store.files import FileReads

if TYPE_CHECKING:  # publishing is imported by who does so, as watching is: 0.3 MB
    from meshpeer.node.library.publishing import (
        Changes,
        Published,
        PublishedFolder,
        Publishing,
    )

__all__ = ["FurtherPlace", "Goal", "Library", "Mirror", "Needed"]

log = logging.getLogger("meshpeer.library")

BACKGROUND: Final = -10
"""The priority of what mirrors fetch: behind what people wait for."""

Result = TypeVar("Result")


class Library:
    """The files of one peer. Its methods are for the loop."""

    def __init__(
        self,
        store: FileReads,
        journal: Journal,
        files: Files,
        folder: Path,
        *,
        now: Callable[[], float],
        soon: Callable[[], None],
        keep_free: int = KEEP_FREE,
        asked: Callable[[], Sequence[Request]] | None = None,
        done: Callable[[Request, bytes | StoreError | None, float], None] | None = None,
        came_whole: Callable[[bytes], None] = lambda file: None,
        fetched: Callable[[bytes], None] = lambda file: None,
        mirrored: Callable[[Mirror], None] = lambda mirror: None,
        settings: Callable[[], dict[str, bytes]] = dict,
    ) -> None:
        """`folder` is where fetched files go; `soon` asks the node for a turn.

        `asked` and `done` are where others than `files` ask for parts, too; `came_whole` hears
        of files that can be given from now on, `fetched` of those that somebody asked for and
        that lie in their place now, `mirrored` of mirrors that became equal or can't. `settings`
        gives what the database keeps by name.
        """
        self._store = store
        self._journal = journal
        self._files = files
        self._came_whole = came_whole
        self._tell_fetched = fetched
        self._further = FurtherPlaces(settings, journal)
        self._now = now
        self._soon = soon
        self._keep_free = keep_free
        self.folder = folder
        self._chunks = Chunks(
            store,
            journal,
            files,
            folder,
            now=now,
            soon=soon,
            keep_free=keep_free,
            asked=asked or files.requests,
            done=done or files.done,
            stale=self._is_stale,
            fetched=self._fetched,
        )
        self._looker = ThreadPoolExecutor(1, thread_name_prefix="files-look")
        self.underway = Underway()
        self.watches = Watches(self, lambda: self._publishing)
        self.mirrors = Mirrors(store, self, keep_free, mirrored)

    # ---- from start to end

    def start(self) -> None:
        """Take up what a stop or a crash left in the middle."""
        self._chunks.start()
        self.mirrors.start()
        self._copy_on()
        self._looker.submit(self._sweep_packed)

    async def close(self) -> None:
        """Let everything go; what is under way is taken up at the next start."""
        for reading in self.underway:
            reading.called_off = True
        await self.watches.close()
        await self.mirrors.close()
        await self._chunks.close()
        await asyncio.to_thread(self._looker.shutdown)

    # ---- publishing

    @cached_property
    def _publishing(self) -> "Publishing":
        from meshpeer.node.library.publishing import Publishing

        return Publishing(self._store)

    async def publish(
        self,
        path: str,
        *,
        key: bytes | None = None,
        shown: str | None = None,
    ) -> "Published":
        """Make an ordinary file one that can be asked for; with a key, a sealed one.

        The rows are in the journal when it returns: journal the record with them. It is underway
        as `shown`, or else by its path.
        """
        with self.underway.begin(shown or path) as reading:
            published, changes = await self.in_thread(
                self._publishing.file, path, key, reading.tell
            )
        self.take_changes(changes)
        return published

    async def publish_folder(self, path: str, *, hidden: bool = False) -> "PublishedFolder":
        """Make a folder a collection that can be asked for, as `publish` does."""
        with self.underway.begin(path) as reading:
            published, changes = await self.in_thread(
                partial(self._publishing.folder, path, hidden=hidden, progress=reading.tell)
            )
        self.take_changes(changes)
        return published

    def take_changes(self, changes: "Changes") -> None:
        """Journal what publishing found, and serve it, or serve it no more."""
        self.take(changes.writes)
        for manifest in changes.known:
            self.mirrors.kept(manifest.id)
            self.known(manifest)
        for file in changes.gone:
            self._forget(file)
        self._soon()

    async def pack(self, directory: str) -> str:
        """Make a tar of a folder, to be published sealed; it goes with `lost`, or at a start."""
        with self.underway.begin(directory) as reading:
            return await self.in_thread(
                packing.pack, directory, self.folder, self._keep_free, reading.tell
            )

    def _sweep_packed(self) -> None:
        needed = {
            place.path
            for row in self._store.attachments_underway()
            if row.sent
            for place in self._store.places(row.file)
        }
        packing.sweep(self.folder, needed)

    # ---- fetching

    def fetch(
        self,
        file: bytes,
        *,
        size: int = -1,
        priority: int = 0,
        in_order: bool = False,
        name: str = "",
        target: str = "",
        key: bytes | None = None,
        slow: bool = False,
    ) -> None:
        """Have a file come; what `Files.fetch` does, and the library knows where it goes."""
        row = PutFetch(
            file, name, target, size, "fetching", "", priority, in_order, 0, key, slow
        )
        self._chunks.rows[file] = row
        self._files.fetch(
            file,
            size=size,
            priority=priority,
            in_order=in_order,
            name=name,
            target=target,
            key=key,
            slow=slow,
            now=self._now(),
        )
        self._soon()

    def bring_too(self, places: Iterable[FurtherPlace]) -> None:
        """Once these files came to their places, bring them to others, too: equal files have one
        id."""
        self._further.add(places)

    def _fetched(self, file: bytes) -> None:
        place = self._further.next(file)
        if place is None:
            self._tell_fetched(file)
        else:
            self.fetch(file, name=place.name, target=place.target)

    def _copy_on(self) -> None:
        """Go on with copies that a stop or a crash left in the middle."""
        for file in self._further.files():
            row = self._store.fetch(file)
            if row is None:
                self._further.drop(file)
            elif row.state == "done" and file not in self._chunks.rows:
                self._fetched(file)

    def cancel(self, file: bytes) -> None:
        """Have it come no more, and drop what has come; NotFoundError if it doesn't."""
        self._further.drop(file)
        past = self._store.fetch(file)
        if past is not None and self._is_past(past):
            self.take([DropFetch(file), *self._partial(file)])
        else:
            self._files.cancel(file, self._now())
        row = self._chunks.rows.pop(file, None) or self._store.fetch(file)
        if row is not None:
            self._chunks.drop(row)
        self._soon()

    def _is_past(self, row: PutFetch) -> bool:
        """Whether it failed, or what came of it is gone: all that is left is the row."""
        if self._files.progress(row.file) is not None:
            return False
        return row.state == "failed" or (row.state == "done" and self.path_of(row) is None)

    def _partial(self, file: bytes) -> list[FileWrite]:
        """What forgets the part of a file that is here, if not all of it is."""
        held = self._store.file(file)
        return [DropFile(file)] if held is not None and held.have is not None else []

    def complete(self, file: bytes) -> None:
        """The core's FileComplete: tell who waits for it, and see that it gets its place."""
        waited = self.mirrors.complete(file)
        row = self._chunks.rows.get(file)
        if row is None:
            return
        if is_a_mirrors(row):
            del self._chunks.rows[file]
            self.take([DropFetch(file)])
            if not waited:
                log.info("a file came that no mirror needs any more")
        elif self._store.blob(file) is not None or not self._lies_right(row):
            self._chunks.settle(file)
        else:
            del self._chunks.rows[file]
            self._fetched(file)

    def failed(self, file: bytes, why: str) -> None:
        """The core's FetchFailed."""
        row = self._chunks.rows.pop(file, None)
        if row is not None:
            self._chunks.drop(row)
            if is_a_mirrors(row):
                self.take([DropFetch(file)])
        self.mirrors.failed(file, row.size if row is not None else -1, why)

    def turn(self) -> None:
        """Begin what the core asks of the disk now."""
        self._chunks.turn()

    async def read(self, file: bytes, index: int) -> bytes | None:
        """Give a chunk of a file held here, checked; None if it can't be read (any more)."""
        return await self._chunks.read(file, index)

    def is_settling(self, file: bytes) -> bool:
        """Whether all of a file is here, and is still being brought to where it was asked to."""
        return file in self._chunks.rows

    def path_of(self, row: PutFetch) -> str | None:
        """Where a file lies: as asked for if it does, else where it came last."""
        paths = [place.path for place in self._store.places(row.file)]
        goal = row.target.rstrip("/")
        fitting = (path for path in paths if goal in (path, os.path.dirname(path)))
        return next(fitting, paths[-1] if paths else None)

    def _lies_right(self, row: PutFetch) -> bool:
        """Whether a file that is here lies where it was asked to."""
        goal, path = row.target.rstrip("/"), self.path_of(row)
        return not goal or (path is not None and goal in (path, os.path.dirname(path)))

    # ---- what mirrors fetch

    def need(self, files: Iterable[Needed]) -> None:
        """Fetch what mirrors lack, behind what people wait for."""
        for each in files:
            if each.file not in self._chunks.rows:
                self.fetch(
                    each.file,
                    size=each.size,
                    priority=BACKGROUND,
                    name=each.name,
                    target=each.target,
                )

    def spare(self, files: Iterable[bytes]) -> None:
        """Mirrors need these no more."""
        for file in list(files):
            row = self._chunks.rows.get(file)
            if row is not None and is_a_mirrors(row):
                with suppress(NotFoundError):
                    self.cancel(file)

    # ---- what mirrors and watches work with

    async def in_thread(self, work: Callable[..., Result], *args: object) -> Result:
        """Run in the thread that looks through folders and hashes."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._looker, work, *args)

    def take(self, writes: Iterable[FileWrite]) -> None:
        """Journal these."""
        self._journal.add(*writes)
        self._soon()

    def known(self, manifest: Manifest) -> None:
        """Serve a file whose rows are in the journal."""
        self._files.known(manifest, self._now())
        self._journal.then(lambda _: self._came_whole(manifest.id))

    async def durable(self) -> None:
        """Return once all that was journalled is on the disk."""
        done = asyncio.get_running_loop().create_future()
        self._journal.then(lambda _: None if done.done() else done.set_result(None))
        self._soon()
        await done

    async def content(self, file: bytes, limit: int) -> bytes | None:
        """Give all bytes of a file held here whole, if it is no longer than that."""
        row = self._store.file(file)
        if row is None or row.have is not None or row.size > limit:
            return None
        chunks = []
        for index in range(self.count(file)):
            chunk = await self.read(file, index)
            if chunk is None:
                return None
            chunks.append(chunk)
        return b"".join(chunks)

    def count(self, file: bytes) -> int:
        """Say how many chunks a file known here has."""
        data = self._store.manifest(file)
        return Manifest.from_bytes(file, data).count if data is not None else 0

    def lost(self, file: bytes) -> None:
        """The bytes of this file are not what its rows say, or not to be given: forget it."""
        for place in self._store.places(file):
            packing.erase(place.path, self.folder)
        self.take([DropFile(file)])
        row = self._store.fetch(file)
        if (
            row is not None and row.state == "done"
        ):  # it came, and was taken back or changed
            self.take([DropFetch(file)])
        self._forget(file)

    # ---- places that are not what they were

    def _is_stale(self, place: PutPlace) -> None:
        log.info("a published file changed", extra={"path": place.path})
        self.take([DropPlace(place.path)])
        others = (each for each in self._store.places(place.file) if each != place)
        if next(others, None) is None and self._store.blob(place.file) is None:
            self.lost(place.file)
        self.watches.look_again(place.path)

    def _forget(self, file: bytes) -> None:
        self._files.forget(file, self._now())
        self._chunks.forget(file)
