"""Places that equal files of a collection go to once the first of them is at its own.

A fetch has one place; the others wait here, and in the database as one setting, so that a restart
loses none. That is written when something is added, and after a while when copies were made: a
copy that was made and is still listed after a crash is seen to lie there already.
"""

import json
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from meshpeer.core.journal import Journal
from meshpeer.core.writes import PutSetting

SETTING: Final = "copies"
WRITE_AFTER: Final = 64
"""Copies made after which the list is written again, if it isn't empty before; and as many as are
left at least, or a long list would be written for each few of a collection of equal files."""


class FurtherPlace(NamedTuple):
    """Where a file is to lie, too."""

    file: bytes
    name: str
    target: str


class FurtherPlaces:
    """What is to be copied, by file."""

    def __init__(self, settings: Callable[[], dict[str, bytes]], journal: Journal) -> None:
        """`settings` gives what the database keeps by name."""
        self._journal = journal
        self._waiting: dict[bytes, list[FurtherPlace]] = {}
        self._under_way: set[bytes] = set()
        self._left = self._unwritten = 0
        kept = json.loads(settings().get(SETTING, b"[]"))
        for file, name, target in kept:
            self._put(FurtherPlace(bytes.fromhex(file), name, target))

    def files(self) -> list[bytes]:
        """Which files are to be copied."""
        return list(self._waiting)

    def add(self, places: Iterable[FurtherPlace]) -> None:
        """Remember these; durable with what is journalled next."""
        before = self._left
        for place in places:
            self._put(place)
        if self._left > before:
            self._write()

    def next(self, file: bytes) -> FurtherPlace | None:
        """The file came to its place, or to the last one that was given here: give the next."""
        if file in self._under_way:
            self._under_way.discard(file)
            self._waiting[file].pop()
            self._left -= 1
            self._unwritten += 1
        places = self._waiting.get(file)
        if places:
            self._under_way.add(file)
        elif places is not None:
            del self._waiting[file]
        if self._unwritten and (
            not self._left or self._unwritten >= max(WRITE_AFTER, self._left)
        ):
            self._write()
        return places[-1] if places else None

    def drop(self, file: bytes) -> None:
        """Nobody wants it any more."""
        self._under_way.discard(file)
        dropped = self._waiting.pop(file, None)
        if dropped is not None:
            self._left -= len(dropped)
            self._write()

    def _put(self, place: FurtherPlace) -> None:
        self._waiting.setdefault(place.file, []).append(place)
        self._left += 1

    def _write(self) -> None:
        self._unwritten = 0
        rows = [
            (place.file.hex(), place.name, place.target)
            for places in self._waiting.values()
            for place in places
        ]
        self._journal.add(PutSetting(SETTING, json.dumps(rows).encode()))
