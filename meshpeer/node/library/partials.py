"""Files that are still coming: sparse, written chunk by chunk, renamed when they are whole.

    write     pwrite of a chunk that the core has checked into `.partial/<file id>`, a sparse file
              on the file system that it goes to; zeros are left a hole
    copy      from another file or place, sharing the blocks where the file system can
    flush     fdatasync; only then may the core say in a row that a chunk is here
    finish    fsync, a hard link under its name, fsync of the folder; both names are one file
    (rows)    the place, durable
    clear     the name in `.partial` goes

A link never replaces what is there, and after a crash between any two steps the partial file
still is there under its old name: `finish` then sees that the name it wants is the very file
and goes on. File systems without hard links (a stick) get a rename that replaces nothing; there,
a partial file that is gone is looked for under the names that it may have got.

A file that was gone on with after a restart is hashed once more before it gets its name: somebody
may have emptied `.partial` meanwhile, and an empty sparse file reads as zeros.
"""

import errno
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Final, NamedTuple

from meshpeer.core.file_writes import PutFetch
from meshpeer.core.files.requests import Damaged, RepeatChunk
from meshpeer.core.formats.listing import OWN_FOLDER
from meshpeer.core.formats.manifest import Manifest, chunk_hash
from meshpeer.errors import StoreError, StoreFullError
from meshpeer.node.durable import sync_folder
from meshpeer.node.library.confined import (
    NEW_FLAGS,
    Confined,
    has_two_names,
    is_ours,
    open_new,
    open_ordinary,
)
from meshpeer.node.library.hashing import Hasher, Look
from meshpeer.node.library.kernel import (
    copy_range,
    make_hole,
    rename_new,
    share_range,
    sync_file_system,
)
from meshpeer.node.library.naming import candidates, safe_name
from meshpeer.node.library.sealing import OPENED, open_sealed, opened_part

PARTIAL: Final = ".partial"
MOST_OPEN: Final = 32
NO_LINKS: Final = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_OLD: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_HERE: Final = -100
"""AT_FDCWD."""
KEEP_FREE: Final = 256 << 20
"""Bytes of a disk that fetched files leave to everybody else."""


class Whole(NamedTuple):
    """A file that came whole: where it lies and how it looks."""

    path: str
    look: Look


