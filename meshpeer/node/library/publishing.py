"""Ordinary files become files that others can ask for; they stay where they are.

Publishing a file writes rows and nothing else: its manifest, and its place. Whether it was
published before is asked of the place's row: the same path, size, time and inode is the same file
and isn't read again. So a folder of 100,000 files, of which one changed, costs a walk and one read.

A folder is published as a collection: its listing is a file like any other, whose bytes exist
nowhere else; it is kept as a blob. A listing that follows another takes its place, but for the
last few, which somebody may be fetching still.

All here runs in the library's hashing thread and journals nothing: it gives back the writes.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from meshpeer.core.file_writes import (
    DropFile,
    DropPlace,
    FileWrite,
    PutBlob,
    PutChunks,
    PutFile,
    PutPlace,
)
from meshpeer.core.formats.listing import Entry, Listing
from meshpeer.core.formats.manifest import Manifest, want_tag
from meshpeer.errors import MeshpeerError, UsageError
from meshpeer.node.library.confined import Confined
from meshpeer.node.library.hashing import Hashed, Hasher, Look, Progress
from meshpeer.node.library.media_types import media_type
from meshpeer.node.library.reading import is_same, place_of
from meshpeer.node.library.walking import Found, Skipped, Walk, walk
from store.files import FileReads
from store.rows import FileRow


class Published(NamedTuple):
    """A file that can be asked for now."""

    file: bytes
    size: int
    name: str
    media_type: str
    path: str
    hashed: int
    """Bytes that had to be read; 0 if it was known by path, size, time and inode."""
    key: bytes | None = None


class PublishedFolder(NamedTuple):
    """A folder whose listing and files can be asked for now."""

    directory: str
    name: str
    listing: bytes
    listing_size: int
    files: int
    total: int
    hashed: int
    skipped: tuple[Skipped, ...]


@dataclass(slots=True)
class Changes:
    """What publishing wants written, and which files appear and go by it."""

    writes: list[FileWrite] = field(default_factory=list)
    known: list[Manifest] = field(default_factory=list)
    gone: list[bytes] = field(default_factory=list)

    def add(self, others: "Changes") -> None:
        """Put others behind these."""
        self.writes += others.writes
        self.known += others.known
        self.gone += others.gone


class Publishing:
    """Looks at files and folders and says what to write; for one thread."""

    def __init__(self, store: FileReads) -> None:
        self._store = store
        self._hasher = Hasher()

    def file(
        self, path: str, key: bytes | None = None, progress: Progress | None = None
    ) -> tuple[Published, Changes]:
        """Publish one ordinary file; with a key as a sealed file, for those who have it."""
        path = os.path.realpath(path)
        changes = Changes()
        name = os.path.basename(path)
        if key is not None:
            sealed = self._hasher.sealed(path, key, progress)
            self._take(changes, path, sealed, key)
            read = sealed.look.size
            return _published(sealed.manifest, path, name, read, key), changes
        known = self._known(path)
        if known is not None:
            return Published(known.id, known.size, name, media_type(name), path, 0), changes
        hashed = self._hasher.file(path, progress)
        before = self._places([path])
        changes.writes += (DropPlace(place.path) for place in before)
        self._take(changes, path, hashed)
        self._drop_replaced(changes, before)
        return _published(hashed.manifest, path, name, hashed.look.size), changes

    def folder(
        self, path: str, *, hidden: bool = False, progress: Progress | None = None
    ) -> tuple[PublishedFolder, Changes]:
        """Publish a folder with all that lies in it."""
        with Confined(path) as folder:
            shelf = Shelved(folder.path, hidden)
            changes = self.rescan(shelf, folder, progress)
        return self.listed(shelf, changes), changes

    def rescan(
        self, shelf: "Shelved", folder: Confined, progress: Progress | None = None
    ) -> Changes:
        """Look at the whole folder; read only what changed."""
        changes = Changes()
        found = walk(folder, hidden=shelf.hidden)
        shelf.skipped = found.skipped
        held = self._store.places_in(folder.path)
        places = {place.path: place for place in held if place.key is None}
        before, shelf.entries = shelf.entries, {}
        self._enter(shelf, folder, found, places, changes, progress, before)
        gone = {place.path for place in held} - {
            folder.full(path) for path in shelf.entries
        }
        changes.writes += map(DropPlace, self._really_gone(gone))
        self._drop_replaced(changes, held)
        shelf.changed |= before != shelf.entries
        shelf.folders = found.folders
        return changes

    def again(self, shelf: "Shelved", folder: Confined, paths: Iterable[str]) -> Changes:
        """Look at these files of the folder again, and no others."""
        changes = Changes()
        found = Walk([], [], [])
        before = dict(shelf.entries)
        folder.forget()
        for path in sorted(paths):
            look = folder.look(path)
            if look is not None and stat.S_ISREG(look.st_mode):
                found.files.append(Found(path, Look.of(look)))
            elif shelf.entries.pop(path, None) is not None:
                changes.writes.append(DropPlace(folder.full(path)))
        full = [folder.full(path) for path in paths]
        places = self._places(full)
        self._enter(shelf, folder, found, {place.path: place for place in places}, changes)
        self._drop_replaced(changes, places)
        shelf.changed |= before != shelf.entries
        return changes

    def listed(self, shelf: "Shelved", changes: Changes) -> PublishedFolder:
        """Make the listing of a folder as it was found, and what is written for it."""
        listing, others = Listing.fitting(shelf.entries.values())
        data = listing.to_bytes()
        manifest = self._hasher.data(data)
        changes.writes += [_file(manifest), PutBlob(manifest.id, data)]
        changes.known.append(manifest)
        return PublishedFolder(
            shelf.directory,
            os.path.basename(shelf.directory) or "files",
            manifest.id,
            manifest.size,
            len(listing.entries),
            listing.total,
            shelf.hashed,
            (*shelf.skipped, *(Skipped(path, why) for path, why in others)),
        )

    def _enter(
        self,
        shelf: "Shelved",
        folder: Confined,
        found: Walk,
        places: Mapping[str, PutPlace],
        changes: Changes,
        progress: Progress | None = None,
        before: Mapping[str, Entry] = MappingProxyType({}),
    ) -> None:
        total = sum(each.look.size for each in found.files)
        done = shelf.hashed = 0
        for each in found.files:
            if progress is not None:
                progress(done, total)
            full = folder.full(each.path)
            place = places.get(full)
            if each.path in before and shelf.looks.get(each.path) == each.look:
                file = before[each.path].file  # its row may still be on its way to the disk
            elif place is not None and _looks_so(place, each.look):
                file = place.file
            else:
                try:
                    hashed = self._read(folder, each.path, _within(progress, done, total))
                except MeshpeerError as error:
                    shelf.skipped.append(Skipped(each.path, str(error)))
                    shelf.retry.add(each.path)
                    continue
                if place is not None:
                    changes.writes.append(DropPlace(full))
                self._take(changes, full, hashed)
                file, shelf.hashed = hashed.manifest.id, shelf.hashed + hashed.look.size
                each = Found(each.path, hashed.look)
            shelf.entries[each.path] = _entry(each, file)
            shelf.looks[each.path] = each.look
            done += each.look.size
        if progress is not None:
            progress(total, total)

    def _read(
        self, folder: Confined, path: str, progress: Progress | None = None
    ) -> Hashed:
        try:
            descriptor = folder.open_file(path)
        except OSError as error:
            raise UsageError(f"it can't be opened: {error.strerror}") from error
        try:
            return self._hasher.descriptor(descriptor, folder.full(path), progress)
        finally:
            os.close(descriptor)

    def _known(self, path: str) -> FileRow | None:
        place = self._store.place(path)
        if place is None:
            return None
        with suppress(OSError):
            if is_same(place, os.lstat(path)):
                row = self._store.file(place.file)
                return row if row is not None and row.have is None else None
        return None

    def _take(
        self, changes: Changes, path: str, hashed: Hashed, key: bytes | None = None
    ) -> None:
        manifest = hashed.manifest
        changes.writes += [_file(manifest), place_of(path, manifest.id, hashed.look, key)]
        if manifest.count > 1 and key is None:
            changes.writes.append(PutChunks(manifest.id, manifest.hashes))
        changes.known.append(manifest)

    def _places(self, paths: Sequence[str]) -> list[PutPlace]:
        return [place for path in paths if (place := self._store.place(path)) is not None]

    def _really_gone(self, paths: Iterable[str]) -> Iterator[str]:
        """Not those that were published on their own and are left out of the folder."""
        for path in sorted(paths):
            place = self._store.place(path)
            try:
                if place is None or not is_same(place, os.lstat(path)):
                    yield path
            except OSError:
                yield path

    def _drop_replaced(self, changes: Changes, before: Iterable[PutPlace]) -> None:
        """Forget files that lie nowhere any more, once these places hold others or nothing."""
        lost = {write.path for write in changes.writes if isinstance(write, DropPlace)}
        lost |= {write.path for write in changes.writes if isinstance(write, PutPlace)}
        held = {write.file for write in changes.writes if isinstance(write, PutPlace)}
        for file in {place.file for place in before if place.path in lost} - held:
            left = (place for place in self._store.places(file) if place.path not in lost)
            if next(left, None) is None and self._store.blob(file) is None:
                changes.writes.append(DropFile(file))
                changes.gone.append(file)


@dataclass(slots=True)
class Shelved:
    """A folder as it was found the last time."""

    directory: str
    hidden: bool = False
    entries: dict[str, Entry] = field(default_factory=dict)
    looks: dict[str, Look] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    retry: set[str] = field(default_factory=set)
    """What could not be read, and may be readable soon."""
    hashed: int = 0
    changed: bool = True
    """Set by whatever finds a change, until who publishes it takes it back."""


def _published(
    manifest: Manifest, path: str, name: str, read: int, key: bytes | None = None
) -> Published:
    return Published(manifest.id, manifest.size, name, media_type(name), path, read, key)


def _within(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Tell of one file as of a part of a folder."""
    if progress is None:
        return None
    return lambda done, _: progress(min(before + done, total), total)


def _file(manifest: Manifest) -> PutFile:
    id = manifest.id
    return PutFile(id, want_tag(id), manifest.size, manifest.to_bytes(), None)


def _entry(found: Found, file: bytes) -> Entry:
    look = found.look
    return Entry(found.path, look.size, file, look.executable, look.mtime_ns // 10**9)


def _looks_so(place: PutPlace, look: Look) -> bool:
    return (place.size, place.mtime_ns, place.inode) == (
        look.size,
        look.mtime_ns,
        look.inode,
    )
