"""A folder as one file, a tar, so that it can go with a message.

A sealed file is read again whenever somebody asks for a part of it, so what was packed has to lie
somewhere until it arrived: in `.packed` of the folder of files, under a name drawn for it. What no
message under way needs any more is erased when its message is, or at the next start.

Only what a collection would hold is packed (walking.py): ordinary files, no links. Owners, groups
and the like stay here: they say something of this machine and mean nothing on another.
"""

import os
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from meshpeer.errors import UsageError
from meshpeer.node.library.confined import Confined
from meshpeer.node.library.hashing import Progress
from meshpeer.node.library.partials import check_room, refused

if TYPE_CHECKING:
    from meshpeer.node.library.walking import Found

PACKED: Final = ".packed"
OVERHEAD: Final = 3 << 9
"""Bytes of a tar for each file, beside its own: a header, and two blocks not quite filled."""


def pack(directory: str, into: Path, keep_free: int, progress: Progress) -> str:
    """Give the path of a new tar of this folder; UsageError or StoreError if there can't be one."""
    from meshpeer.node.library.walking import walk  # only now: at a start we only sweep

    with Confined(directory) as folder:
        files = walk(folder).files
        if not files:
            raise UsageError(f"{folder.path} has no files that could go along")
        name = os.path.basename(folder.path) or "files"
        path = into / PACKED / os.urandom(8).hex() / f"{name}.tar"
        try:
            path.parent.mkdir(mode=0o700, parents=True)
            needed = sum(file.look.size + OVERHEAD for file in files)
            check_room(path.parent, needed, keep_free)
            _write(path, folder, name, files, progress)
        except BaseException as error:
            shutil.rmtree(path.parent, ignore_errors=True)
            if isinstance(error, OSError):
                raise refused(path, error) from error
            raise
    return str(path)


def _write(
    path: Path, folder: Confined, name: str, files: Sequence["Found"], progress: Progress
) -> None:
    import tarfile

    done, total = 0, sum(found.look.size for found in files)
    with tarfile.open(path, "x", format=tarfile.PAX_FORMAT) as tar:
        for found in files:
            progress(done, max(done, total))
            with os.fdopen(folder.open_file(found.path), "rb") as file:
                look = os.fstat(file.fileno())
                entry = tarfile.TarInfo(f"{name}/{found.path}")
                entry.size, entry.mtime = look.st_size, int(look.st_mtime)
                entry.mode = 0o755 if found.look.executable else 0o644
                tar.addfile(entry, file)
                done += look.st_size


def erase(path: str, into: Path) -> None:
    """Erase what was packed, if this is such a file."""
    if Path(path).parent.parent == into / PACKED:
        shutil.rmtree(Path(path).parent, ignore_errors=True)


def sweep(into: Path, needed: Collection[str]) -> None:
    """Erase all that was packed but these."""
    for path in (into / PACKED).glob("*/*"):
        if str(path) not in needed:
            erase(str(path), into)