class Partials:
    """The files that are coming; for one thread."""

    def __init__(
        self,
        folder: Path,
        *,
        begun: Callable[[bytes], bool],
        keep_free: int = KEEP_FREE,
    ) -> None:
        """`folder` is where files go for which nobody named a place; `begun` says whether a row
        tells of chunks that came before."""
        self.folder = folder
        self.keep_free = keep_free
        self._begun = begun
        self._open: OrderedDict[bytes, int] = OrderedDict()
        self._made = False
        self._outlived: list[int] = []
        self._guard = threading.Lock()  # paths are asked for by readers, too
        self._mirrors: dict[Path, int] = {}
        self._ours: set[bytes] = set()
        """Made by this process for files of which nothing had come."""

    def path(self, file: bytes, target: str = "") -> Path:
        """Give where a file that goes to `target` is collected: on the same file system."""
        if not self._made:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._made = True
        if target:
            parent = Path(target).parent
            if OWN_FOLDER in parent.parts:
                parent = self._confined(parent)
            while not parent.exists():
                parent = parent.parent
            if os.stat(self.folder).st_dev != os.stat(parent).st_dev:
                return parent / f".{file.hex()}{PARTIAL}"
        return self.folder / PARTIAL / file.hex()

    def write(self, file: bytes, offset: int, data: bytes, target: str = "") -> None:
        """Write bytes that were checked; StoreFullError while the disk has no room."""
        path = self._path(file, target)
        try:
            descriptor = self._descriptor(file, path, make=True)
            check_room(path.parent, len(data), self.keep_free)
            if is_zeros(data) and make_hole(descriptor, offset, len(data)):
                return
            view = memoryview(data)
            while view:
                written = os.pwrite(descriptor, view, offset)
                view, offset = view[written:], offset + written
        except OSError as error:
            raise refused(path, error) from error

    def copy(
        self, file: bytes, offset: int, source: int, at: int, size: int, target: str = ""
    ) -> bool:
        """Write bytes that lie in another file, shared with it if the disk can."""
        path = self._path(file, target)
        try:
            descriptor = self._descriptor(file, path, make=True)
            if share_range(source, descriptor, size, at, offset):
                return True
            check_room(path.parent, size, self.keep_free)
            return copy_range(source, descriptor, size, at, offset) == size
        except OSError as error:
            raise refused(path, error) from error

    def repeat(self, request: RepeatChunk, target: str = "") -> None:
        """Write a chunk that lies here at other places, too; Damaged if it is not that."""
        file, size, step = request.file, request.size, request.step
        path = self._path(file, target)
        try:
            descriptor, at = self._descriptor(file, path, make=True), request.index * step
            data = os.pread(descriptor, size, at)
            if chunk_hash(data) != request.hash:
                raise Damaged([request.index])
            hollow = is_zeros(data)
            for to in (index * step for index in request.indices):
                if hollow:  # not every disk has holes: there a file that grows takes room
                    check_room(path.parent, size, self.keep_free)
                if not (hollow and make_hole(descriptor, to, size)):
                    self.copy(file, to, descriptor, at, size, target)
        except OSError as error:
            raise refused(path, error) from error

    def read(self, file: bytes, offset: int, size: int, target: str = "") -> bytes:
        """Read back what was written; short or empty where nothing is."""
        path = self._path(file, target)
        try:
            return os.pread(self._descriptor(file, path), size, offset)
        except OSError as error:
            raise refused(path, error) from error

    def flush(self, file: bytes, target: str = "") -> None:
        """Return when all that was written is durable."""
        path = self._path(file, target)
        try:
            os.fdatasync(self._descriptor(file, path))
            if file in self._ours:
                sync_folder(path.parent)
        except OSError as error:
            raise refused(path, error) from error

    def finish(
        self, manifest: Manifest, name: str, target: str = "", key: bytes | None = None
    ) -> Whole:
        """Give the whole file its name, durably; Damaged if it isn't whole after all.

        With a key, what gets the name is what was sealed.
        """
        path = self._path(manifest.id, target)
        try:
            folder, name, own = self._goal(manifest.id, name, target)
            folder.mkdir(parents=True, exist_ok=True)
            if not path.exists() and (found := _moved(manifest, folder, name)):
                return found._replace(path=str(own / PurePath(found.path).name))
            descriptor = self._descriptor(manifest.id, path)
            if manifest.id not in self._ours:
                _check(manifest, descriptor)
            if os.fstat(descriptor).st_size != manifest.size:
                os.ftruncate(descriptor, manifest.size)
            os.fsync(descriptor)
            source = open_sealed(descriptor, path, manifest, key) if key else path
            whole = _named(source, folder, name)
            sync_folder(folder)
        except OSError as error:
            raise refused(path, error) from error
        return Whole(str(own / PurePath(whole.path).name), whole.look)

    def settle(
        self, blobs: Iterable[tuple[bytes, PutFetch, bytes]]
    ) -> list[tuple[bytes, Whole]]:
        """Make ordinary files of small ones, with one sync before they get their names."""
        written = []
        try:
            for file, row, data in blobs:
                path = self.path(file, row.target)
                plain = opened_part(row.key, 0, True, data) if row.key else data
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                check_room(path.parent, len(plain), self.keep_free)
                if not has_two_names(path):  # else a crash came after it had got its name
                    with open(open_new(path), "wb") as out:
                        out.write(plain)
                written.append((file, row, path))
            folders = set()
            for _, _, path in written:
                if path.parent not in folders:
                    folders.add(path.parent)
                    _sync(path.parent)
            done = [(file, self._name(file, row, path)) for file, row, path in written]
            for folder in {PurePath(whole.path).parent for _, whole in done}:
                sync_folder(folder)
        except OSError as error:
            raise refused(self.folder, error) from error
        return done

    def _name(self, file: bytes, row: PutFetch, path: Path) -> Whole:
        folder, name, own = self._goal(file, row.name, row.target)
        folder.mkdir(parents=True, exist_ok=True)
        whole = _named(path, folder, name)
        return Whole(str(own / PurePath(whole.path).name), whole.look)

    def clear(self, file: bytes, target: str = "") -> None:
        """Drop what was collected: it has its place, or nobody wants it any more."""
        if (descriptor := self._open.pop(file, None)) is not None:
            os.close(descriptor)
        self._ours.discard(file)
        path = self._path(file, target)
        for each in (path, path.with_name(path.name + OPENED)):
            with suppress(OSError):
                each.unlink()

    def left_over(self) -> Iterator[bytes]:
        """Give the ids of what lies in the partial folder, for a start to look through."""
        with suppress(OSError):
            for entry in os.scandir(self.folder / PARTIAL):
                with suppress(ValueError):
                    id = bytes.fromhex(entry.name.removesuffix(OPENED))
                    if len(id) == 32:
                        yield id

    def close(self) -> None:
        """Let every descriptor go."""
        with self._guard:
            for descriptor in (*self._open.values(), *self._mirrors.values()):
                os.close(descriptor)
            for descriptor in self._outlived:
                os.close(descriptor)
            self._outlived.clear()
        self._open.clear()
        self._mirrors.clear()

    def _goal(self, file: bytes, name: str, target: str) -> tuple[Path, str, Path]:
        """Give the folder as it is to be opened, the name, and the folder's own path."""
        if not target:
            return self.folder, safe_name(name, file.hex()), self.folder
        path = Path(target)
        if OWN_FOLDER in path.parts:
            return self._confined(path.parent), path.name, path.parent
        if path.is_dir():
            return path, safe_name(name, file.hex()), path
        return path.parent, path.name, path.parent

    def _confined(self, folder: Path) -> Path:
        """Open a folder that a mirror keeps in its own, so that no link there leads away."""
        with self._guard:
            return Path(f"/proc/self/fd/{self._open_confined(folder)}")

    def _open_confined(self, folder: Path) -> int:
        descriptor = self._mirrors.get(folder)
        if descriptor is None or not os.fstat(descriptor).st_nlink:
            at = folder.parts.index(OWN_FOLDER)
            with Confined(Path(*folder.parts[:at]), straight=True) as mirror:
                descriptor = os.dup(mirror.folder(folder.parts[at:], make=True))
            if (old := self._mirrors.pop(folder, None)) is not None:
                self._outlived.append(old)  # the other thread may be about to use it
            self._mirrors[folder] = descriptor
        return descriptor

    def _path(self, file: bytes, target: str) -> Path:
        try:
            return self.path(file, target)
        except OSError as error:
            raise refused(target or self.folder, error) from error

    def _descriptor(self, file: bytes, path: Path, *, make: bool = False) -> int:
        descriptor = self._open.get(file)
        if descriptor is None:
            try:
                descriptor = _opened(path)
            except FileNotFoundError:
                if not make:
                    raise StoreError(f"{path} is gone, and what had come with it") from None
                descriptor = self._make(file, path)
            self._open[file] = descriptor
            while len(self._open) > MOST_OPEN:
                os.close(self._open.popitem(last=False)[1])
        self._open.move_to_end(file)
        return descriptor

    def _make(self, file: bytes, path: Path) -> int:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, NEW_FLAGS, 0o644)
        if not self._begun(file):
            self._ours.add(file)
        return descriptor


