"""From a checked chunk to a durable file: what the disk is asked, in which order.

Small files go through the journal, hundreds in one transaction. Of larger ones the library writes
chunks into a partial file; every FLUSH_S or FLUSH_BYTES it makes them durable, and only then the
bitmap in the database says that they are there, so after a crash nothing is believed that isn't
so. The last flush comes before Finish, which brings the file to its place.

A chunk is written once, however often it is in the file: its twins are made from it on the disk
(copies.py), and its bytes count as unwritten until they are written, not until all of its twins
are. Else who publishes a file of equal chunks would hold up whatever else is fetched.

A disk that refuses keeps what it refused waiting here: it is tried again every RETRY_S, and as
what waits counts as unwritten, nobody is read any further meanwhile.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from meshpeer.core.file_writes import PutBlob, PutChunks, PutFile
from meshpeer.core.files.copies import Copies
from meshpeer.core.files.fetch import Fetch
from meshpeer.core.files.requests import (
    CopyChunk,
    Damaged,
    Finish,
    Flush,
    RepeatChunk,
    Request,
    WriteChunk,
)
from meshpeer.core.files.runs import first_from, from_members
from meshpeer.core.journal import Action, Journal
from meshpeer.errors import StoreError, StoreFullError

if TYPE_CHECKING:
    from meshpeer.core.files.shelf import Shelf

SMALL: Final = 65_536
"""Bytes of a file that is kept in the database."""
UNWRITTEN_LIMIT: Final = 16 << 20
"""Bytes that may wait for the disk."""
WRITES_LIMIT: Final = 20_000
"""Rows of the journal that may wait."""
FLUSH_S: Final = 2.0
FLUSH_BYTES: Final = 64 << 20
RETRY_S: Final = 5.0
LOOK_UPS: Final = 256
"""Chunks looked for in other files at a time."""


@dataclass(slots=True, eq=False)
class State:
    """What the disk has still to do for one fetch."""

    copies: Copies
    unflushed: int = 0
    flush_at: float | None = None
    flushing: int | None = None
    """The chunks that will be durable when the flush under way is done."""
    finishing: bool = False
    parked: list[Request] = field(default_factory=list)
    """What the disk refused."""
    looked: int = 0
    """Chunks that were looked for in other files."""
    groups: set[int] = field(default_factory=set)
    """The first of each group of twins that were."""
    durable: int = 0
    waiting: list[tuple[int, Action]] = field(default_factory=list)
    """What is to be done when these chunks are durable."""


class Landing:
    """Brings chunks to the disk."""

    def __init__(
        self,
        *,
        journal: Journal,
        shelf: "Shelf",
        came: Callable[[Fetch, int], None],
        wake: Callable[[Fetch], None],
        complete: Callable[[Fetch, float], None],
    ) -> None:
        self.requests: list[Request] = []
        self.unwritten = 0
        self._journal = journal
        self._shelf = shelf
        self._came = came
        """Told which chunks lie in the partial file now."""
        self._wake = wake
        """Told when something may be asked for that could not be before."""
        self._complete = complete
        """Told when a file is here, durable and at its place."""
        self._states: dict[Fetch, State] = {}
        self._under_way: dict[Request, State] = {}
        """Whose requests these are: a file may be cancelled and asked for again meanwhile."""

    @property
    def open(self) -> bool:
        """The disk keeps up."""
        return (
            self.unwritten < UNWRITTEN_LIMIT
            and not self._journal.blocked
            and len(self._journal) < WRITES_LIMIT
        )

    # -- what comes

    def begin(self, fetch: Fetch, now: float) -> None:
        """The manifest is known: see what is here already, if anything has to come at all."""
        manifest = fetch.manifest
        assert manifest is not None
        state = self._states[fetch] = State(Copies(fetch), durable=fetch.here)
        if manifest.size > SMALL:
            if not fetch.here:
                self._journal.add(fetch.row_with(0))
            self._look(fetch, state)
            self._go_on(fetch, state, now)
        elif not manifest.count:
            self._take_small(fetch, b"", None)

    def take(
        self, fetch: Fetch, chunk: int, data: bytes, now: float, durable: Action | None
    ) -> None:
        """A chunk that was checked."""
        manifest = fetch.manifest
        assert manifest is not None
        if manifest.size <= SMALL:
            fetch.arriving |= 1 << chunk
            self._take_small(fetch, data, durable)
            return
        state = self._states[fetch]
        if durable:
            state.waiting.append((1 << chunk, durable))
        state.copies.expect(chunk)
        self.unwritten += len(data)
        offset = chunk * manifest.chunk_size
        self._request(state, WriteChunk(fetch.file, chunk, offset, data))

    def _take_small(self, fetch: Fetch, data: bytes, durable: Action | None) -> None:
        manifest = fetch.manifest
        assert manifest is not None
        fetch.landing = True
        self.unwritten += len(data)
        row = PutFile(fetch.file, fetch.tag, manifest.size, manifest.to_bytes(), None)
        self._journal.add(row, PutBlob(fetch.file, data), fetch.done_row())

        def landed(now: float) -> None:
            self.unwritten -= len(data)
            self._finished(fetch, now)
            if durable:
                durable(now)

        self._journal.then(landed)

    # -- chunks that are here already

    def _look(self, fetch: Fetch, state: State) -> None:
        """Look for some chunks among those that are here, and in files that are held whole."""
        manifest = fetch.manifest
        assert manifest is not None
        last = min(state.looked + LOOK_UPS, manifest.count)
        for chunk in range(state.looked, last):
            first = fetch.twins.first(chunk)
            if fetch.lacking >> chunk & 1 and first not in state.groups:
                state.groups.add(first)
                self._look_for(fetch, state, chunk)
        state.looked = last
        if last == manifest.count:
            state.groups.clear()
        self._copy(state)

    def _look_for(self, fetch: Fetch, state: State, chunk: int) -> None:
        assert fetch.manifest is not None
        here = fetch.twins.of(chunk) & fetch.here
        if here:
            state.copies.expect(chunk)
            state.copies.repeat(first_from(here, 0))
            return
        found = self._shelf.chunk_elsewhere(fetch.manifest.hash_of(chunk))
        if found and found[0] != fetch.file:
            state.copies.find(chunk, *found)

    def _looking(self, fetch: Fetch, state: State) -> bool:
        """Not all chunks were looked for yet."""
        manifest = fetch.manifest
        if manifest is None or fetch.landing or manifest.size <= SMALL:
            return False
        return state.looked < manifest.count

    def _copy(self, state: State) -> None:
        for request in state.copies.requests():
            self._request(state, request)

    # -- what the disk says

    def done(
        self, fetch: Fetch | None, request: Request, error: StoreError | None, now: float
    ) -> None:
        """A request was done, or refused; the fetch is None if it is over."""
        state = self._under_way.pop(request)
        if fetch is None or self._states.get(fetch) is not state:
            if isinstance(request, WriteChunk):
                self.unwritten -= len(request.data)
            return
        if isinstance(request, CopyChunk | RepeatChunk):
            self._copied(fetch, state, request, error, now)
        elif error is not None:
            self._refused(fetch, state, request, error, now)
        elif isinstance(request, WriteChunk):
            self.unwritten -= len(request.data)
            self._written(fetch, state, 1 << request.index, now)
            state.copies.repeat(request.index)
            self._copy(state)
        elif isinstance(request, Flush):
            self._flushed(fetch, state)
        elif isinstance(request, Finish):
            self._finish(fetch)
        if error is None and fetch.why:
            self._resume(fetch, state)
        self._go_on(fetch, state, now)

    def _written(self, fetch: Fetch, state: State, chunks: int, now: float) -> None:
        before = fetch.bytes_here
        fetch.arriving &= ~chunks
        fetch.here |= chunks
        state.unflushed += max(fetch.bytes_here - before, 1)
        if state.flush_at is None:
            state.flush_at = now + FLUSH_S
        self._came(fetch, chunks)

    def _copied(
        self,
        fetch: Fetch,
        state: State,
        request: CopyChunk | RepeatChunk,
        error: StoreError | None,
        now: float,
    ) -> None:
        state.copies.done()
        if error is None:
            before = fetch.bytes_here
            if isinstance(request, RepeatChunk):
                self._written(fetch, state, from_members(request.indices), now)
            else:
                self._written(fetch, state, 1 << request.index, now)
                state.copies.repeat(request.index)
            fetch.taken += fetch.bytes_here - before
        elif isinstance(request, RepeatChunk) and isinstance(error, Damaged):
            if fetch.here >> request.index & 1:  # else another lot found that out
                self.lost(fetch, request.index)
                state.copies.lose(request.index)
                self._wake(fetch)
        elif isinstance(request, RepeatChunk) or isinstance(error, StoreFullError):
            state.copies.again(request)
            self._stall(fetch, error, now)
            return
        else:
            state.copies.lose(request.index)
            self._wake(fetch)
        self._copy(state)

    def _refused(
        self, fetch: Fetch, state: State, request: Request, error: StoreError, now: float
    ) -> None:
        if isinstance(request, Flush):
            state.flushing = None
            state.flush_at = now + RETRY_S
            state.unflushed = max(state.unflushed, 1)
        elif isinstance(request, Finish):
            state.finishing = False
            if isinstance(error, Damaged):
                self._come_again(fetch, state, error)
                return
        else:
            state.parked.append(request)
        self._stall(fetch, error, now)

    def _come_again(self, fetch: Fetch, state: State, error: Damaged) -> None:
        fetch.landing = False
        for chunk in error.chunks:
            self.lost(fetch, chunk)
        self._journal.add(fetch.row_with(state.durable))
        self._wake(fetch)

    def _stall(self, fetch: Fetch, error: StoreError, now: float) -> None:
        fetch.why = str(error)
        fetch.stalled_until = now + RETRY_S

    def _resume(self, fetch: Fetch, state: State) -> None:
        fetch.why = ""
        for request in state.parked:
            self._request(state, request)
        state.parked.clear()
        self._copy(state)
        self._wake(fetch)

    def go_on(self, fetch: Fetch) -> None:
        """It was paused, and is no more."""
        if state := self._states.get(fetch):
            self._copy(state)

    # -- flush and finish

    def wake(self, now: float) -> None:
        """Do what is due."""
        for fetch, state in list(self._states.items()):
            if self._looking(fetch, state):
                self._look(fetch, state)
            if fetch.why and now >= fetch.stalled_until:
                self._retry(fetch, state, now)
            if state.flush_at is not None and now >= state.flush_at:
                self._go_on(fetch, state, now)

    def _retry(self, fetch: Fetch, state: State, now: float) -> None:
        """See whether the disk has room again: one request shows it."""
        fetch.stalled_until = now + RETRY_S
        if state.parked:
            self._request(state, state.parked.pop(0))
        elif state.copies.waiting and fetch.row.state != "paused":
            self._copy(state)
        else:
            self._resume(fetch, state)
            self._go_on(fetch, state, now)

    def next_wakeup(self) -> float | None:
        """When something is due."""
        times = []
        for fetch, state in self._states.items():
            if self._looking(fetch, state):
                return 0.0
            if fetch.why:
                times.append(fetch.stalled_until)
            elif state.flush_at is not None and state.flushing is None:
                times.append(state.flush_at)
        return min(times, default=None)

    def _go_on(self, fetch: Fetch, state: State, now: float) -> None:
        """Ask for a flush, or for the end, if it is time."""
        if state.flushing is not None or state.finishing or fetch.why:
            return
        due = state.flush_at is not None and now >= state.flush_at
        if fetch.whole and fetch.here & ~state.durable == 0 and not state.unflushed:
            fetch.landing = state.finishing = True
            self._request(state, Finish(fetch.file))
        elif state.unflushed and (
            due or fetch.whole or state.waiting or state.unflushed >= FLUSH_BYTES
        ):
            state.flushing, state.unflushed, state.flush_at = fetch.here, 0, None
            self._request(state, Flush(fetch.file))

    def _request(self, state: State, request: Request) -> None:
        self._under_way[request] = state
        self.requests.append(request)

    def _flushed(self, fetch: Fetch, state: State) -> None:
        assert state.flushing is not None
        state.durable, state.flushing = state.flushing, None
        self._journal.add(fetch.row_with(state.durable))
        ripe = [action for chunks, action in state.waiting if not chunks & ~state.durable]
        state.waiting = [row for row in state.waiting if row[0] & ~state.durable]
        for action in ripe:
            self._journal.then(action)

    def _finish(self, fetch: Fetch) -> None:
        manifest = fetch.manifest
        assert manifest is not None
        row = PutFile(fetch.file, fetch.tag, manifest.size, manifest.to_bytes(), None)
        self._journal.add(row, PutChunks(fetch.file, manifest.hashes), fetch.done_row())
        self._journal.then(lambda now: self._finished(fetch, now))

    def _finished(self, fetch: Fetch, now: float) -> None:
        if self._states.pop(fetch, None) is not None:
            self._complete(fetch, now)

    # -- the end

    def drop(self, fetch: Fetch) -> None:
        """Nobody asks for the file any more."""
        state = self._states.pop(fetch, None)
        if state:
            for request in state.parked:
                if isinstance(request, WriteChunk):
                    self.unwritten -= len(request.data)

    def is_durable(self, fetch: Fetch, chunk: int) -> bool:
        """Whether the row that says that this chunk is here is durable, or in the journal."""
        state = self._states.get(fetch)
        return state is not None and bool(state.durable >> chunk & 1)

    def lost(self, fetch: Fetch, chunk: int) -> None:
        """What was thought to lie in the partial file doesn't."""
        fetch.here &= ~(1 << chunk)
        if state := self._states.get(fetch):
            state.durable &= ~(1 << chunk)
            self._journal.add(fetch.row_with(state.durable))
