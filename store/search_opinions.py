"""What the persons whom somebody heeds think of items: their labels, as an effect on rank.

A label is about a block, a person or a file. The newest of a person about the same thing counts.
A rating raises or lowers a hit among its likes; a warning puts it behind all others, and is shown.
Labels of anybody else have no effect, so nothing is won by making many persons.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, NamedTuple

LABELS: Final = 2_000
"""Labels heeded, the newest of each person's share."""
HEEDED: Final = 64
"""Persons."""
ITEMS: Final = 10_000
"""Items that labels have an effect on; those with the newest labels."""
AT_ONCE: Final = 500
WEIGHT: Final = 0.5
"""What one step of rating adds, in parts of a hit's own worth."""

_LABELS: Final = """SELECT item.person, target, size, name FROM item
    WHERE kind = 'label' AND person = (SELECT n FROM key WHERE id = ?) AND target IS NOT NULL
    ORDER BY lamport DESC LIMIT ?"""
_ABOUT: Final = (
    "SELECT id, n FROM block WHERE id IN ({}) LIMIT ?",
    "SELECT file, block FROM item WHERE file IN ({}) LIMIT ?",
    """SELECT key.id, block FROM key JOIN item ON item.person = key.n
       WHERE key.id IN ({}) LIMIT ?""",
)


class Opinions(NamedTuple):
    """By the number of the item."""

    ratings: Mapping[int, float]
    warnings: Mapping[int, tuple[str, ...]]

    def sort(self, numbers: Sequence[int], worth: Mapping[int, float]) -> list[int]:
        """Give the numbers by worth and opinion, the best first, else in the order they have."""
        if not self.ratings and not self.warnings:
            if not worth:
                return list(numbers)
            good = [n for n in numbers if worth.get(n)]
            good.sort(key=worth.__getitem__, reverse=True)
            return good + [n for n in numbers if not worth.get(n)]
        return sorted(numbers, key=lambda n: self._key(n, worth.get(n, 0.0)))

    def _key(self, number: int, worth: float) -> tuple[bool, float]:
        rating = WEIGHT * self.ratings.get(number, 0.0)
        return bool(self.warnings.get(number)), -(worth + rating * (1 + worth))


NO_OPINIONS: Final = Opinions({}, {})


def opinions(read: Callable[..., list[Any]], heeded: AbstractSet[bytes]) -> Opinions:
    """Read what these persons think of the items here."""
    rated: dict[bytes, list[int]] = {}
    warned: dict[bytes, list[str]] = {}
    persons = sorted(heeded)[:HEEDED]
    for person in persons:
        seen = set()
        for _, target, rating, warning in read(_LABELS, person, LABELS // len(persons)):
            if target in seen:
                continue
            seen.add(target)
            if rating:
                rated.setdefault(target, []).append(max(-2, min(rating, 2)))
            if warning:
                warned.setdefault(target, []).append(warning)
    numbers = _numbers(read, [*dict.fromkeys([*rated, *warned])])
    return Opinions(
        {
            n: sum(rated[target]) / len(rated[target])
            for n, target in numbers
            if target in rated
        },
        {n: tuple(warned[target]) for n, target in numbers if target in warned},
    )


def _numbers(
    read: Callable[..., list[Any]], targets: Sequence[bytes]
) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    for sql in reversed(_ABOUT):  # what is said of a block outweighs what is of its person
        for first in range(0, len(targets), AT_ONCE):
            some = targets[first : first + AT_ONCE]
            rows = read(sql.format(", ".join("?" * len(some))), *some, ITEMS)
            found += [(n, target) for target, n in rows]
    return found