def _opened(path: Path) -> int:
    descriptor = os.open(path, _OLD)
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and is_ours(found):
        return descriptor
    os.close(descriptor)
    raise StoreError(f"{path} is somebody else's: remove it, and it goes on")


def is_zeros(data: bytes) -> bool:
    """Whether a chunk can be a hole."""
    return not data[:1].strip(b"\0") and data == bytes(len(data))


def check_room(folder: str | os.PathLike[str], size: int, keep_free: int) -> None:
    """StoreFullError unless so many bytes fit on the disk and leave enough for others."""
    try:
        disk = os.statvfs(folder)
    except OSError as error:
        raise refused(folder, error) from error
    if disk.f_bavail * disk.f_frsize - size < keep_free:
        raise StoreFullError(
            f"the disk of {folder} has no room: {size >> 20} MB are needed and "
            f"{keep_free >> 20} MB stay free; make room, and it goes on by itself"
        )


def refused(path: str | os.PathLike[str], error: OSError) -> StoreError:
    """Say in words for people what the disk refused; StoreFullError where room is what lacks."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFullError(
            f"the disk of {path} is full: make room, and it goes on by itself"
        )
    return StoreError(f"{path} can't be written: {error.strerror}")


def _check(manifest: Manifest, descriptor: int) -> None:
    hashes = Hasher().chunks(descriptor, manifest.size) or bytes(len(manifest.hashes))
    if hashes != manifest.hashes:
        size = len(hashes) // manifest.count
        pairs = (
            (hashes[at : at + size], manifest.hashes[at : at + size])
            for at in range(0, len(hashes), size)
        )
        raise Damaged([index for index, (one, other) in enumerate(pairs) if one != other])


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync_file_system(descriptor)
    finally:
        os.close(descriptor)


def _named(source: Path, folder: Path, name: str) -> Whole:
    """Give the file the first free name, or find that it has one already."""
    ours = os.stat(source)
    for candidate in candidates(name):
        path = folder / candidate
        try:
            os.link(source, path, follow_symlinks=False)
        except FileExistsError:
            found = os.lstat(path)
            if not os.path.samestat(found, ours):
                continue
        except OSError as error:
            if error.errno == errno.EXDEV:
                return _named(_brought(source, folder), folder, name)
            if error.errno not in NO_LINKS:
                raise
            try:
                rename_new(str(source), str(path), _HERE, _HERE)
            except FileExistsError:
                continue
        return Whole(str(path), Look.of(os.lstat(path)))
    raise StoreError(f"{folder} has too many files called {name}: move some away")


def _brought(source: Path, folder: Path) -> Path:
    """Copy onto the file system that it goes to, durably."""
    beside = folder / f".{source.name}{OPENED}"
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, NEW_FLAGS, 0o644)
    with open(descriptor, "rb") as file, source.open("rb") as bytes_of:
        copy_range(bytes_of.fileno(), file.fileno(), os.fstat(bytes_of.fileno()).st_size)
        os.fsync(file.fileno())
    return beside


def _moved(manifest: Manifest, folder: Path, name: str) -> Whole | None:
    """Find the file where a crash left it after its rename and before its row."""
    for candidate in candidates(name):
        path = folder / candidate
        try:
            descriptor = open_ordinary(str(path))
        except OSError:
            return None
        with open(descriptor, "rb") as file:
            if os.fstat(file.fileno()).st_size == manifest.size:
                with suppress(Damaged):
                    _check(manifest, file.fileno())
                    return Whole(str(path), Look.of(os.fstat(file.fileno())))
    return None
