"""A backup: one file that a passphrase locks, made while the peer runs, whole or not at all.

    vault (node/vault.py) of a tar of
        about.json          whose it is and when it was made
        config.toml
        keys/peer.json, keys/person-N.json, keys/card-N.json
        meshpeer.db         a copy of one moment (store/copy.py)

Not in it: private halves of renewed sealing keys, for mail caught today must not be opened with a
backup found later; the API's token; the log; published files, which are ordinary files of yours;
and which log this machine writes, so that whoever is restored starts a new one (node/machine.py).

The copy of the database lies in the state folder while it is sealed and is removed after; one
that a power cut left behind is removed by the next backup. The file itself is written beside its
place and renamed, so an older backup of that name stays until the new one is whole.
"""

import io
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from meshpeer.errors import UsageError
from meshpeer.node.durable import written_whole
from meshpeer.node.state import State
from meshpeer.node.vault import BACKUP, HEADER_BYTES, MAGIC, VaultWriter, check_passphrase

if TYPE_CHECKING:
    import tarfile

FORMAT: Final = 1
ABOUT: Final = "about.json"
DATABASE: Final = "meshpeer.db"
KEPT: Final = re.compile(r"config\.toml|keys/(peer|(person|card)-[1-9][0-9]{0,3})\.json")
"""What goes into a backup beside the database, and all that comes out of one."""
MODE: Final = 0o600

Progress = Callable[[int, int], None]
"""Bytes done and bytes in all, as known so far. What it raises ends the work."""


def make_backup(
    state: State,
    path: Path,
    passphrase: str,
    *,
    nickname: str = "",
    progress: Progress = lambda done, total: None,
) -> int:
    """Write the backup and give its size; whatever is raised, `path` is as it was.

    Blocks for as long as it takes: run it in a thread.
    """
    from store.copy import copy_database

    check_passphrase(passphrase)
    check_target(path)
    copy = state.root / f".{DATABASE}.backup"
    _remove(copy)
    try:
        copy_database(state.database, copy, lambda done, total: progress(done // 2, total))
        with written_whole(path) as file:
            _seal(state, copy, file, passphrase, nickname, progress)
        return path.stat().st_size
    finally:
        _remove(copy)


def check_target(path: Path) -> None:
    """Raise UsageError where a backup would destroy something else, or can't be made."""
    if not path.is_absolute():
        raise UsageError(f"{path} is no absolute path")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}")
    if path.is_symlink() or (path.exists() and not _is_backup(path)):
        raise UsageError(f"{path} is there already and no backup: name another file")


def _is_backup(path: Path) -> bool:
    if not path.is_file() or path.stat().st_size < HEADER_BYTES:
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC) + 1) == MAGIC + bytes([BACKUP])


def _seal(
    state: State,
    copy: Path,
    file: BinaryIO,
    passphrase: str,
    nickname: str,
    progress: Progress,
) -> None:
    import tarfile

    vault = VaultWriter(file, BACKUP, passphrase)
    size = copy.stat().st_size
    about = {"version": FORMAT, "made": int(time.time()), "nickname": nickname}
    with tarfile.open(mode="w|", fileobj=vault, bufsize=tarfile.BLOCKSIZE * 128) as tar:
        _add(tar, ABOUT, json.dumps(about).encode())
        for name, content in _small_files(state):
            _add(tar, name, content)
        with copy.open("rb") as database:
            member = _member(DATABASE, size)
            told = _Telling(database, lambda done: progress((size + done) // 2, size))
            tar.addfile(member, told)
    vault.finish()


def _small_files(state: State) -> Iterator[tuple[str, bytes]]:
    paths = [state.config, *sorted(state.keys.glob("*.json"))]
    for path in paths:
        name = path.relative_to(state.root).as_posix()
        if KEPT.fullmatch(name) and path.exists():
            yield name, path.read_bytes()


def _add(tar: "tarfile.TarFile", name: str, content: bytes) -> None:
    tar.addfile(_member(name, len(content)), io.BytesIO(content))


def _member(name: str, size: int) -> "tarfile.TarInfo":
    import tarfile

    member = tarfile.TarInfo(name)
    member.size, member.mode = size, MODE
    return member


def _remove(copy: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        Path(f"{copy}{suffix}").unlink(missing_ok=True)


class _Telling(io.RawIOBase):
    """A file that tells how far it was read."""

    def __init__(self, file: BinaryIO, tell: Callable[[int], None]) -> None:
        self._file = file
        self._tell = tell
        self._done = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._done += len(data)
        self._tell(self._done)
        return data
