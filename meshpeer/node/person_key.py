"""A person's key as a file that a passphrase locks, so that it may be kept off line.

Who has the person's key is the person: it says which devices are theirs. On a device that is lost
it is lost to the finder, too, unless that disk is locked. So it can be moved into a file, which
lies in a drawer until a device is to be added or revoked.
"""

import json
from pathlib import Path
from typing import Final

from meshpeer.core.identity.keys import PersonKey
from meshpeer.errors import NotFoundError, UsageError
from meshpeer.node.durable import written_whole
from meshpeer.node.own_cards import AWAY, place_of
from meshpeer.node.state import KEY_BYTES, State
from meshpeer.node.vault import PERSON_KEY, VaultError, VaultReader, VaultWriter

VERSION: Final = 1
MOST: Final = 4_096


def export_key(
    state: State, path: Path, passphrase: str, *, place: int = 0, remove: bool = False
) -> bytes:
    """Write the key of a person here and give its id; with `remove` the key leaves the device.

    It leaves only after the file was opened again.
    """
    secrets = state.persons()[place]
    if secrets.person is None:
        raise UsageError(AWAY)
    if remove and state.kept_card(place) is None:
        raise UsageError("start the peer once, so that it signs the card that it shows")
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} is there already: name another file")
    with written_whole(path) as file:
        vault = VaultWriter(file, PERSON_KEY, passphrase)
        text = {"version": VERSION, "person": secrets.person.hex()}
        vault.write(json.dumps(text).encode())
        vault.finish()
    if read_key(path, passphrase).private != secrets.person:
        raise VaultError(f"{path} can't be read back: the key stays here")
    if remove:
        state.keep_person(place, secrets._replace(person=None))
    return PersonKey(secrets.person).public


def import_key(state: State, path: Path, passphrase: str) -> bytes:
    """Bring the key of a person here back to this device; give the person's id."""
    key = read_key(path, passphrase)
    try:
        place = place_of(state, key.public)
    except NotFoundError:
        raise UsageError(
            "that is the key of somebody who does not live on this peer"
        ) from None
    state.keep_person(place, state.persons()[place]._replace(person=key.private))
    return key.public


def read_key(path: Path, passphrase: str) -> PersonKey:
    """Open the file; VaultError says what is wrong with it."""
    with path.open("rb") as file:
        vault = VaultReader(file, PERSON_KEY, passphrase)
        content = vault.read(MOST)
        vault.finish()
    try:
        told = json.loads(content)
        version, private = told["version"], bytes.fromhex(told["person"])
    except (ValueError, TypeError, KeyError) as error:
        raise VaultError(f"there is no key in the file: {error!r}") from error
    if version != VERSION or len(private) != KEY_BYTES:
        raise VaultError("there is no key in the file that this meshpeer knows")
    return PersonKey(private)
