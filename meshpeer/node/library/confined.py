"""A folder that nothing leads out of, whatever somebody plants in it meanwhile.

Each step of a path is opened on its own, relative to the folder above, as a folder and never
through a symbolic link. So a link put in the place of a folder, before or while we work, is an
error of that one path and never a way to another place. What was checked is what is used: an open
folder stays the same folder when its name is given to something else.

The folders on the way to the last path stay open; in a sorted list the next path mostly shares
them.
"""

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from meshpeer.errors import NotFoundError, UsageError

FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""O_NONBLOCK, for opening a named pipe would wait for a writer."""
NEW_FLAGS: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL


class Spot(NamedTuple):
    """A name in an open folder; the descriptor is good until the next call of the folder."""

    folder: int
    name: str


class Confined:
    """A folder and all that lies below it; paths are relative, with '/' between their parts."""

    def __init__(
        self, path: str | os.PathLike[str], *, make: bool = False, straight: bool = False
    ) -> None:
        """Open the folder; NotFoundError or UsageError if there is none.

        With `straight` a link on the way to it is an error, too: where it was said that this
        folder is meant, and somebody else may put another in its place.
        """
        self.path = os.path.realpath(path)
        if straight and self.path != os.path.normpath(path):
            raise UsageError(f"{path} was a folder, and is a link to {self.path} now")
        if make:
            try:
                os.makedirs(self.path, exist_ok=True)
            except OSError as error:
                raise UsageError(f"{self.path} can't be made: {error.strerror}") from error
        try:
            self.descriptor = _open_straight(self.path)
        except FileNotFoundError:
            raise NotFoundError(f"there is no folder {self.path}: make it first") from None
        except OSError as error:
            raise UsageError(f"{self.path} can't be used: {error.strerror}") from error
        self.device = os.fstat(self.descriptor).st_dev
        self._open: list[tuple[str, int]] = []

    def close(self) -> None:
        """Let every descriptor go."""
        self._close_below(0)
        os.close(self.descriptor)

    def __enter__(self) -> "Confined":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def full(self, path: str) -> str:
        """Give the absolute path, for rows and for people, not for opening."""
        return f"{self.path.rstrip('/')}/{path}"

    def spot(self, path: str, *, make: bool = False) -> Spot:
        """Open the folder that `path` lies in; OSError where a step is missing or no folder."""
        *folders, name = path.split("/")
        return Spot(self.folder(folders, make=make), name)

    def folder(self, parts: Sequence[str], *, make: bool = False) -> int:
        """Open a folder below, made if asked; its descriptor is good until the next call."""
        shared = 0
        while (
            shared < min(len(parts), len(self._open))
            and self._open[shared][0] == parts[shared]
        ):
            shared += 1
        self._close_below(shared)
        for part in parts[shared:]:
            above = self._open[-1][1] if self._open else self.descriptor
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=above)
            self._open.append((part, os.open(part, FOLDER_FLAGS, dir_fd=above)))
        return self._open[-1][1] if self._open else self.descriptor

    def forget(self) -> None:
        """Look again at the next call: folders may have moved."""
        self._close_below(0)

    def look(self, path: str) -> os.stat_result | None:
        """Say what lies at `path`, of a link the link itself; None if nothing does."""
        try:
            spot = self.spot(path)
            return os.stat(spot.name, dir_fd=spot.folder, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                return None
            raise

    def open_file(self, path: str) -> int:
        """Open an ordinary file for reading; OSError for anything else."""
        spot = self.spot(path)
        return open_ordinary(spot.name, spot.folder)

    def _close_below(self, depth: int) -> None:
        while len(self._open) > depth:
            os.close(self._open.pop()[1])


def _open_straight(path: str) -> int:
    """Open an absolute path without a link in it, even if one is put there now."""
    above = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    *parts, last = path.strip("/").split("/")
    try:
        for part in parts:
            step = os.open(part, FOLDER_FLAGS | os.O_PATH, dir_fd=above)
            os.close(above)
            above = step
        return os.open(last or ".", FOLDER_FLAGS, dir_fd=above)
    finally:
        os.close(above)


def open_new(path: str | os.PathLike[str]) -> int:
    """Open an empty file of ours for reading and writing, in the place of whatever is there.

    The folder may be one that others write to: what they planted is not followed, nor kept.
    """
    with suppress(FileNotFoundError):
        os.unlink(path)
    return os.open(path, NEW_FLAGS, 0o644)


def has_two_names(path: str | os.PathLike[str]) -> bool:
    """Whether it is an ordinary file of ours that has another name, too."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_nlink > 1 and is_ours(found)


def is_ours(found: os.stat_result) -> bool:
    """Whether nobody but us, and root, to whom all of some sticks belongs, may change it."""
    return found.st_uid in (os.geteuid(), 0)


def open_ordinary(name: str, folder: int | None = None) -> int:
    """Open an ordinary file for reading, never through a link; OSError for anything else."""
    descriptor = os.open(name, FILE_FLAGS, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not an ordinary file", name)
    return descriptor
