"""All that a peer does with ordinary files: publishing, reading, writing, watching, mirroring.

The node gives it what the core's `Files` asks for (`turn`) and tells it which files are complete;
it answers in the loop, and journals what has to last before it says that anything is done. Disks
are slow and may hang, so nothing here blocks the loop: three threads, one that reads chunks for
others, one that writes what comes, one that looks through folders and hashes.

    ordinary file --publish--> rows: file, place                       the file stays where it is
    chunks --write--> .partial/ID --finish--> its name; rows: place
    small file (blob in the database) --settle--> its name; rows: place, and the blob goes
"""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from meshpeer.core.file_writes import (
    DropBlob,
    DropFile,
    DropPlace,
    DropWatched,
    FileWrite,
    PutFetch,
    PutWatched,
)
from meshpeer.core.files.files import Files
from meshpeer.core.files.requests import (
    CopyChunk,
    Finish,
    Flush,
    ReadPart,
    Request,
    WriteChunk,
)
from meshpeer.core.formats.manifest import Manifest, chunk_hash
from meshpeer.core.journal import Journal
from meshpeer.errors import NotFoundError, StoreError, UsageError
from meshpeer.node.library.hashing import Progress
from meshpeer.node.library.mirroring import Goal, Mirror, Mirrors, Needed
from meshpeer.node.library.partials import KEEP_FREE, Partials, Whole
from meshpeer.node.library.publishing import Changes, Published, PublishedFolder, Publishing
from meshpeer.node.library.reading import Reading, place_of
from meshpeer.node.library.watching import OnChange, Watch
from store.files import FileReads

__all__ = ["Goal", "Library", "Mirror", "Needed", "Published", "PublishedFolder", "Watch"]

log = logging.getLogger("meshpeer.library")

