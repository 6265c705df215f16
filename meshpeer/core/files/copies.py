"""What of one file is made from chunks that are here, and need not come over a link.

A chunk that is equal to one of a file held here is copied from there, and the twins of a chunk
are made from it once it is written. Anybody can publish a file of which all chunks are equal: the
disk is asked for a few lots at a time, whatever is to be made, so that other files go on between
them, and what waits is a number of two bytes for each chunk, and no bytes of the file.
"""

from array import array
from collections import deque
from typing import TYPE_CHECKING, Final

from meshpeer.core.files.requests import CopyChunk, RepeatChunk
from meshpeer.core.files.runs import members

if TYPE_CHECKING:
    from meshpeer.core.files.fetch import Fetch

AT_ONCE: Final = 8
"""Requests of one fetch to copy that are under way."""
LOT: Final = 4 << 20
"""Bytes of twins that are made in one request, if a chunk is not larger."""


class Copies:
    """What of one fetch is to be copied, and how much of that the disk was asked for."""

    def __init__(self, fetch: "Fetch") -> None:
        self._fetch = fetch
        self._from_files: deque[tuple[int, bytes, int]] = deque()
        self._from_twins: deque[tuple[int, array[int]]] = deque()
        self._under_way = 0

    @property
    def waiting(self) -> bool:
        """Something is to be asked of the disk yet."""
        return bool(self._from_files or self._from_twins)

    def expect(self, chunk: int) -> None:
        """This chunk is on its way to the disk, and with it its twins that lack."""
        self._fetch.arriving |= self._fetch.twins.of(chunk) & self._fetch.lacking

    def find(self, chunk: int, source: bytes, index: int) -> None:
        """A file held here has this chunk."""
        self.expect(chunk)
        self._from_files.append((chunk, source, index))

    def repeat(self, chunk: int) -> None:
        """This chunk is here now: its twins that wait for it are made from it."""
        twins = self._fetch.twins.of(chunk) & self._fetch.arriving
        if twins:
            self._from_twins.append((chunk, array("H", members(twins))))

    def lose(self, chunk: int) -> None:
        """It is not here after all: it has to come, and its twins with it."""
        self._from_twins = deque(lot for lot in self._from_twins if lot[0] != chunk)
        self._fetch.arriving &= ~self._fetch.twins.of(chunk)

    def requests(self) -> list[CopyChunk | RepeatChunk]:
        """Give what the disk may be asked for now."""
        if self._fetch.row.state == "paused":
            return []
        requests: list[CopyChunk | RepeatChunk] = []
        while self.waiting and self._under_way < AT_ONCE:
            requests.append(self._lot() if self._from_twins else self._copy())
            self._under_way += 1
        return requests

    def done(self) -> None:
        """One of them was answered."""
        self._under_way -= 1

    def again(self, request: CopyChunk | RepeatChunk) -> None:
        """The disk had no room for this one."""
        if isinstance(request, CopyChunk):
            first = request.index, request.source, request.source_index
            self._from_files.appendleft(first)
        else:
            self._from_twins.appendleft((request.index, array("H", request.indices)))

    def _copy(self) -> CopyChunk:
        chunk, source, index = self._from_files.popleft()
        manifest = self._fetch.manifest
        assert manifest is not None
        offset, size = chunk * manifest.chunk_size, manifest.chunk_length(chunk)
        hash = manifest.hash_of(chunk)
        return CopyChunk(self._fetch.file, chunk, offset, size, hash, source, index)

    def _lot(self) -> RepeatChunk:
        chunk, twins = self._from_twins.popleft()
        manifest = self._fetch.manifest
        assert manifest is not None
        step, size = manifest.chunk_size, manifest.chunk_length(chunk)
        count = max(LOT // step, 1)
        if len(twins) > count:
            self._from_twins.appendleft((chunk, twins[count:]))
        hash = manifest.hash_of(chunk)
        return RepeatChunk(self._fetch.file, chunk, tuple(twins[:count]), step, size, hash)
