"""The listing: the files and folders of a collection. It is itself a file, named by the record.

    [[path, size, file id, executable, mtime], ...]

in deterministic CBOR, ordered by the bytes of the path, each path once. Paths are relative, their
parts joined by `/`; folders are not listed but follow from the paths.

A listing tells a stranger's peer to write files, so its paths are judged before the first of them
is: none leaves its folder, none is the same file as another on any file system that people use
(letters of either case and both forms of accents are one there), none is a device of Windows, and
none touches what we keep in `.meshpeer`. One bad path refuses the whole listing: a folder that
lacks files would look complete.

Read here by hand and not by cbor.py: a list of 64 MiB of anything would become gigabytes of
objects before it could be counted. Names are compared as a tree, whose nodes are bounded, for
64 levels times 100,000 paths written out are gigabytes too.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple
from unicodedata import normalize

import cbor2

from meshpeer.core.formats.manifest import HASH_SIZE, MAX_FILE
from meshpeer.core.formats.message import MAX_WRITTEN
from meshpeer.core.formats.words import MAX_NAME, shows
from meshpeer.errors import RemoteProtocolError, UsageError

MAX_LISTING: Final = 64 * 1024 * 1024
MAX_ENTRIES: Final = 100_000
MAX_FOLDERS: Final = 100_000
MAX_LEVELS: Final = 64
MAX_PATH: Final = 4_096
"""Bytes of UTF-8."""
OWN_FOLDER: Final = ".meshpeer"
"""What a mirror keeps beside the files; nobody else writes there."""

_DEVICE: Final = re.compile(
    r"(?:con|prn|aux|nul|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3]|conin\$|conout\$|clock\$)"
    r" *(?:[.:].*)?"
)
_JOINERS: Final = {0x200C: None, 0x200D: None}
_FALSE, _TRUE = 0xF4, 0xF5


class Entry(NamedTuple):
    """One file of a collection."""

    path: str
    size: int
    file: bytes
    executable: bool = False
    mtime: int = 0
    """Wall seconds: a hint."""


class Listing(NamedTuple):
    """All files of a collection, in the order of their paths."""

    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> "Listing":
        """Put entries in order; UsageError names the path that can't be published, and why."""
        made = cls(
            tuple(
                entry._replace(mtime=max(0, min(entry.mtime, MAX_WRITTEN)))
                for entry in sorted(entries)
            )
        )
        try:
            made._check()
        except RemoteProtocolError as error:
            raise UsageError(f"this can't be published as a collection: {error}") from error
        return made

    @classmethod
    def fitting(cls, entries: Iterable[Entry]) -> tuple["Listing", list[tuple[str, str]]]:
        """Make one of all that can be beside each other; give the other paths, and why."""
        tree, kept, others = _Tree(), [], []
        for entry in sorted(entries):
            if fault := tree.add(entry.path):
                others.append((entry.path, f"its path {fault}"))
            else:
                kept.append(entry)
        return cls.of(kept), others

    @classmethod
    def parse(cls, data: bytes) -> "Listing":
        """Read a listing, or raise RemoteProtocolError and nothing else."""
        if len(data) > MAX_LISTING:
            raise RemoteProtocolError("listing", f"{len(data)} bytes, limit {MAX_LISTING}")
        listing = cls(tuple(_read(data)))
        listing._check()
        return listing

    def to_bytes(self) -> bytes:
        """Give the one encoding of the listing."""
        data: bytes = cbor2.dumps(self.entries)
        return data

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.entries)

    def _check(self) -> None:
        """Raise RemoteProtocolError for the first rule broken."""
        if len(self.entries) > MAX_ENTRIES:
            raise RemoteProtocolError(
                "listing", f"{len(self.entries)} files, limit {MAX_ENTRIES}"
            )
        tree, last = _Tree(), ""
        for entry in self.entries:
            if not 0 <= entry.size <= MAX_FILE or len(entry.file) != HASH_SIZE:
                raise RemoteProtocolError("size", f"of {entry.path!r:.200}: {entry.size}")
            if entry.path <= last:
                raise RemoteProtocolError("path", f"{entry.path!r:.200} is not in order")
            last = entry.path
            fault = path_fault(last) or tree.add(last)
            if fault:
                raise RemoteProtocolError("path", f"{last!r:.200} {fault}")


def path_fault(path: str) -> str:
    """Say why no file of a collection may have this path; empty if one may."""
    if not shows(path):
        return "has a character that does not show on a screen"
    if "\\" in path:
        return "has a backslash"
    size = len(path) if path.isascii() else len(path.encode())
    if size > MAX_PATH:
        return f"has {size} bytes, limit {MAX_PATH}"
    parts = path.split("/")
    if len(parts) > MAX_LEVELS:
        return f"has {len(parts)} levels, limit {MAX_LEVELS}"
    for part in parts:
        fault = _part_fault(part)
        if fault:
            return fault
    return ""


