"""The file that says what was changed, and who stands for it.

One for each interface that is up, `cell0.json`, written whole before anything is changed and
locked (flock) as long as the process that changed it, or its guardian, lives. A file that nobody
locks was left by processes that were killed, both: `meshpeer radio restore` and the next `radio
up` undo what it says. It names the boot and the network namespace it is about, so one of another
boot undoes nothing.

Root may find records of the user that the service runs as, in a folder of that user. So what is no
plain file is passed over and never written to, and a process is ended by a record only if it is
of the user whose file that is.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

import msgspec

from meshpeer.errors import TransportError, UsageError
from transports.radio.changing import Undo

SUFFIX: Final = ".json"
SYSTEM: Final = Path("/run/meshpeer-radio")
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
NAMESPACE: Final = "/proc/self/ns/net"
PLAIN: Final = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
LARGEST: Final = 65_536


class Record(msgspec.Struct, frozen=True):
    """What is up, or was when its process was killed."""

    boot: str
    namespace: int
    pid: int
    started: int
    """When that process began, as the kernel counts: its number may be another's by now."""
    interface: str
    radio: str
    mode: str
    network: str
    channel: int
    undo: Undo

    @property
    def holds(self) -> bool:
        """Whether it is about this boot and this network namespace."""
        return (self.boot, self.namespace) == where()


def started(pid: int) -> int:
    """Say when a process began, as the kernel counts; 0 if there is none."""
    try:
        said = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(said.rpartition(")")[2].split()[19])


def where() -> tuple[str, int]:
    """Give the boot and the network namespace of this process."""
    return BOOT_ID.read_text().strip(), os.stat(NAMESPACE).st_ino


def folder(environment: Mapping[str, str], state: Path) -> Path:
    """Say where records are kept: what systemd made for us, else /run, else the state folder."""
    given = environment.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    if os.geteuid() == 0:
        return SYSTEM
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "meshpeer-radio"
    return state / "radio"


class RecordFile:
    """A record's file while we hold its lock, for ourselves and for the processes we fork."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def make(cls, path: Path, record: Record) -> Self:
        """Write a new one; UsageError if a living process stands for one of that name."""
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            made = cls.take(path, os.O_CREAT)
            if made is None:
                raise UsageError(f"{record.interface} is set up by another process already")
            os.ftruncate(made._descriptor, 0)
            os.pwrite(made._descriptor, msgspec.json.encode(record), 0)
        except OSError as error:
            raise TransportError(
                f"what is changed can't be noted in {path.parent}: {error.strerror}"
            ) from error
        return made

    @classmethod
    def take(cls, path: Path, flags: int = 0, *, wait: bool = False) -> Self | None:
        """Lock one that is there; None while a living process has it, or if it is gone."""
        how = fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)
        while True:
            try:
                descriptor = _open(path, os.O_RDWR | flags)
            except FileNotFoundError:
                return None
            try:
                fcntl.flock(descriptor, how)
                if path.exists() and os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                    return cls(path, descriptor)
            except BlockingIOError:
                os.close(descriptor)
                return None
            os.close(descriptor)

    def read(self) -> Record | None:
        """Give the record; None for one that was cut short, before anything was changed."""
        try:
            return msgspec.json.decode(os.pread(self._descriptor, LARGEST, 0), type=Record)
        except msgspec.DecodeError:
            return None

    def remove(self) -> None:
        """All is as it was: nothing is left to undo."""
        with suppress(FileNotFoundError):
            self.path.unlink()

    def close(self) -> None:
        """Let go of the lock, as far as this process has it."""
        os.close(self._descriptor)


def read_all(where_: Path) -> Iterator[tuple[Path, Record]]:
    """Give the records in a folder, of the living and of those who were killed."""
    for path in sorted(where_.glob(f"*{SUFFIX}")):
        with suppress(OSError, msgspec.DecodeError):
            yield path, msgspec.json.decode(_read(path), type=Record)


def is_its_owners(path: Path, record: Record) -> bool:
    """Whether the process that a record names is of the user whose file the record is."""
    try:
        said = Path(f"/proc/{record.pid}/status").read_text()
        (line,) = (line for line in said.splitlines() if line.startswith("Uid:"))
        return int(line.split()[1]) == path.lstat().st_uid
    except (OSError, ValueError):
        return False


def _open(path: Path, flags: int) -> int:
    """Open a plain file, with no other name; OSError if it is anything else."""
    descriptor = os.open(path, flags | PLAIN, 0o600)
    look = os.fstat(descriptor)
    if not stat.S_ISREG(look.st_mode) or look.st_nlink > 1:
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no plain file")
    return descriptor


def _read(path: Path) -> bytes:
    descriptor = _open(path, os.O_RDONLY)
    try:
        return os.pread(descriptor, LARGEST, 0)
    finally:
        os.close(descriptor)
