"""From a backup to a state folder: all of it or nothing, into an empty folder only.

The backup is unlocked into a folder beside the one that was named, checked to its last byte, and
renamed into place. Only names that a backup has are taken, as ordinary files, whatever a tar may
hold: who made the file may be somebody else than who knows its passphrase.

What comes back is the same device on another machine: same peer key, same device key. Two
machines can't be one device at once, so the old one has to stay switched off. With
`as_new_device` the folder gets keys of its own and the person's key isn't taken along: the
device asks to be listed (`meshpeer device request`), as any new one does.

The folder names no log that its machine writes, so a restored peer starts a new one and never
forks what it wrote after the backup was made. Cards are marked as restored (node/own_cards.py).
"""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from meshpeer.errors import MeshpeerError, UsageError
from meshpeer.node.backup import ABOUT, DATABASE, FORMAT, KEPT, MODE, Progress
from meshpeer.node.durable import sync_folder
from meshpeer.node.state import KEY_BYTES, State
from meshpeer.node.vault import BACKUP, VaultError, VaultReader

if TYPE_CHECKING:
    import tarfile

SMALL: Final = 1 << 20
"""Bytes that anything but the database may have."""
AT_ONCE: Final = 1 << 20
BUFFER: Final = 1 << 16


class Restored(NamedTuple):
    """What came back."""

    made: int
    """Wall seconds as the machine of the backup had them."""
    nickname: str
    bytes: int
    new_device: bool


def restore(
    source: Path,
    state: State,
    passphrase: str,
    *,
    as_new_device: bool = False,
    progress: Progress = lambda done, total: None,
    rng: Callable[[int], bytes] = os.urandom,
) -> Restored:
    """Make the state folder of a backup; whatever is raised, nothing is changed."""
    check_empty(state.root)
    total = source.stat().st_size
    beside = state.root.with_name(f".{state.root.name}.restoring")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(mode=0o700, parents=True)
        with source.open("rb") as file:
            vault = VaultReader(file, BACKUP, passphrase)
            about = _unpack(vault, State(beside), lambda: progress(file.tell(), total))
            vault.finish()
        made = State(beside)
        _complete(made)
        if as_new_device:
            _renew_device(made, rng)
        for folder in (beside / "keys", beside):
            sync_folder(folder)
        check_empty(state.root)
        beside.rename(state.root)
        sync_folder(state.root.parent)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return Restored(*about, total, as_new_device)


def check_empty(root: Path) -> None:
    """Raise UsageError unless the folder is empty or not there yet."""
    if root.is_symlink() or (root.exists() and not root.is_dir()):
        raise UsageError(f"{root} is no folder")
    if root.exists() and any(root.iterdir()):
        raise UsageError(
            f"{root} is not empty, and a backup goes into an empty folder only: "
            "name another one with --state, or move this one away"
        )


def _unpack(vault: VaultReader, state: State, told: Callable[[], None]) -> tuple[int, str]:
    import tarfile

    for folder in (state.keys, state.log.parent):
        folder.mkdir(mode=0o700)
    about: tuple[int, str] | None = None
    try:
        with tarfile.open(mode="r|", fileobj=vault, bufsize=BUFFER) as tar:
            for member in tar:
                if not member.isreg() or member.issparse():
                    raise _not_ours(member.name)
                if member.name == ABOUT and member.size <= SMALL:
                    about = _about(_content(tar, member))
                elif member.name == DATABASE or (
                    KEPT.fullmatch(member.name) and member.size <= SMALL
                ):
                    _write(state.root / member.name, _content(tar, member), told)
                else:
                    raise _not_ours(member.name)
    except tarfile.TarError as error:
        raise VaultError(f"the backup can't be read: {error}") from error
    if about is None:
        raise VaultError("the backup doesn't say what it is")
    return about


def _content(tar: "tarfile.TarFile", member: "tarfile.TarInfo") -> BinaryIO:
    content = tar.extractfile(member)
    assert content is not None
    return content  # type: ignore[return-value]


def _about(content: BinaryIO) -> tuple[int, str]:
    try:
        told = json.loads(content.read())
        version, made, nickname = told["version"], told["made"], told["nickname"]
    except (ValueError, TypeError, KeyError) as error:
        raise VaultError(f"the backup doesn't say what it is: {error!r}") from error
    if version != FORMAT:
        raise VaultError(f"a backup of format {version}; this meshpeer knows {FORMAT}")
    if not isinstance(made, int) or not isinstance(nickname, str):
        raise VaultError("the backup doesn't say what it is")
    return made, nickname


def _write(path: Path, content: BinaryIO, told: Callable[[], None]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, MODE), "wb") as file:
        while data := content.read(AT_ONCE):
            file.write(data)
            told()
        file.flush()
        os.fsync(file.fileno())


def _complete(state: State) -> None:
    """Raise unless a peer can start on what was unpacked; mark what is old in it."""
    from store.database import open_for_reading, reporting
    from store.schema import APPLICATION_ID

    state.peer_key()
    for place in range(len(state.persons())):
        if kept := state.kept_card(place):
            state.keep_card(place, kept._replace(restored=True))
    if not state.database.exists():
        raise VaultError("there is no database in the backup")
    with closing(open_for_reading(os.fspath(state.database))) as reads, reporting("read"):
        (application,) = reads.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        raise VaultError("the database in the backup is none of ours")


def _renew_device(state: State, rng: Callable[[int], bytes]) -> None:
    """Give the folder keys of its own; whose device it is only a new list can say."""
    for place, secrets in enumerate(state.persons()):
        if state.kept_card(place) is None:
            raise MeshpeerError("there is no card in the backup: start it once and back up")
        renewed = secrets._replace(
            person=None, device=rng(KEY_BYTES), sealing=rng(KEY_BYTES)
        )
        state.keep_person(place, renewed)
    state.renew_peer_key(rng)


def _not_ours(name: str) -> VaultError:
    return VaultError(f"the backup holds {name!r}, which no backup does")
