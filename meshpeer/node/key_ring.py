"""Renewed sealing keys as files: never in the database, never in a backup.

    keys/sealing-PERSON-NUMBER.json     PERSON: the first 16 hex digits of the person id

One file for each key, 0600, written whole and durably before the key is told to anybody. The
database and its backups are copied around; had they these keys, mail that somebody caught could
be opened with a copy found years later. A key that is dropped is overwritten first, which helps
on disks that write in place, and is all that a program can do.

Whether a key is due or over, core/mail/sealing_keys.py says.
"""

import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from meshpeer.core.mail.sealing_keys import RingKey
from meshpeer.errors import ConfigError, StoreError
from meshpeer.node.durable import write_file
from meshpeer.node.state import KEY_BYTES, State, check_private

VERSION: Final = 1
NAME: Final = re.compile(r"sealing-[0-9a-f]{16}-[1-9][0-9]{0,18}\.json")


class KeyFiles:
    """The ring of a state folder, read once; core/mail's KeyRing."""

    def __init__(self, state: State) -> None:
        """Read all keys; ConfigError names a file that others may read or that is damaged."""
        self._folder = state.keys
        self._keys: dict[bytes, dict[int, RingKey]] = {}
        for path in sorted(self._folder.glob("sealing-*.json")):
            if NAME.fullmatch(path.name):
                person, key = _read(path)
                self._keys.setdefault(person, {})[key.number] = key

    def keys(self, person: bytes) -> list[RingKey]:
        """Give all that are kept for this person."""
        return list(self._keys.get(person, {}).values())

    def keep(self, person: bytes, key: RingKey) -> None:
        """Keep a key; it is durable on return, or StoreError is raised."""
        text = {
            "version": VERSION,
            "person": person.hex(),
            "number": key.number,
            "private": key.private.hex(),
            "made": key.made,
        }
        path = self._path(person, key.number)
        try:
            write_file(path, json.dumps(text, indent=1).encode() + b"\n", 0o600)
        except OSError as error:
            raise StoreError(f"cannot keep a new sealing key in {path}: {error}") from error
        self._keys.setdefault(person, {})[key.number] = key

    def drop(self, person: bytes, number: int) -> None:
        """Forget a key for good; one that isn't there is forgotten already."""
        self._keys.get(person, {}).pop(number, None)
        path = self._path(person, number)
        with suppress(OSError):
            _overwrite(path)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot remove the old key {path}: {error}") from error

    def _path(self, person: bytes, number: int) -> Path:
        return self._folder / f"sealing-{person.hex()[:16]}-{number}.json"


def _read(path: Path) -> tuple[bytes, RingKey]:
    try:
        check_private(path)
        content = json.loads(path.read_text())
        if content["version"] != VERSION:
            raise ConfigError(f"{path}: version {content['version']}, known is {VERSION}")
        person, private = (bytes.fromhex(content[name]) for name in ("person", "private"))
        key = RingKey(int(content["number"]), private, float(content["made"]))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"{path} can't be read as a key: {error!r}. Remove it if you can't put it back: "
            "mail that is under way to it is sealed anew by its senders"
        ) from error
    if len(person) != KEY_BYTES or len(private) != KEY_BYTES:
        raise ConfigError(f"{path}: a key of a wrong size")
    return person, key


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
