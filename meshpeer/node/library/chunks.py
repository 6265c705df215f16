"""What the core's files ask of the disk, done in two threads: one reads, one writes.

    chunks --write--> .partial/ID --finish--> its name; rows: place
    small file (blob in the database) --settle--> its name; rows: place, and the blob goes

Who serves must not wait until a large file is synced, so reading has a thread of its own. In the
one that writes each file has its turn (turns.py), and what takes long is done in steps. Answers are
given in the loop, and what has to last is journalled there before.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

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
    RepeatChunk,
    Request,
    WriteChunk,
)
from meshpeer.core.formats.listing import OWN_FOLDER
from meshpeer.core.formats.manifest import Manifest, chunk_hash
from meshpeer.core.journal import Journal
from meshpeer.errors import StoreError
from meshpeer.node.library.partials import Partials, Whole
from meshpeer.node.library.reading import Reading, place_of
from meshpeer.node.library.turns import Turns
from store.files import FileReads

log = logging.getLogger("meshpeer.library")

SETTLE_S: Final = 0.5
"""How long small files wait for others that share their sync."""
SETTLE_AGAIN_S: Final = 30.0
SETTLE_GROUP: Final = 256
IDLE_S: Final = 60.0
"""After so long without a read, files are closed: an open one keeps a stick from being taken."""

JOB: Final = 4
"""Tasks that are answered together."""
STEP: Final = 4 << 20
"""Bytes of a file that is copied whole before the next one's turn."""


class Clear(NamedTuple):
    """Drop the partial file."""

    file: bytes
    target: str


@dataclass(slots=True, eq=False)
class Again:
    """Bring a file that lies elsewhere on this disk to where it is wanted, too."""

    file: bytes
    row: PutFetch
    next: int = 0
    """The first chunk that is not there yet."""


