"""The one folder in which a peer keeps everything, and who may open it.

    config.toml         settings, for people to edit                        see node/config.py
    keys/peer.json      the peer's X25519 key: links and nothing else
    keys/person-N.json  one person each: person, device and sealing keys
    keys/card-N.json    that person's newest card: public     see node/own_cards.py
    keys/sealing-*.json renewed sealing keys, for a while     see node/key_ring.py
    machine.json        which log this machine writes         see node/machine.py
    meshpeer.db         everything else that lasts; no secrets
    files/              what was fetched, if no other folder is set
    log/meshpeer.log    JSON lines
    token               for the API on loopback, if that is on
    api.sock            the API
    lock                held by the peer that runs, with its pid inside

The folder is 0700 and what is secret 0600; keys that others may read are refused, not fixed in
silence, for they may already have been read. Files are written whole beside their place and
renamed, so a power cut leaves the old or the new one.

A Unix socket's path may have 107 bytes at most, and state folders can lie deeper than that. Both
ends then go through `/proc/self/fd/N/`, an open descriptor of the folder, so the socket always
lies in the folder and no second place needs guarding.

This module is on the way of every command: it imports nothing heavy.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from meshpeer.errors import ConfigError, UsageError
from meshpeer.node.durable import write_file

ENVIRONMENT: Final = "MESHPEER_STATE"
SOCKET_PATH_BYTES: Final = 107
KEY_BYTES: Final = 32


class PersonSecrets(NamedTuple):
    """The private keys of a person on this peer; `person` is None where it is kept off line."""

    person: bytes | None
    device: bytes
    sealing: bytes


class KeptCard(NamedTuple):
    """The newest card of a person here, and the nickname that the settings had for it."""

    card: bytes
    nickname: str
    """As the settings had it when the card was signed or taken: only a change of it is news."""
    restored: bool = False
    """It came from a backup, and newer lists may have been signed since that was made."""


class State:
    """A state folder; it need not exist yet."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser().absolute()
        self.config = self.root / "config.toml"
        self.keys = self.root / "keys"
        self.database = self.root / "meshpeer.db"
        self.log = self.root / "log" / "meshpeer.log"
        self.files = self.root / "files"
        self.machine = self.root / "machine.json"
        self.token = self.root / "token"
        self.socket = self.root / "api.sock"

    @classmethod
    def find(cls, named: str | None) -> "State":
        """Give the folder that was named, else MESHPEER_STATE, else ~/.local/share/meshpeer."""
        return cls(named or os.environ.get(ENVIRONMENT) or "~/.local/share/meshpeer")

    def exists(self) -> bool:
        """Whether a peer lives here: `create` was completed once."""
        return (self.keys / "peer.json").exists()

    def create(self, rng: Callable[[int], bytes] = os.urandom) -> bool:
        """Make the folder, the peer's key and a first person; False if all was there already."""
        for folder in (self.root, self.keys, self.log.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_ours(folder)
        if self.exists():
            return False
        if not self._person_files():
            self.add_person(PersonSecrets(rng(KEY_BYTES), rng(KEY_BYTES), rng(KEY_BYTES)))
        self.renew_peer_key(rng)
        return True

    def peer_key(self) -> bytes:
        """Read the peer's X25519 private key."""
        key = _read_keys(self.keys / "peer.json", ("private",))["private"]
        return _needed(self.keys / "peer.json", "private", key)

    def renew_peer_key(self, rng: Callable[[int], bytes] = os.urandom) -> None:
        """Make this another peer: links of the old one, and what lists say of it, are void."""
        _write_keys(self.keys / "peer.json", {"private": rng(KEY_BYTES)})

    def persons(self) -> list[PersonSecrets]:
        """Read the keys of everybody who lives here, in the order they came."""
        files = self._person_files()
        if not files:
            raise ConfigError(
                f"{self.keys / 'person-1.json'} is missing, and who lives here with it: "
                "put back your copy; without one, start anew in another folder"
            )
        return [_read_person(path) for path in files]

    def add_person(self, secrets: PersonSecrets) -> None:
        """Keep one more person's keys, durably."""
        number = len(self._person_files()) + 1
        _write_keys(self.keys / f"person-{number}.json", secrets._asdict())

    def keep_person(self, index: int, secrets: PersonSecrets) -> None:
        """Replace the keys of a person, by its place in `persons`, durably."""
        _write_keys(self._person_files()[index], secrets._asdict())

    def kept_card(self, index: int) -> KeptCard | None:
        """Read the card of a person, by its place in `persons`; None if it has none yet."""
        import json

        path = self._card_file(index)
        try:
            content = json.loads(path.read_text())
            if content["version"] != 1:
                raise ConfigError(
                    f"{path}: version {content['version']}, this meshpeer knows 1"
                )
            return KeptCard(
                bytes.fromhex(content["card"]),
                str(content["nickname"]),
                bool(content.get("restored")),
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ConfigError(f"{path} can't be read as a card: {error!r}") from error

    def keep_card(self, index: int, kept: KeptCard) -> None:
        """Replace the card of a person, durably."""
        import json

        text = {"version": 1, **kept._asdict(), "card": kept.card.hex()}
        content = json.dumps(text, indent=1).encode() + b"\n"
        write_file(self._card_file(index), content, 0o600)

    def read_token(self) -> str:
        """Give the loopback API's token, made at its first use."""
        if not self.token.exists():
            from secrets import token_urlsafe

            write_file(self.token, token_urlsafe(32).encode() + b"\n", 0o600)
        check_private(self.token)
        return self.token.read_text().strip()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder as the only peer on it, or raise UsageError that names who does."""
        import fcntl

        if not self.root.is_dir():
            raise UsageError(f"there is no peer in {self.root}")
        _check_ours(self.root)
        descriptor = os.open(
            self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = (
                    os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
                )
                raise UsageError(
                    f"a peer already runs on {self.root} (pid {holder}); "
                    "stop it first, or name another folder with --state"
                ) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def socket_address(self) -> Iterator[str]:
        """Give a path for bind or connect, short enough for the kernel while this is open."""
        if len(os.fsencode(self.socket)) <= SOCKET_PATH_BYTES:
            yield str(self.socket)
            return
        folder = os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{folder}/{self.socket.name}"
        finally:
            os.close(folder)

    def _card_file(self, index: int) -> Path:
        name = self._person_files()[index].name
        return self.keys / name.replace("person-", "card-", 1)

    def _person_files(self) -> list[Path]:
        return sorted(
            self.keys.glob("person-*.json"), key=lambda path: (len(path.name), path)
        )


def _write_keys(path: Path, keys: dict[str, bytes | None]) -> None:
    import json

    text = {name: key.hex() if key is not None else None for name, key in keys.items()}
    write_file(path, json.dumps({"version": 1, **text}, indent=1).encode() + b"\n", 0o600)


def _read_person(path: Path) -> PersonSecrets:
    keys = _read_keys(path, PersonSecrets._fields)
    return PersonSecrets(
        person=keys["person"],
        device=_needed(path, "device", keys["device"]),
        sealing=_needed(path, "sealing", keys["sealing"]),
    )


def _read_keys(path: Path, names: tuple[str, ...]) -> dict[str, bytes | None]:
    import json

    try:
        check_private(path)
        content = json.loads(path.read_text())
        if content["version"] != 1:
            raise ConfigError(
                f"{path}: version {content['version']}, this meshpeer knows 1"
            )
        keys = {
            name: None if content[name] is None else bytes.fromhex(content[name])
            for name in names
        }
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing: `meshpeer init` makes a new peer") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{path} can't be read as keys: {error!r}") from error
    for name, key in keys.items():
        if key is not None and len(key) != KEY_BYTES:
            raise ConfigError(f"{path}: {name} has {len(key)} bytes, a key has {KEY_BYTES}")
    return keys


def _needed(path: Path, name: str, key: bytes | None) -> bytes:
    if key is None:
        raise ConfigError(f"{path}: {name} is missing")
    return key


def _check_ours(folder: Path) -> None:
    """Refuse a folder where somebody else could put keys in the place of ours."""
    found = folder.stat()
    if found.st_uid not in (os.geteuid(), 0) and os.geteuid() != 0:
        raise ConfigError(f"{folder} belongs to another user of this machine")
    if found.st_mode & 0o002:
        raise ConfigError(
            f"{folder} may be written by others on this machine: chmod o-w '{folder}'"
        )


def check_private(path: Path) -> None:
    """Raise ConfigError for a secret that others on this machine may read."""
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise ConfigError(
            f"{path} has mode {mode:o}: others on this machine may have read it. "
            f"If you trust them: chmod 600 '{path}'"
        )
