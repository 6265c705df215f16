"""Files coming, and brought to their places: what the thread that writes does.

Reading (reading.py) is its counterpart, in another thread; this one has a Reading of its own, for
a chunk that is here in another file is copied from there. What takes long, such as a file copied
whole, is done in steps, between which others have their turn. Nothing is journalled here: what
became of it is given back, and the loop journals it (chunks.py).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from meshpeer.core.file_writes import PutFetch, PutPlace
from meshpeer.core.files.requests import (
    CopyChunk,
    Finish,
    Flush,
    RepeatChunk,
    WriteChunk,
)
from meshpeer.core.formats.manifest import Manifest, chunk_hash
from meshpeer.errors import StoreError
from meshpeer.node.library.partials import Partials, Whole
from meshpeer.node.library.reading import Reading
from store.files import FileReads

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


ToWrite: TypeAlias = WriteChunk | CopyChunk | RepeatChunk | Flush | Finish | Clear | Again


class Writing:
    """Writes chunks, and gives files their names; for one thread but for `path` and `target`."""

    def __init__(
        self,
        store: FileReads,
        folder: Path,
        rows: Mapping[bytes, PutFetch],
        *,
        keep_free: int,
    ) -> None:
        """`rows` says what is fetched and where it goes, newer than the store does; the owner
        changes it in the loop. Of a disk `keep_free` bytes are left to everybody else."""
        self._store = store
        self._rows = rows
        self._partials = Partials(folder, begun=self._begun, keep_free=keep_free)
        self._reading = Reading(store, self.path)

    def do(self, request: ToWrite, manifest: Manifest | None) -> Whole | None:
        """Do it, and give where a file lies that became whole; StoreError if it can't be done."""
        file = request.file
        match request:
            case WriteChunk():
                target = self.target(file)
                self._partials.write(file, request.offset, request.data, target)
            case CopyChunk():
                self._copy(request)
            case RepeatChunk():
                self._partials.repeat(request, self.target(file))
            case Again():
                return self._copy_on(request)
            case Clear():
                self._partials.clear(file, request.target)
            case Flush():
                self._partials.flush(file, self.target(file))
            case Finish():
                return self._bring(file, manifest)
        return None

    def settle(
        self, files: Iterable[bytes]
    ) -> tuple[list[tuple[bytes, Whole]], list[Again]]:
        """Give names to files that lie in the database, with one sync; the others are to be
        copied."""
        small = list(self._small(files))
        settled = self._partials.settle(small)
        large = []
        for file in set(files) - {each for each, _, _ in small}:
            row = self._row(file)
            if row is not None and row.target and self._reading.manifest(file) is not None:
                large.append(Again(file, row))
        return settled, large

    def sweep(self, over: Iterable[PutFetch]) -> None:
        """Drop partial files whose fetch is over: a crash came before they were cleared."""
        for row in over:
            if row.target:
                self._partials.clear(row.file, row.target)
        for file in self._partials.left_over():
            held = self._store.file(file)
            if file not in self._rows or held is None or held.have is None:
                self._partials.clear(file)

    def take_stale(self) -> list[PutPlace]:
        """Give the places found not to be what they were, once; for any thread."""
        stale, self._reading.stale = self._reading.stale, []
        return stale

    def forget(self, file: bytes) -> None:
        """Look anew where a file lies."""
        self._reading.forget(file)

    def close(self) -> None:
        """Close what is open; it is opened again when it is needed."""
        self._reading.close()
        self._partials.close()

    def path(self, file: bytes) -> Path:
        """Where a file lies while it is coming."""
        return self._partials.path(file, self.target(file))

    def target(self, file: bytes) -> str:
        """The folder that a file goes to, "" for the library's own."""
        row = self._row(file)
        return row.target if row is not None else ""

    # ---- one chunk, from a file that is here

    def _copy(self, request: CopyChunk) -> None:
        target = self.target(request.file)
        if not self._shared(request, target):
            data = self._reading.chunk(request.source, request.source_index)
            if data is None or chunk_hash(data) != request.hash:
                raise StoreError("the equal chunk is not there any more")
            self._partials.write(request.file, request.offset, data, target)

    def _shared(self, request: CopyChunk, target: str) -> bool:
        """Copy inside the kernel, shared where the disk can; whether it is what it should be."""
        file, offset, size = request.file, request.offset, request.size
        source = self._reading.source(request.source)
        if source is None or (source.place is not None and source.place.key is not None):
            return False
        if request.hash == _zeros(size):
            return False  # which writes a hole
        at = request.source_index * self._reading.step(request.source)
        if not self._partials.copy(file, offset, source.descriptor, at, size, target):
            return False
        return chunk_hash(self._partials.read(file, offset, size, target)) == request.hash

    # ---- whole files

    def _bring(self, file: bytes, manifest: Manifest | None) -> Whole:
        manifest = manifest or self._reading.manifest(file)
        if manifest is None:
            raise StoreError("its manifest is not on the disk")
        row = self._row(file)
        if row is None:
            return self._partials.finish(manifest, "")
        return self._partials.finish(manifest, row.name, row.target, row.key)

    def _small(self, files: Iterable[bytes]) -> Iterator[tuple[bytes, PutFetch, bytes]]:
        for file in files:
            row = self._row(file)
            blob = self._store.blob(file) if row is not None else None
            if row is not None and blob is not None:
                yield file, row, blob

    def _copy_on(self, again: Again) -> Whole | None:
        """It lies elsewhere on this disk already, and is wanted here: copy some more of it."""
        if again.file not in self._rows:
            return None  # it was cancelled, or was wanted twice
        row, manifest = again.row, self._reading.manifest(again.file)
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

    # ---- look-ups

    def _row(self, file: bytes) -> PutFetch | None:
        return self._rows.get(file) or self._store.fetch(file)

    def _begun(self, file: bytes) -> bool:
        row = self._store.file(file)
        return row is not None and row.have is not None and any(row.have)


@lru_cache(4)
def _zeros(size: int) -> bytes:
    """The hash of a chunk of zeros."""
    return chunk_hash(bytes(size))