Outcome: TypeAlias = bytes | StoreError | Whole | None
Asked: TypeAlias = Request | Clear | Again
Task: TypeAlias = tuple[Asked, Manifest | None]


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
        self._turns: Turns[Task] = Turns()
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
        self._perform(self._reader, self._do_all, reads)
        self._write(*writes)

    def _finish(self, task: Task, _: float) -> None:
        self._write(task)

    def _write(self, *tasks: Task) -> None:
        for task in tasks:
            copies = isinstance(task[0], CopyChunk | RepeatChunk | Again)
            self._turns.put(task[0].file, task, copies=copies)
        for at in range(0, len(tasks), JOB):  # it takes so many, though perhaps others
            self._perform(self._writer, self._do_next, tasks[at : at + JOB])

    def _perform(
        self,
        thread: ThreadPoolExecutor,
        work: Callable[[Sequence[Task]], list[tuple[Task, Outcome]]],
        tasks: Sequence[Task],
    ) -> None:
        if tasks and not self._closed:
            self._is_used()
            done = self._loop.run_in_executor(thread, work, tasks)
            done.add_done_callback(lambda done: self._were_done(done.result()))

    def _do_all(self, tasks: Sequence[Task]) -> list[tuple[Task, Outcome]]:
        return [(task, self._do(*task)) for task in tasks]

    def _do_next(self, tasks: Sequence[Task]) -> list[tuple[Task, Outcome]]:
        turns = (self._turns.take() for _ in tasks)
        return self._do_all([task for task in turns if task is not None])

    def _do(self, request: Asked, manifest: Manifest | None) -> Outcome:
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
                case RepeatChunk():
                    self._partials.repeat(request, self._target(file))
                case Again():
                    return self._copy_on(request)
                case Clear():
                    self._partials.clear(file, request.target)
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

    def _were_done(self, done: Sequence[tuple[Task, Outcome]]) -> None:
        now = self._now()
        for task, outcome in done:
            request = task[0]
            if isinstance(request, Clear):
                continue
            if isinstance(request, Again):
                self._copied_on(request, outcome)
            elif isinstance(outcome, Whole):
                self._placed(request.file, outcome)
                self._done(request, None, now)
                self._journal.then(partial(self._clear, request.file))
            else:
                self._done(request, outcome, now)
        self._tell_stale()
        self._soon()

    def _copy(self, request: CopyChunk) -> None:
        target = self._target(request.file)
        if not self._shared(request, target):
            data = self._copying.chunk(request.source, request.source_index)
            if data is None or chunk_hash(data) != request.hash:
                raise StoreError("the equal chunk is not there any more")
            self._partials.write(request.file, request.offset, data, target)

    def _shared(self, request: CopyChunk, target: str) -> bool:
        """Copy inside the kernel, shared where the disk can; whether it is what it should be."""
        file, offset, size = request.file, request.offset, request.size
        source = self._copying.source(request.source)
        if source is None or (source.place is not None and source.place.key is not None):
            return False
        if request.hash == _zeros(size):
            return False  # which writes a hole
        at = request.source_index * self._copying.step(request.source)
        if not self._partials.copy(file, offset, source.descriptor, at, size, target):
            return False
        return chunk_hash(self._partials.read(file, offset, size, target)) == request.hash

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
        self._write((Clear(file, self._target(file)), None))

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
        """Erase what has come of a file, and answer what waits for its turn."""
        gone = StoreError("nobody asks for it any more")
        waited = self._turns.drop(row.file)
        asked = [task for task in waited if not isinstance(task[0], Clear | Again)]
        self._loop.call_soon(self._were_done, [(task, gone) for task in asked])
        clears = [task for task in waited if isinstance(task[0], Clear)]
        self._write(*clears, (Clear(row.file, row.target), None))

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
        self._settle_in(SETTLE_S)

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

    def _settle_all(
        self, files: list[bytes]
    ) -> tuple[list[tuple[bytes, Whole]], list[Again]]:
        """Give names to those that lie in the database; the others are to be copied."""
        small = list(self._small(files))
        settled = self._partials.settle(small)
        large = []
        for file in set(files) - {each for each, _, _ in small}:
            row = self._row(file)
            if row is not None and row.target and self._copying.manifest(file) is not None:
                large.append(Again(file, row))
        return settled, large

    def _small(self, files: list[bytes]) -> Iterator[tuple[bytes, PutFetch, bytes]]:
        for file in files:
            row = self._row(file)
            blob = self._store.blob(file) if row is not None else None
            if row is not None and blob is not None:
                yield file, row, blob

    def _copy_on(self, again: Again) -> Whole | None:
        """It lies elsewhere on this disk already, and is wanted here: copy some more of it."""
        if again.file not in self.rows:
            return None  # it was cancelled, or was wanted twice
        row, manifest = again.row, self._copying.manifest(again.file)
        if manifest is None:
            raise StoreError("its manifest is not on the disk")
        last = min(again.next + max(STEP // manifest.chunk_size, 1), manifest.count)
        for index in range(again.next, last):
            offset, size = index * manifest.chunk_size, manifest.chunk_length(index)
            hash = manifest.hash_of(index)
            chunk = CopyChunk(row.file, index, offset, size, hash, row.file, index)
            self._copy(chunk)
        again.next = last
        if last < manifest.count:
            return None
        whole = self._partials.finish(manifest, row.name, row.target, row.key)
        self._partials.clear(row.file, row.target)
        return whole

    def _copied_on(self, again: Again, outcome: Outcome) -> None:
        if isinstance(outcome, Whole):
            self._placed(again.file, outcome)
            self._journal.then(partial(self._tell_fetched, again.file))
        elif isinstance(outcome, StoreError):
            self._wait_to_settle([again.file], outcome)
        elif again.file in self.rows:
            self._write((again, None))

    def _settled(
        self,
        files: list[bytes],
        done: "asyncio.Future[tuple[list[tuple[bytes, Whole]], list[Again]]]",
    ) -> None:
        try:
            settled, large = done.result()
        except StoreError as error:
            self._wait_to_settle(files, error)
            return
        for file, whole in settled:
            self._placed(file, whole)
            self._take(DropBlob(file))
            self._journal.then(partial(self._clear, file))
        for again in large:
            self._write((again, None))
        for file in set(files) - {again.file for again in large}:
            self._journal.then(partial(self._tell_fetched, file))
        self._settle_in(self._when_to_settle())
        self._soon()

    def _wait_to_settle(self, files: Sequence[bytes], error: StoreError) -> None:
        log.warning("files wait for their place", extra={"reason": str(error)})
        self._to_settle.update(files)
        self._settle_in(SETTLE_AGAIN_S)

    def _settle_in(self, wait: float) -> None:
        if self._to_settle and self._settler is None and not self._closed:
            self._settler = self._loop.call_later(wait, self._settle)

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


@lru_cache(4)
def _zeros(size: int) -> bytes:
    """The hash of a chunk of zeros."""
    return chunk_hash(bytes(size))


def is_a_mirrors(row: PutFetch) -> bool:
    """Whether a file was fetched for a mirror, which takes it from where it comes."""
    return OWN_FOLDER in Path(row.target).parts


def _told(done: "asyncio.Future[object]") -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        log.error("a fault in the library", exc_info=error)
