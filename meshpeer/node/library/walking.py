"""What of a folder can be published: its ordinary files, and for the rest why not.

Links are not followed: they may lead out of the folder, or round in circles, and whoever publishes
a folder means what lies in it. Names that begin with a dot are left out unless asked for, as every
file list does; what a collection can't hold (core/formats/listing.py) is left out with a reason, so
that one odd name doesn't keep a thousand files back.
"""

import os
import stat
from collections.abc import Iterator
from typing import Final, NamedTuple

from meshpeer.core.formats.listing import MAX_ENTRIES, MAX_LEVELS, OWN_FOLDER, path_fault
from meshpeer.errors import UsageError
from meshpeer.node.library.confined import FOLDER_FLAGS, Confined
from meshpeer.node.library.hashing import Look

MOST_SKIPPED: Final = 1_000
"""Reasons that are kept; the others are counted by nobody."""


class Found(NamedTuple):
    """An ordinary file in a folder, by its path in it."""

    path: str
    look: Look


class Skipped(NamedTuple):
    """What is not published, and why."""

    path: str
    why: str


class Walk(NamedTuple):
    """A folder as it was found."""

    files: list[Found]
    folders: list[str]
    """Paths of the folders looked into, '' for the first."""
    skipped: list[Skipped]


def walk(folder: Confined, *, hidden: bool = False, below: str = "") -> Walk:
    """Look through a folder, or through one below it; UsageError if it holds too much."""
    found = Walk([], [], [])
    parts = below.split("/") if below else []
    start = os.dup(folder.folder(parts))
    try:
        _enter(found, start, f"{below}/" if below else "", hidden, len(parts))
    finally:
        os.close(start)
    found.files.sort()
    return found


def left_out(path: str, *, hidden: bool = False) -> str:
    """Say why a path in a folder isn't published, or nothing if it may be."""
    parts = path.split("/")
    if OWN_FOLDER in parts or (not hidden and any(part[0] == "." for part in parts)):
        return "is hidden"
    return path_fault(path)


def _enter(found: Walk, folder: int, above: str, hidden: bool, level: int) -> None:
    found.folders.append(above.rstrip("/"))
    if len(found.folders) > MAX_ENTRIES:
        raise UsageError(f"more than {MAX_ENTRIES} folders: publish parts of it alone")
    below = []
    for name, look in _entries(folder):
        path = above + name
        if name == OWN_FOLDER or (name[0] == "." and not hidden):
            continue
        if fault := path_fault(path):
            _skip(found, path, f"its path {fault}")
        elif stat.S_ISDIR(look.st_mode):
            below.append(name)
        elif not stat.S_ISREG(look.st_mode):
            _skip(found, path, "it is no ordinary file")
        else:
            found.files.append(Found(path, Look.of(look)))
            if len(found.files) > MAX_ENTRIES:
                raise UsageError(
                    f"more than {MAX_ENTRIES} files: publish parts of it alone, "
                    "or pack it into an archive"
                )
    for name in below:
        if level + 1 >= MAX_LEVELS:
            _skip(found, above + name, f"it is {MAX_LEVELS} folders deep")
            continue
        try:
            inner = os.open(name, FOLDER_FLAGS, dir_fd=folder)
        except OSError as error:
            _skip(found, above + name, f"it can't be opened: {error.strerror}")
            continue
        try:
            _enter(found, inner, f"{above}{name}/", hidden, level + 1)
        finally:
            os.close(inner)


def _entries(folder: int) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                yield entry.name, entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # gone meanwhile
                continue


def _skip(found: Walk, path: str, why: str) -> None:
    if len(found.skipped) < MOST_SKIPPED:
        found.skipped.append(Skipped(os.fsencode(path).decode(errors="replace"), why))