SETTLE_S: Final = 0.5
"""How long small files wait for others that share their sync."""
SETTLE_AGAIN_S: Final = 30.0
SETTLE_GROUP: Final = 256
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
    ) -> None:
        """`folder` is where fetched files go; `soon` asks the node for a turn.

        `asked` and `done` are where others than `files` ask for parts, too; `came_whole` hears
        of files that can be given from now on, `fetched` of those that somebody asked for and
        that lie in their place now.
        """
        self._store = store
        self._journal = journal
        self._files = files
        self._asked = asked or files.requests
        self._tell_done = done or files.done
        self._came_whole = came_whole
        self._fetched = fetched
        self._now = now
        self._soon = soon
        self.folder = folder
        self._partials = Partials(folder, begun=self._begun, keep_free=keep_free)
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="files-read")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="files-write")
        self._looker = ThreadPoolExecutor(1, thread_name_prefix="files-look")
        self._reading = Reading(store, self._partial_path)
        self._copying = Reading(store, self._partial_path)
        self._publishing = Publishing(store)
        self._fetches: dict[bytes, PutFetch] = {}
        self._to_settle: set[bytes] = set()
        self._settler: asyncio.TimerHandle | None = None
        self._watches: dict[str, tuple[Watch, asyncio.Task[None]]] = {}
        self.mirrors = Mirrors(store, self, keep_free)
        self._closed = False

    # ---- from start to end

    def start(self) -> None:
        """Take up what a stop or a crash left in the middle."""
        self._loop = asyncio.get_running_loop()
        for row in self._store.fetches():
            if row.state != "done":
                self._fetches[row.file] = row
            elif self._store.blob(row.file) is not None:
                self._fetches[row.file] = row
                self._settle_soon(row.file)
        self._submit(self._writer, self._sweep)
        self.mirrors.start()

    async def close(self) -> None:
        """Let everything go; what is under way is taken up at the next start."""
        self._closed = True
        if self._settler is not None:
            self._settler.cancel()
        for _, task in self._watches.values():
            task.cancel()
        tasks = [task for _, task in self._watches.values()]
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.mirrors.close()
        for thread in (self._reader, self._writer, self._looker):
            await asyncio.to_thread(thread.shutdown)
        self._reading.close()
        self._copying.close()
        self._partials.close()

    # ---- publishing

    async def publish(
        self,
        path: str,
        *,
        key: bytes | None = None,
        progress: Progress | None = None,
    ) -> Published:
        """Make an ordinary file one that can be asked for; with a key, a sealed one.

        The rows are in the journal when it returns: journal the record with them.
        """
        published, changes = await self.in_thread(
            self._publishing.file, path, key, self._in_loop(progress)
        )
        self.take_changes(changes)
        return published

    async def publish_folder(
        self, path: str, *, hidden: bool = False, progress: Progress | None = None
    ) -> PublishedFolder:
        """Make a folder a collection that can be asked for, as `publish` does."""
        published, changes = await self.in_thread(
            partial(
                self._publishing.folder,
                path,
                hidden=hidden,
                progress=self._in_loop(progress),
            )
        )
        self.take_changes(changes)
        return published

    def take_changes(self, changes: Changes) -> None:
        """Journal what publishing found, and serve it, or serve it no more."""
        self.take(changes.writes)
        for manifest in changes.known:
            self.known(manifest)
        for file in changes.gone:
            self._forget(file)
        self._soon()

    # ---- watching

    def watch(self, directory: str, on_change: OnChange, *, hidden: bool = False) -> Watch:
        """Publish a folder now and whenever it changes; `on_change` makes the record.

        It is told of the folder as it is at first, too, and sees itself whether that is news.
        """
        watch = Watch(
            directory,
            hidden=hidden,
            publishing=self._publishing,
            in_thread=self.in_thread,
            take=self.take_changes,
            on_change=on_change,
        )
        if watch.directory in self._watches:
            raise UsageError(f"{watch.directory} is watched already")
        task = asyncio.get_running_loop().create_task(watch.run())
        self._watches[watch.directory] = watch, task
        return watch

    async def unwatch(self, directory: str) -> None:
        """Publish this folder no more; what was published stays so."""
        directory = await self.in_thread(os.path.realpath, directory)
        if directory not in self._watches:
            raise NotFoundError(f"{directory} is not watched")
        _, task = self._watches.pop(directory)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.take([DropWatched(directory)])

    def keep_watched(self, row: PutWatched) -> None:
        """Remember to watch a folder after a restart."""
        self.take([row._replace(directory=os.path.realpath(row.directory))])

    def watches(self) -> Iterator[Watch]:
        """Give the folders that are watched."""
        return iter([watch for watch, _ in self._watches.values()])

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
    ) -> None:
        """Have a file come; what `Files.fetch` does, and the library knows where it goes."""
        state = PutFetch(
            file, name, target, size, "fetching", "", priority, in_order, 0, key
        )
        self._fetches[file] = state
        self._files.fetch(
            file,
            size=size,
            priority=priority,
            in_order=in_order,
            name=name,
            target=target,
            key=key,
            now=self._now(),
        )
        self._soon()

    def cancel(self, file: bytes) -> None:
        """Have it come no more, and drop what has come; NotFoundError if it doesn't."""
        self._files.cancel(file, self._now())
        row = self._fetches.pop(file, None)
        self._submit(self._writer, self._partials.clear, file, row.target if row else "")
        self._soon()

    def need(self, files: Iterable[Needed]) -> None:
        """Fetch what mirrors lack, behind what people wait for."""
        for each in files:
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
            with suppress(NotFoundError):
                self.cancel(file)

    def complete(self, file: bytes) -> None:
        """The core's FileComplete: tell who waits for it, and give small files their place."""
        row = self._fetches.get(file)
        if self.mirrors.complete(file):
            self._fetches.pop(file, None)
        elif row is not None and self._store.blob(file) is not None:
            self._settle_soon(file)
        elif row is not None:
            self._fetches.pop(file, None)
            self._fetched(file)

    def failed(self, file: bytes, why: str) -> None:
        """The core's FetchFailed."""
        self.mirrors.failed(file, why)

    # ---- what the core asks

    def turn(self) -> None:
        """Begin what the core's files ask for now."""
        requests = self._asked()
        if not requests or self._closed:
            return
        reads: list[tuple[Request, Manifest | None]] = []
        writes: list[tuple[Request, Manifest | None]] = []
        for request in requests:
            manifest = self._files.manifest(request.file)
            if isinstance(request, ReadPart):
                reads.append((request, manifest))
            elif isinstance(request, Finish):
                self._journal.then(partial(self._finish, request, manifest))
            else:
                writes.append((request, manifest))
        self._perform(self._reader, reads)
        self._perform(self._writer, writes)

    def _finish(self, request: Finish, manifest: Manifest | None, _: float) -> None:
        self._perform(self._writer, [(request, manifest)])

    def _perform(
        self,
        thread: ThreadPoolExecutor,
        requests: Sequence[tuple[Request, Manifest | None]],
    ) -> None:
        if requests and not self._closed:
            done = self._loop.run_in_executor(thread, self._do_all, requests)
            done.add_done_callback(self._were_done)

    def _do_all(
        self, requests: Sequence[tuple[Request, Manifest | None]]
    ) -> "list[tuple[Request, Outcome]]":
        return [(request, self._do(request, manifest)) for request, manifest in requests]

    def _do(self, request: Request, manifest: Manifest | None) -> "Outcome":
        try:
            match request:
                case ReadPart():
                    return self._reading.chunk(request.file, request.part, manifest)
                case WriteChunk():
                    self._partials.write(
                        request.file,
                        request.offset,
                        request.data,
                        self._target(request.file),
                    )
                case CopyChunk():
                    self._copy(request)
                case Flush():
                    self._partials.flush(request.file, self._target(request.file))
                case Finish():
                    return self._bring(request.file, manifest)
        except StoreError as error:
            return error
        except Exception as error:  # else the fetch would wait for ever, in silence
            log.exception("a fault in the library")
            return StoreError(f"a fault with this file: {type(error).__name__}: {error}")
        return None

    def _were_done(self, done: "asyncio.Future[list[tuple[Request, Outcome]]]") -> None:
        now = self._now()
        for request, outcome in done.result():
            if isinstance(outcome, Whole):
                self._placed(request.file, outcome)
                self._tell_done(request, None, now)
                self._journal.then(partial(self._clear, request.file))
            else:
                self._tell_done(request, outcome, now)
        self._forget_stale()
        self._soon()

    def _copy(self, request: CopyChunk) -> None:
        """Shared where the disk can, checked as it lies there then."""
        target = self._target(request.file)
        data = self._copying.chunk(request.source, request.source_index)
        if data is None or chunk_hash(data) != request.hash:
            raise StoreError("the equal chunk is not there any more")
        source = self._copying.source(request.source)
        if source is not None and (source.place is None or source.place.key is None):
            at = request.source_index * request.size
            file, offset, size = request.file, request.offset, request.size
            full = source.descriptor, at, size, target
            if (
                request.source_index == 0
                or request.size == self._copying.step(request.source)
            ) and self._partials.copy(file, offset, *full):
                copied = self._partials.read(file, offset, size, target)
                if chunk_hash(copied) == request.hash:
                    return
        self._partials.write(request.file, request.offset, data, target)

    def _bring(self, file: bytes, manifest: Manifest | None) -> Whole:
        manifest = manifest or self._copying.manifest(file)
        if manifest is None:
            raise StoreError("its manifest is not on the disk")
        row = self._row(file)
        if row is None:
            return self._partials.finish(manifest, "")
        return self._partials.finish(manifest, row.name, row.target, row.key)

    def _placed(self, file: bytes, whole: Whole) -> None:
        row = self._fetches.get(file)
        key = row.key if row is not None else None
        self.take([DropPlace(whole.path), place_of(whole.path, file, whole.look, key)])

    def _clear(self, file: bytes, _: float) -> None:
        self._submit(self._writer, self._partials.clear, file, self._target(file))

    # ---- small files

    def _settle_soon(self, file: bytes) -> None:
        self._to_settle.add(file)
        if self._settler is None:
            self._settler = self._loop.call_later(SETTLE_S, self._settle)

    def _settle(self) -> None:
        """Give small files their names, many with one sync."""
        self._settler = None
        files = sorted(self._to_settle)[:SETTLE_GROUP]
        self._to_settle.difference_update(files)
        if files and not self._closed:
            done = self._loop.run_in_executor(self._writer, self._settle_all, files)
            done.add_done_callback(partial(self._settled, files))

    def _settle_all(self, files: list[bytes]) -> list[tuple[bytes, Whole]]:
        rows = ((file, self._row(file)) for file in files)
        blobs = (
            (file, row, blob)
            for file, row in rows
            if row is not None and (blob := self._store.blob(file)) is not None
        )
        return self._partials.settle(blobs)

    def _settled(
        self, files: list[bytes], done: "asyncio.Future[list[tuple[bytes, Whole]]]"
    ) -> None:
        wait = SETTLE_S
        try:
            for file, whole in done.result():
                self._placed(file, whole)
                self.take([DropBlob(file)])
        except StoreError as error:
            log.warning("small files wait for room", extra={"reason": str(error)})
            self._to_settle.update(files)
            wait = SETTLE_AGAIN_S
        else:
            for file in files:
                self._fetches.pop(file, None)
                self._journal.then(partial(self._tell_fetched, file))
        if self._to_settle and not self._closed:
            self._settler = self._loop.call_later(wait, self._settle)
        self._soon()

    def _tell_fetched(self, file: bytes, _: float) -> None:
        self._fetched(file)

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

    async def read(self, file: bytes, index: int) -> bytes | None:
        """Give a chunk of a file held here, checked; None if it can't be read any more."""
        loop = asyncio.get_running_loop()
        manifest = self._files.manifest(file)
        data = await loop.run_in_executor(
            self._reader, self._reading.chunk, file, index, manifest
        )
        self._forget_stale()
        return data

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
        """The bytes of this file are not what its rows say: forget it."""
        self.take([DropFile(file)])
        self._forget(file)

    # ---- places that are not what they were

    def _forget_stale(self) -> None:
        stale, self._reading.stale = self._reading.stale, []
        more, self._copying.stale = self._copying.stale, []
        for place in {*stale, *more}:
            log.info("a published file changed", extra={"path": place.path})
            self.take([DropPlace(place.path)])
            others = (each for each in self._store.places(place.file) if each != place)
            if next(others, None) is None and self._store.blob(place.file) is None:
                self.take([DropFile(place.file)])
                self._forget(place.file)
            for watch, _ in self._watches.values():
                if place.path.startswith(watch.directory + "/"):
                    watch.look_again()

    def _forget(self, file: bytes) -> None:
        self._files.forget(file, self._now())
        self._submit(self._reader, self._reading.forget, file)
        self._submit(self._writer, self._copying.forget, file)

    # ---- look-ups

    def _row(self, file: bytes) -> PutFetch | None:
        return self._fetches.get(file) or self._store.fetch(file)

    def _target(self, file: bytes) -> str:
        row = self._row(file)
        return row.target if row is not None else ""

    def _partial_path(self, file: bytes) -> Path:
        return self._partials.path(file, self._target(file))

    def _begun(self, file: bytes) -> bool:
        row = self._store.file(file)
        return row is not None and row.have is not None and any(row.have)

    def _sweep(self) -> None:
        """Drop partial files whose fetch is over: a crash came before they were cleared."""
        for file in self._partials.left_over():
            row = self._store.file(file)
            if file not in self._fetches or row is None or row.have is None:
                self._partials.clear(file)

    def _submit(
        self, thread: ThreadPoolExecutor, work: Callable[..., object], *args: object
    ) -> None:
        if not self._closed:
            self._loop.run_in_executor(thread, work, *args).add_done_callback(_told)

    def _in_loop(self, progress: Progress | None) -> Progress | None:
        if progress is None:
            return None
        loop = asyncio.get_running_loop()
        return lambda done, size: (
            None if loop.is_closed() else _call(loop, progress, done, size)
        )


Outcome = bytes | StoreError | Whole | None


def _call(
    loop: asyncio.AbstractEventLoop, progress: Progress, done: int, size: int
) -> None:
    loop.call_soon_threadsafe(progress, done, size)


def _told(done: "asyncio.Future[object]") -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        log.error("a fault in the library", exc_info=error)
