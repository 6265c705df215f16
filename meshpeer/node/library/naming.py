"""What a fetched file is called on this disk: never over a file that is there already.

A record's name was checked to be a name and no path (core/formats/record.py), but it is a
stranger's: here goes what a file system or a shell would stumble over. A leading dot goes too, for
a file that came must not hide, nor be read as settings by a program that looks in that folder.
"""

from collections.abc import Iterator
from pathlib import PurePath
from typing import Final

MAX_BYTES: Final = 255
ROOM: Final = 16
"""Bytes kept for ` (N)` and for what marks a file that is under way."""
REFUSED: Final = frozenset('<>:"/\\|?*\x7f')
"""What FAT and NTFS, often on a stick, have no names with."""
MOST_TRIES: Final = 10_000


def safe_name(name: str, otherwise: str) -> str:
    """Give a name that any file system takes and that hides nothing."""
    letters = ("_" if letter in REFUSED or letter < " " else letter for letter in name)
    cleaned = "".join(letters).strip().rstrip(". ")
    if cleaned.startswith("."):
        cleaned = "_" + cleaned[1:]
    return cut(cleaned, MAX_BYTES - ROOM) or otherwise


def cut(name: str, limit: int) -> str:
    """Shorten a name to so many bytes, keeping its suffix."""
    if len(name.encode()) <= limit:
        return name
    suffix = PurePath(name).suffix
    if len(suffix.encode()) > limit // 4:
        suffix = ""
    stem = name.removesuffix(suffix).encode()[: limit - len(suffix.encode())]
    return stem.decode(errors="ignore").rstrip(". ") + suffix


def candidates(name: str) -> Iterator[str]:
    """Give the name, then `name (2).ext` and so on, each of at most 255 bytes."""
    yield name
    suffix = "".join(PurePath(name).suffixes[-1:])
    stem = name.removesuffix(suffix)
    for number in range(2, MOST_TRIES):
        yield f"{stem} ({number}){suffix}"


def aside(name: str) -> Iterator[str]:
    """Give `name.mine-1` and so on: where a file goes that its owner changed."""
    for number in range(1, MOST_TRIES):
        mark = f".mine-{number}"
        yield cut(name, MAX_BYTES - len(mark)) + mark
