"""Which logs this machine may go on with: none that another copy of the state may write too.

A state folder that was restored from a backup, copied to another machine, or copied beside itself
holds logs that somebody else may continue. Two that write on in one log fork it, and a forked log
is frozen for ever. So `machine.json` holds a mark of where the folder lives; where it doesn't fit,
or is missing, the people here go on in new logs.

    mark    BLAKE2s of a random salt, /etc/machine-id, and the inodes of the file itself and of
            the database: a copy has other inodes, also on the same machine; so has a database
            that was salvaged, which may have lost its newest blocks
    after   logs begun here are counted (core/chains/log.py, `started`): those up to this number
            were begun before the mark was made and are not continued

The mark is made before anything is published, and a log counts as begun here only once its first
block is durable. So a crash at any moment costs at most one more log, and never makes a fork.
What can't be seen is a machine that was set back as a whole (a snapshot of a virtual one); that
log forks and is frozen, and its person goes on in a new one.
"""

import json
import os
from collections.abc import Callable, Iterable
from hashlib import blake2s
from pathlib import Path
from typing import Final

from meshpeer.errors import ConfigError
from meshpeer.node.durable import written_whole
from meshpeer.node.state import State

MACHINE_IDS: Final = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
SALT_BYTES: Final = 16
VERSION: Final = 1


def needs_new_log(
    state: State,
    started: Iterable[int],
    *,
    machine_ids: Iterable[Path] = MACHINE_IDS,
    rng: Callable[[int], bytes] = os.urandom,
) -> bool:
    """Whether the people here must begin new logs; `started` counts those of this database."""
    newest = max(started, default=0)
    machine = _machine_id(machine_ids)
    after = _read(state, machine)
    if after is None:
        _write(state, machine, newest, rng(SALT_BYTES))
        after = newest
    return newest <= after


def _read(state: State, machine: bytes) -> int | None:
    """Give `after` of a mark that fits; None where there is none or it is another place's."""
    try:
        content = json.loads(state.machine.read_text())
        if content["version"] != VERSION:
            raise ConfigError(
                f"{state.machine}: version {content['version']}, this meshpeer knows 1"
            )
        salt, mark = bytes.fromhex(content["salt"]), content["mark"]
        after = int(content["after"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    here = _mark(salt, machine, state.machine.stat().st_ino, state)
    return after if mark == here else None


def _write(state: State, machine: bytes, after: int, salt: bytes) -> None:
    """Replace the mark, durably; its inode has to be known before it is written."""
    with written_whole(state.machine) as file:
        mark = _mark(salt, machine, os.fstat(file.fileno()).st_ino, state)
        text = {"version": VERSION, "salt": salt.hex(), "mark": mark, "after": after}
        file.write(json.dumps(text, indent=1).encode() + b"\n")


def _mark(salt: bytes, machine: bytes, inode: int, state: State) -> str:
    database = state.database.stat().st_ino if state.database.exists() else 0
    said = b"%b|%d|%d" % (machine, inode, database)
    return blake2s(said, key=salt, person=b"machine").hexdigest()


def _machine_id(places: Iterable[Path]) -> bytes:
    for place in places:
        try:
            found = place.read_bytes().strip()
        except OSError:
            continue
        if found and found != b"uninitialized":
            return found
    return b""
