"""What the core's files ask of the disk, done in two threads: one reads, one writes.

    chunks --write--> .partial/ID --finish--> its name; rows: place
    small file (blob in the database) --settle--> its name; rows: place, and the blob goes

Who serves must not wait until a large file is synced, so reading has a thread of its own
(reading.py). In the one that writes (writing.py) each file has its turn (turns.py). Here is the
loop's side: it hands out the work, journals what has to last, and answers.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
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
from meshpeer.core.files.requests import CopyChunk, Finish, ReadChunk, RepeatChunk, Request
from meshpeer.core.formats.listing import OWN_FOLDER
from meshpeer.core.formats.manifest import Manifest
from meshpeer.core.journal import Journal
from meshpeer.errors import StoreError
from meshpeer.node.library.partials import Whole
from meshpeer.node.library.reading import Reading, place_of
from meshpeer.node.library.turns import Turns
from meshpeer.node.library.writing import Again, Clear, Writing
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

Outcome: TypeAlias = bytes | StoreError | Whole | None
Task: TypeAlias = tuple[Request | Clear | Again, Manifest | None]


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
        self._writing = Writing(store, folder, self.rows, keep_free=keep_free)
        self._reading = Reading(store, self._writing.path)
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="files-read")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="files-write")
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
        self._submit(self._writer, self._writing.sweep, over)

    async def close(self) -> None:
        """Let everything go."""
        self._closed = True
        for timer in (self._settler, self._idler):
            if timer is not None:
                timer.cancel()
        for thread in (self._reader, self._writer):
            await asyncio.to_thread(thread.shutdown)
        self._reading.close()
        self._writing.close()

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

    def _do(self, request: Request | Clear | Again, manifest: Manifest | None) -> Outcome:
        try:
            if isinstance(request, ReadChunk):
                return self._reading.chunk(request.file, request.index, manifest)
            return self._writing.do(request, manifest)
        except StoreError as error:
            return error
        except Exception as error:  # else the fetch would wait for ever, in silence
            log.exception("a fault in the library")
            return StoreError(f"a fault with this file: {type(error).__name__}: {error}")

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

    def _placed(self, file: bytes, whole: Whole) -> None:
        row = self.rows.get(file)
        key = row.key if row is not None else None
        self._take(DropPlace(whole.path), place_of(whole.path, file, whole.look, key))

    def _clear(self, file: bytes, _: float) -> None:
        self._write((Clear(file, self._writing.target(file)), None))

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
        self._submit(self._writer, self._writing.forget, file)

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
        for place in {*stale, *self._writing.take_stale()}:
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
            self._submit(self._writer, self._writing.close)

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
            done = self._loop.run_in_executor(self._writer, self._writing.settle, files)
            done.add_done_callback(partial(self._settled, files))

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
