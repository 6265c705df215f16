"""What the core's files ask of the disk, done in two threads: one reads, one writes.

    chunks --write--> .partial/ID --finish--> its name; rows: place
    small file (blob in the database) --settle--> its name; rows: place, and the blob goes

Who serves must not wait until a large file is synced, so reading has a thread of its own. Answers
are given in the loop, and what has to last is journalled there before.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from meshpeer.core.file_writes import (
    DropBlob,
    DropFetch,
    DropPlace,
    FileWrite,
    PutFetch,
    PutPlace,
)
from meshpeer.core.files.files import Files
from meshpeer.core.files.requests import (
    CopyChunk,
    Finish,
    Flush,
    ReadChunk,
    Request,
    WriteChunk,
)
from meshpeer.core.formats.listing import OWN_FOLDER
from meshpeer.core.formats.manifest import Manifest, chunk_hash
from meshpeer.core.journal import Journal
from meshpeer.errors import StoreError
from meshpeer.node.library.partials import Partials, Whole
from meshpeer.node.library.reading import Reading, place_of
from store.files import FileReads

log = logging.getLogger("meshpeer.library")

SETTLE_S: Final = 0.5
"""How long small files wait for others that share their sync."""
SETTLE_AGAIN_S: Final = 30.0
SETTLE_GROUP: Final = 256
IDLE_S: Final = 60.0
"""After so long without a read, files are closed: an open one keeps a stick from being taken."""

Outcome: TypeAlias = bytes | StoreError | Whole | None
Task: TypeAlias = tuple[Request, Manifest | None]


class Chunks:
    """Reads, writes and finishes files. Its methods are for the loop."""

    def __init__(
        self,
        store: FileReads,
        journal: Journal,
        files: Files,
        folder: Path,
        *,
        now: Callable[[], float],
        soon: Callable[[], None],
        keep_free: int,
        asked: Callable[[], Sequence[Request]],
        done: Callable[[Request, bytes | StoreError | None, float], None],
        stale: Callable[[PutPlace], None],
        fetched: Callable[[bytes], None],
    ) -> None:
        """`stale` hears of ordinary files that aren't what they were, `fetched` of files that
        somebody asked for and that lie in their place now."""
        self.rows: dict[bytes, PutFetch] = {}
        """What is fetched and where it goes: the store's rows may be on their way still."""
        self._store = store
        self._journal = journal
        self._files = files
        self._now = now
        self._soon = soon
        self._asked = asked
        self._done = done
        self._stale = stale
        self._fetched = fetched
        self._partials = Partials(folder, begun=self._begun, keep_free=keep_free)
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="files-read")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="files-write")
        self._reading = Reading(store, self._partial_path)
        self._copying = Reading(store, self._partial_path)
        self._to_settle: set[bytes] = set()
        self._settler: asyncio.TimerHandle | None = None
        self._idler: asyncio.TimerHandle | None = None
        self._last_read = 0.0
        self._closed = False

    def start(self) -> None:
        """Take up what a stop or a crash left in the middle."""
        self._loop = asyncio.get_running_loop()
        over = []
        for row in self._store.fetches():
            if row.state != "done":
                self.rows[row.file] = row
            elif is_a_mirrors(row):
                self._take(DropFetch(row.file))
            elif self._store.blob(row.file) is not None:
                self.rows[row.file] = row
                self.settle(row.file)
            else:
                over.append(row)
        self._submit(self._writer, self._sweep, over)

    async def close(self) -> None:
        """Let everything go."""
        self._closed = True
        for timer in (self._settler, self._idler):
            if timer is not None:
                timer.cancel()
        for thread in (self._reader, self._writer):
            await asyncio.to_thread(thread.shutdown)
        self._reading.close()
        self._copying.close()
        self._partials.close()

    # ---- what the core asks

    def turn(self) -> None:
        """Begin what is asked for now."""
        reads: list[Task] = []
        writes: list[Task] = []
        for request in self._asked() if not self._closed else ():
            task = request, self._files.manifest(request.file)
            if isinstance(request, ReadChunk):
                reads.append(task)
            elif isinstance(request, Finish):
                self._journal.then(partial(self._finish, task))
            else:
                writes.append(task)
        self._perform(self._reader, reads)
        self._perform(self._writer, writes)

    def _finish(self, task: Task, _: float) -> None:
        self._perform(self._writer, [task])

    def _perform(self, thread: ThreadPoolExecutor, tasks: Sequence[Task]) -> None:
        if tasks and not self._closed:
            self._is_used()
            done = self._loop.run_in_executor(thread, self._do_all, tasks)
            done.add_done_callback(self._were_done)

    def _do_all(self, tasks: Sequence[Task]) -> list[tuple[Request, Outcome]]:
        return [(request, self._do(request, manifest)) for request, manifest in tasks]

    def _do(self, request: Request, manifest: Manifest | None) -> Outcome:
        file = request.file
        try:
            match request:
                case ReadChunk():
                    return self._reading.chunk(file, request.index, manifest)
                case WriteChunk():
                    target = self._target(file)
                    self._partials.write(file, request.offset, request.data, target)
                case CopyChunk():
                    self._copy(request)
                case Flush():
                    self._partials.flush(file, self._target(file))
                case Finish():
                    return self._bring(file, manifest)
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
                self._done(request, None, now)
                self._journal.then(partial(self._clear, request.file))
            else:
                self._done(request, outcome, now)
        self._tell_stale()
        self._soon()

    def _copy(self, request: CopyChunk) -> None:
        """Shared where the disk can, checked as it lies there then."""
        file, offset, size = request.file, request.offset, request.size
        target, index = self._target(file), request.source_index
        data = self._copying.chunk(request.source, index)
        if data is None or chunk_hash(data) != request.hash:
            raise StoreError("the equal chunk is not there any more")
        source = self._copying.source(request.source)
        if source is not None and (source.place is None or source.place.key is None):
            at = index * self._copying.step(request.source)
            self._partials.copy(file, offset, source.descriptor, at, size, target)
            if chunk_hash(self._partials.read(file, offset, size, target)) == request.hash:
                return
        self._partials.write(file, offset, data, target)

    def _bring(self, file: bytes, manifest: Manifest | None) -> Whole:
        manifest = manifest or self._copying.manifest(file)
        if manifest is None:
            raise StoreError("its manifest is not on the disk")
        row = self._row(file)
        if row is None:
            return self._partials.finish(manifest, "")
        return self._partials.finish(manifest, row.name, row.target, row.key)

    def _placed(self, file: bytes, whole: Whole) -> None:
        row = self.rows.get(file)
        key = row.key if row is not None else None
        self._take(DropPlace(whole.path), place_of(whole.path, file, whole.look, key))

    def _clear(self, file: bytes, _: float) -> None:
        self._submit(self._writer, self._partials.clear, file, self._target(file))

    # ---- reading for people here

    async def read(self, file: bytes, index: int) -> bytes | None:
        """Give a chunk of a file held here, checked; None if it can't be read (any more)."""
        self._is_used()
        manifest = self._files.manifest(file)
        data = await asyncio.get_running_loop().run_in_executor(
            self._reader, self._reading.chunk, file, index, manifest
        )
        self._tell_stale()
        return data

    def forget(self, file: bytes) -> None:
        """Look anew where a file lies."""
        self._submit(self._reader, self._reading.forget, file)
        self._submit(self._writer, self._copying.forget, file)

    def drop(self, row: PutFetch) -> None:
        """Erase what has come of a file."""
        self._submit(self._writer, self._partials.clear, row.file, row.target)

    def _tell_stale(self) -> None:
        stale, self._reading.stale = self._reading.stale, []
        more, self._copying.stale = self._copying.stale, []
        for place in {*stale, *more}:
            self._stale(place)

    def _is_used(self) -> None:
        self._last_read = self._loop.time()
        if self._idler is None and not self._closed:
            self._idler = self._loop.call_later(IDLE_S, self._idle)

    def _idle(self) -> None:
        left = self._last_read + IDLE_S - self._loop.time()
        self._idler = self._loop.call_later(left, self._idle) if left > 0 else None
        if self._idler is None:
            self._submit(self._reader, self._reading.close)
            self._submit(self._writer, self._copying.close)
            self._submit(self._writer, self._partials.close)

    # ---- files that are here already, or small ones

    def settle(self, file: bytes) -> None:
        """Bring a file that is held to the place where somebody wants it."""
        self._to_settle.add(file)
        if self._settler is None and not self._closed:
            self._settler = self._loop.call_later(SETTLE_S, self._settle)

    def _when_to_settle(self) -> float:
        """A whole group needs to wait for no others."""
        return 0.0 if len(self._to_settle) >= SETTLE_GROUP else SETTLE_S

    def _settle(self) -> None:
        """Give small files their names, many with one sync."""
        self._settler = None
        files = sorted(self._to_settle)[:SETTLE_GROUP]
        self._to_settle.difference_update(files)
        if files and not self._closed:
            done = self._loop.run_in_executor(self._writer, self._settle_all, files)
            done.add_done_callback(partial(self._settled, files))

    def _settle_all(self, files: list[bytes]) -> list[tuple[bytes, Whole]]:
        small = list(self._small(files))
        settled = self._partials.settle(small)
        for file in set(files) - {each for each, _, _ in small}:
            row, manifest = self._row(file), self._copying.manifest(file)
            if row is not None and row.target and manifest is not None:
                settled.append((file, self._copied(row, manifest)))
        return settled

    def _small(self, files: list[bytes]) -> Iterator[tuple[bytes, PutFetch, bytes]]:
        for file in files:
            row = self._row(file)
            blob = self._store.blob(file) if row is not None else None
            if row is not None and blob is not None:
                yield file, row, blob

    def _copied(self, row: PutFetch, manifest: Manifest) -> Whole:
        """It lies elsewhere on this disk already, and is wanted here."""
        for index in range(manifest.count):
            data = self._copying.chunk(row.file, index)
            if data is None:
                raise StoreError(f"{row.name} can't be read here any more: fetch it again")
            at = index * manifest.chunk_size
            self._partials.write(row.file, at, data, row.target)
        whole = self._partials.finish(manifest, row.name, row.target, row.key)
        self._partials.clear(row.file, row.target)
        return whole

    def _settled(
        self, files: list[bytes], done: "asyncio.Future[list[tuple[bytes, Whole]]]"
    ) -> None:
        wait = self._when_to_settle()
        try:
            for file, whole in done.result():
                self._placed(file, whole)
                self._take(DropBlob(file))
                self._journal.then(partial(self._clear, file))
        except StoreError as error:
            log.warning("small files wait", extra={"reason": str(error)})
            self._to_settle.update(files)
            wait = SETTLE_AGAIN_S
        else:
            for file in files:
                self._journal.then(partial(self._tell_fetched, file))
        if self._to_settle and not self._closed:
            self._settler = self._loop.call_later(wait, self._settle)
        self._soon()

    def _tell_fetched(self, file: bytes, _: float) -> None:
        self.rows.pop(file, None)
        self._fetched(file)

    # ---- look-ups

    def _take(self, *writes: FileWrite) -> None:
        self._journal.add(*writes)

    def _row(self, file: bytes) -> PutFetch | None:
        return self.rows.get(file) or self._store.fetch(file)

    def _target(self, file: bytes) -> str:
        row = self._row(file)
        return row.target if row is not None else ""

    def _partial_path(self, file: bytes) -> Path:
        return self._partials.path(file, self._target(file))

    def _begun(self, file: bytes) -> bool:
        row = self._store.file(file)
        return row is not None and row.have is not None and any(row.have)

    def _sweep(self, over: list[PutFetch]) -> None:
        """Drop partial files whose fetch is over: a crash came before they were cleared."""
        for row in over:
            if row.target:
                self._partials.clear(row.file, row.target)
        for file in self._partials.left_over():
            held = self._store.file(file)
            if file not in self.rows or held is None or held.have is None:
                self._partials.clear(file)

    def _submit(
        self, thread: ThreadPoolExecutor, work: Callable[..., object], *args: object
    ) -> None:
        if not self._closed:
            self._loop.run_in_executor(thread, work, *args).add_done_callback(_told)


def is_a_mirrors(row: PutFetch) -> bool:
    """Whether a file was fetched for a mirror, which takes it from where it comes."""
    return OWN_FOLDER in Path(row.target).parts


def _told(done: "asyncio.Future[object]") -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        log.error("a fault in the library", exc_info=error)