def _part_fault(part: str) -> str:
    if not part:
        return "is not relative, or has an empty part"
    if part[-1] in ". ":
        return "has a part that ends with a dot or a space"
    if len(part) * 4 > MAX_NAME and len(part.encode()) > MAX_NAME:
        return f"has a part of more than {MAX_NAME} bytes"
    folded = _fold(part)
    if _DEVICE.fullmatch(folded):
        return "has a part that is a device on Windows"
    if folded == OWN_FOLDER:
        return f"lies in {OWN_FOLDER}, which is kept for us"
    return ""


def _fold(part: str) -> str:
    """Give what two names have in common if a file system may take one for the other."""
    if part.isascii():
        return part.lower()
    plain = normalize("NFD", part.translate(_JOINERS)).casefold()
    return normalize("NFD", plain)


class _Tree:
    """The folders seen so far, by number, and whose names are taken in each."""

    def __init__(self) -> None:
        self._names: dict[tuple[int, str], tuple[str, int]] = {}
        """(folder, folded name) to the name and the number of that folder, 0 for a file."""
        self._folders = 1
        self._last = ("", 1)

    def add(self, path: str) -> str:
        """Take a path; say why it can't be beside those before, if it can't."""
        folder, _, name = path.rpartition("/")
        if folder != self._last[0]:
            number, fault = self._enter(folder.split("/") if folder else [])
            if fault:
                return fault
            self._last = folder, number
        taken = self._names.setdefault((self._last[1], _fold(name)), (name, 0))
        if taken != (name, 0):
            return f"would be the same as {taken[0]!r} on some file systems"
        return ""

    def _enter(self, parts: list[str]) -> tuple[int, str]:
        number = 1
        for part in parts:
            known = self._names.get((number, _fold(part)))
            if known is None:
                self._folders += 1
                known = self._names[number, _fold(part)] = part, self._folders
            if known[0] != part or not known[1]:
                return 0, f"would be the same as {known[0]!r} on some file systems"
            if self._folders > MAX_FOLDERS:
                return 0, f"is in one folder too many, limit {MAX_FOLDERS}"
            number = known[1]
        return number, ""


def _read(data: bytes) -> Iterable[Entry]:
    count, at = _head(data, 0, 4)
    if count > MAX_ENTRIES:
        raise RemoteProtocolError("listing", f"{count} files, limit {MAX_ENTRIES}")
    for _ in range(count):
        if data[at : at + 1] != b"\x85":
            raise RemoteProtocolError("listing", "an entry is not a list of five")
        length, at = _head(data, at + 1, 3)
        end = at + length
        if length > MAX_PATH or end > len(data):
            raise RemoteProtocolError("path", f"{length} bytes, limit {MAX_PATH}")
        try:
            path = data[at:end].decode()
        except UnicodeDecodeError as error:
            raise RemoteProtocolError("path", "not UTF-8") from error
        size, at = _head(data, end, 0)
        file, at = data[at + 2 : at + 2 + HASH_SIZE], at + 2 + HASH_SIZE
        if data[at - 2 - HASH_SIZE : at - HASH_SIZE] != b"\x58\x20":
            raise RemoteProtocolError("file", f"not a byte string of {HASH_SIZE}")
        if len(data) <= at or data[at] not in (_FALSE, _TRUE):
            raise RemoteProtocolError("executable", "neither true nor false")
        mtime, end = _head(data, at + 1, 0)
        if mtime > MAX_WRITTEN:
            raise RemoteProtocolError("mtime", f"{mtime}, limit {MAX_WRITTEN}")
        yield Entry(path, size, file, data[at] == _TRUE, mtime)
        at = end
    if at != len(data):
        raise RemoteProtocolError("listing", f"{len(data) - at} bytes too many")


def _head(data: bytes, at: int, major: int) -> tuple[int, int]:
    """Read a head of this major type in its shortest form: its number, and where it ends."""
    first = data[at] if at < len(data) else 0xFF
    if first >> 5 != major:
        raise RemoteProtocolError("listing", f"no CBOR of major type {major} at {at}")
    number, at = first & 0x1F, at + 1
    if number < 24:
        return number, at
    width = 1 << (number - 24)
    number = int.from_bytes(data[at : at + width])
    if (
        width > 8
        or len(data) < at + width
        or number < (24, 2**8, 2**16, 0, 2**32)[width // 2]
    ):
        raise RemoteProtocolError("listing", f"no number in its shortest form at {at - 1}")
    return number, at + width
