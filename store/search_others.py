"""What else do those publish who publish this? Found by who shares files with whom.

A person speaks for a file by publishing it, or by a label with a good rating. From a file: whoever
speaks for it, and what else these publish. From a person: whoever speaks for the same files.

A file that few speak for tells more about taste than one that everybody has, and so does a person
who publishes little; so both count by one over the root of how many there are. Every list is cut
to its newest, so that no file of thousands and no person with thousands of files is slow.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from heapq import nlargest
from math import sqrt
from typing import Any, Final, NamedTuple

from store.chains import ChainReads
from store.rows import RecordRow

FILES: Final = 100
"""Of one person, the newest of each kind."""
SPEAKERS: Final = 100
"""For one file, the newest."""
KINDRED: Final = 50
"""Persons whose files are looked at, those who have most in common."""

KINDS: Final = ("file", "collection")

SPEAKING: Final = """SELECT DISTINCT person FROM (
    SELECT person, block FROM item WHERE file = ?1
    UNION ALL
    SELECT person, block FROM item WHERE target = ?1 AND kind = 'label' AND size > 0
    ORDER BY block DESC LIMIT ?2)"""
PUBLISHED: Final = """SELECT file, block FROM item
    WHERE person = ? AND kind = ? AND file IS NOT NULL ORDER BY lamport DESC LIMIT ?"""
NUMBER: Final = "SELECT n FROM key WHERE id = ?"


class Also(NamedTuple):
    """A file that others publish who have this too."""

    record: RecordRow
    """The newest record that publishes it."""
    persons: int
    """How many of them do."""


class OthersReads(ChainReads):
    """What somebody may like who likes this."""

    def others_with_file(self, file: bytes, limit: int = 20) -> list[Also]:
        """Give what those also publish who publish this file or rate it well, the best first."""
        kindred = dict.fromkeys(self._speaking(file), 1.0)
        return self._also(kindred, {file}, limit)

    def others_like_person(self, person: bytes, limit: int = 20) -> list[Also]:
        """Give what those publish who have files of this person's too, and the person has not."""
        row = self._one(NUMBER, person)
        if row is None:
            return []
        own = self._published(row[0])
        kindred: dict[int, float] = defaultdict(float)
        for file in own:
            speaking = self._speaking(file)
            for other in speaking:
                kindred[other] += 1 / sqrt(len(speaking))
        kindred.pop(row[0], None)
        return self._also(kindred, own.keys(), limit)

    def _also(
        self, kindred: Mapping[int, float], known: AbstractSet[bytes], limit: int
    ) -> list[Also]:
        worth: dict[bytes, float] = defaultdict(float)
        persons: dict[bytes, int] = defaultdict(int)
        newest: dict[bytes, int] = {}
        for person in nlargest(KINDRED, kindred, key=_by(kindred)):
            files = self._published(person)
            for file, block in files.items():
                worth[file] += kindred[person] / sqrt(len(files))
                persons[file] += 1
                newest[file] = max(block, newest.get(file, 0))
        new = [file for file in worth if file not in known]
        best = nlargest(limit, new, key=lambda file: (worth[file], newest[file]))
        rows = ((self.record(newest[file]), persons[file]) for file in best)
        return [Also(record, count) for record, count in rows if record is not None]

    def _speaking(self, file: bytes) -> list[int]:
        return [row[0] for row in self._all(SPEAKING, file, SPEAKERS)]

    def _published(self, person: int) -> dict[bytes, int]:
        rows = [row for kind in KINDS for row in self._all(PUBLISHED, person, kind, FILES)]
        return dict(reversed(rows))


def _by(worth: Mapping[int, float]) -> Callable[[int], Any]:
    return lambda person: (worth[person], person)
