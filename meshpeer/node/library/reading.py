"""Chunks of files held here, from wherever their bytes lie, checked before they are handed out.

A file lies in ordinary files (places), in the database (a blob), or in a partial file. An ordinary
file belongs to its owner, who may change it at any time: each read looks whether it still has the
size, time and inode of its row, and a chunk whose hash is wrong is never given. A place that
failed either way is stale: the library forgets it, and looks at it anew if it is watched.

Open descriptors and manifests of the last files are kept, for a fetcher asks for chunk after
chunk.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from meshpeer.core.file_writes import PutPlace
from meshpeer.core.formats.manifest import Manifest, chunk_hash
from meshpeer.errors import LocalProtocolError, RemoteProtocolError
from meshpeer.node.library.confined import open_ordinary
from meshpeer.node.library.hashing import Look
from meshpeer.node.library.sealing import sealed_part
from store.files import FileReads

MOST_OPEN: Final = 32


class Source(NamedTuple):
    """An open ordinary file that held a file when it was opened."""

    descriptor: int
    place: PutPlace | None
    """None for a partial file."""


class Reading:
    """Reads chunks; for one thread. `stale` gathers places that are not what they were."""

    def __init__(self, store: FileReads, partial: Callable[[bytes], Path]) -> None:
        self._store = store
        self._partial = partial
        self._sources: OrderedDict[bytes, Source] = OrderedDict()
        self._manifests: OrderedDict[bytes, Manifest] = OrderedDict()
        self.stale: list[PutPlace] = []

    def manifest(self, file: bytes) -> Manifest | None:
        """Give the manifest of a file whose row is on the disk."""
        known = self._manifests.get(file)
        if known is None:
            data = self._store.manifest(file)
            if data is None:
                return None
            with suppress(RemoteProtocolError):  # a row that was damaged on the disk
                known = Manifest.from_bytes(file, data)
        if known is not None:
            self._manifests[file] = known
            self._manifests.move_to_end(file)
            if len(self._manifests) > MOST_OPEN:
                self._manifests.popitem(last=False)
        return known

    def chunk(
        self, file: bytes, index: int, manifest: Manifest | None = None
    ) -> bytes | None:
        """Give a chunk that is what the manifest says, or None if none can be read here."""
        manifest = manifest or self.manifest(file)
        if manifest is None or not 0 <= index < manifest.count:
            return None
        for source in self._sources_of(file):
            data = self._read(source, manifest, index)
            if data is not None and chunk_hash(data) == manifest.hash_of(index):
                return data
            self._drop(file)
            if source.place is not None:
                self.stale.append(source.place)
        blob = self._store.blob(file)
        if blob is not None:
            data = blob[index * manifest.chunk_size :][: manifest.chunk_size]
            if chunk_hash(data) == manifest.hash_of(index):
                return data
        return None

    def source(self, file: bytes) -> Source | None:
        """Give the ordinary file from which the last chunk came, open, for copying."""
        return self._sources.get(file)

    def step(self, file: bytes) -> int:
        """Give the size of the chunks of a file."""
        manifest = self.manifest(file)
        return manifest.chunk_size if manifest is not None else 0

    def forget(self, file: bytes) -> None:
        """Look anew where this file lies."""
        self._drop(file)
        self._manifests.pop(file, None)

    def close(self) -> None:
        """Let every descriptor go."""
        for file in list(self._sources):
            self._drop(file)

    def _sources_of(self, file: bytes) -> Iterator[Source]:
        open_now = self._sources.get(file)
        if open_now is not None:
            self._sources.move_to_end(file)
            yield open_now
        for place in self._store.places(file):
            if open_now is not None and place == open_now.place:
                continue
            try:
                yield self._keep(file, Source(open_ordinary(place.path), place))
            except OSError:
                self.stale.append(place)
        if open_now is not None and open_now.place is None:
            return
        with suppress(OSError):
            yield self._keep(file, Source(open_ordinary(str(self._partial(file))), None))

    def _read(self, source: Source, manifest: Manifest, index: int) -> bytes | None:
        place = source.place
        try:
            if place is not None and not is_same(place, os.fstat(source.descriptor)):
                return None
            if place is not None and place.key is not None:
                return sealed_part(source.descriptor, place.size, place.key, index)
            return os.pread(
                source.descriptor,
                manifest.chunk_length(index),
                index * manifest.chunk_size,
            )
        except (OSError, LocalProtocolError):  # the latter: a file to be sealed was cut
            return None

    def _keep(self, file: bytes, source: Source) -> Source:
        self._drop(file)
        self._sources[file] = source
        while len(self._sources) > MOST_OPEN:
            self._drop(next(iter(self._sources)))
        return source

    def _drop(self, file: bytes) -> None:
        source = self._sources.pop(file, None)
        if source is not None:
            os.close(source.descriptor)


def is_same(place: PutPlace, found: os.stat_result) -> bool:
    """Whether the ordinary file still is what the row says."""
    return (
        found.st_size == place.size
        and found.st_mtime_ns == place.mtime_ns
        and found.st_ino == place.inode
    )


def place_of(path: str, file: bytes, look: Look, key: bytes | None = None) -> PutPlace:
    """Make the row of an ordinary file that holds a file."""
    return PutPlace(path, file, look.mtime_ns, look.size, key, look.inode)
