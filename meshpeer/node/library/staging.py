"""The bytes for a mirror, made ready in its `.meshpeer/incoming` before any of them is shown.

A file that the library fetched lies there already, under its id, and is used as it is; for
another place of the same file, and for what was held here before, a copy is made. What was
copied is compared with the manifest: somebody may write into the source meanwhile.
"""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from meshpeer.core.formats.listing import OWN_FOLDER, Entry
from meshpeer.core.formats.manifest import Manifest
from meshpeer.errors import RemoteProtocolError, UsageError
from meshpeer.node.library.confined import FILE_FLAGS, Confined, open_ordinary
from meshpeer.node.library.hashing import Hasher, Look
from meshpeer.node.library.kernel import copy_range, sync_file_system
from meshpeer.node.library.partials import check_room
from meshpeer.node.library.reading import is_same
from store.files import FileReads

INCOMING: Final = "incoming"
FEW: Final = 16
"""Up to so many are synced one by one: a whole file system may have much more to write."""
_STAGE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Staged(NamedTuple):
    """Bytes that are ready under a name of ours, with the looks that they keep."""

    entry: Entry
    name: str
    look: Look


class Staging:
    """What lies ready for one mirror; for one thread."""

    def __init__(
        self,
        store: FileReads,
        folder: Confined,
        incoming: int,
        *,
        hasher: Hasher,
        keep_free: int,
    ) -> None:
        """`incoming` is the open folder for it, which `close` lets go; `keep_free` in bytes."""
        self._store = store
        self._folder = folder
        self.descriptor = incoming
        self._hasher = hasher
        self._keep_free = keep_free
        self._number = 0

    def close(self) -> None:
        """Let the descriptor go."""
        os.close(self.descriptor)

    def target(self, file: bytes) -> str:
        """Give the path where a fetched file is expected."""
        return self._folder.full(f"{OWN_FOLDER}/{INCOMING}/{file.hex()}")

    def check(self, entries: Iterable[Entry]) -> None:
        """UsageError where the listing says of a file held here what isn't so.

        That is its author's fault and no reason to doubt, or drop, what somebody else put here.
        """
        for entry in entries:
            row = self._store.file(entry.file)
            if row is None:
                continue
            if row.size != entry.size:
                raise UsageError(
                    f"{entry.path} is listed with {entry.size} bytes, and that file has "
                    f"{row.size}: its author has to publish the folder anew"
                )
            places = self._store.places(entry.file)
            if any(place.key for place in places) and all(place.key for place in places):
                raise UsageError(
                    f"{entry.path} is listed as a file that went sealed with a message: "
                    "its author has to publish it anew"
                )

    def here(self, entry: Entry) -> bool:
        """Whether the bytes of a file can be had on this disk."""
        with suppress(OSError):
            os.stat(entry.file.hex(), dir_fd=self.descriptor, follow_symlinks=False)
            return True
        row = self._store.file(entry.file)
        if row is None or row.have is not None:
            return False
        return (
            bool(self._store.places(entry.file)) or self._store.blob(entry.file) is not None
        )

    def stage(self, entry: Entry, uses: Counter[bytes]) -> Staged | None:
        """Make the bytes of an entry ready; None if they can't be had whole.

        `uses` counts the entries that still need each file: the last takes what was fetched."""
        uses[entry.file] -= 1
        came = entry.file.hex()
        if not uses[entry.file] and self._is_fetched(entry):
            return self._dressed(
                entry, came, os.open(came, FILE_FLAGS, dir_fd=self.descriptor)
            )
        check_room(self._folder.path, entry.size, self._keep_free)
        name = f"new-{self._number}"
        self._number += 1
        descriptor = os.open(name, _STAGE, 0o600, dir_fd=self.descriptor)
        try:
            whole = self._fill(entry, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        if whole:
            return self._dressed(entry, name, descriptor)
        os.close(descriptor)
        os.unlink(name, dir_fd=self.descriptor)
        return None

    def sync(self, staged: Sequence[Staged]) -> None:
        """Make the bytes of these durable."""
        if len(staged) > FEW:
            sync_file_system(self.descriptor)
            return
        for each in staged:
            descriptor = os.open(each.name, FILE_FLAGS, dir_fd=self.descriptor)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def drop(self, files: Iterable[bytes]) -> None:
        """Erase what was fetched of these files and is needed no more."""
        for file in files:
            with suppress(OSError):
                os.unlink(file.hex(), dir_fd=self.descriptor)

    def left_over(self, listing: bytes) -> set[bytes]:
        """Erase what was fetched here and is needed no more; give what lies nowhere else."""
        away = f"{self._folder.full(OWN_FOLDER)}/{INCOMING}"
        alone = set()
        for place in self._store.places_in(away):
            if place.file != listing:
                with suppress(OSError):
                    os.unlink(place.path.rpartition("/")[2], dir_fd=self.descriptor)
                places = self._store.places(place.file)
                if len(places) == 1 and self._store.blob(place.file) is None:
                    alone.add(place.file)
        return alone

    def _dressed(self, entry: Entry, name: str, descriptor: int) -> Staged:
        try:
            os.fchmod(descriptor, 0o755 if entry.executable else 0o644)
            os.utime(descriptor, (entry.mtime, entry.mtime))
            return Staged(entry, name, Look.of(os.fstat(descriptor)))
        finally:
            os.close(descriptor)

    def _is_fetched(self, entry: Entry) -> bool:
        """Whether the very file that the library brought here still is what it was."""
        place = self._store.place(self.target(entry.file))
        with suppress(OSError):
            found = os.stat(entry.file.hex(), dir_fd=self.descriptor, follow_symlinks=False)
            return place is not None and place.file == entry.file and is_same(place, found)
        return False

    def _fill(self, entry: Entry, descriptor: int) -> bool:
        blob = self._store.blob(entry.file)
        if blob is not None:
            return os.pwrite(descriptor, blob, 0) == entry.size
        expected = self._manifest(entry)
        for source in self._sources(entry):
            try:
                copied = copy_range(source, descriptor, entry.size)
                os.ftruncate(descriptor, entry.size)
            finally:
                os.close(source)
            if copied != entry.size:
                continue
            hashes = self._hasher.chunks(descriptor, entry.size)
            if expected is not None and hashes == expected.hashes:
                return True
        return False

    def _sources(self, entry: Entry) -> Iterable[int]:
        with suppress(OSError):
            yield open_ordinary(entry.file.hex(), self.descriptor)
        for place in self._store.places(entry.file):
            if place.key is not None:
                continue
            with suppress(OSError):
                source = open_ordinary(place.path)
                if is_same(place, os.fstat(source)):
                    yield source
                else:
                    os.close(source)

    def _manifest(self, entry: Entry) -> Manifest | None:
        data = self._store.manifest(entry.file)
        with suppress(RemoteProtocolError):
            return Manifest.from_bytes(entry.file, data) if data is not None else None
        return None
