"""Sets of sequences as a few spans: which blocks of a log are held, asked for, or lacking.

A log is held from its top down, so one span is the rule and a handful the most; the bound is for
who would send every second block.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

MAX_SPANS: Final = 32
_END: Final = float("inf")


class Spans:
    """A set of whole numbers, kept as ascending spans (first, last), both included, apart."""

    __slots__ = ("_spans",)

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        self._spans = list(spans)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self._spans)

    def __len__(self) -> int:
        return len(self._spans)

    def __bool__(self) -> bool:
        return bool(self._spans)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spans) and self._spans == other._spans

    __hash__ = None  # type: ignore[assignment]

    def __contains__(self, number: int) -> bool:
        return self.over(number) is not None

    @property
    def count(self) -> int:
        """How many numbers are in it."""
        return sum(last - first + 1 for first, last in self._spans)

    @property
    def top(self) -> int:
        """The highest number, 0 if there is none."""
        return self._spans[-1][1] if self._spans else 0

    @property
    def top_first(self) -> int:
        """Where the highest span begins, 1 if there is none."""
        return self._spans[-1][0] if self._spans else 1

    @property
    def bottom(self) -> int:
        """The lowest number, 1 if there is none."""
        return self._spans[0][0] if self._spans else 1

    def over(self, number: int) -> tuple[int, int] | None:
        """The span that holds this number."""
        index = bisect_right(self._spans, (number, _END)) - 1
        if index >= 0 and self._spans[index][1] >= number:
            return self._spans[index]
        return None

    def room_for(self, number: int, most: int = MAX_SPANS) -> bool:
        """Whether adding it leaves no more than `most` spans."""
        return len(self._spans) < most or number - 1 in self or number + 1 in self

    def add(self, first: int, last: int | None = None) -> None:
        """Put first..last in (first alone if no last is given)."""
        last = first if last is None else last
        spans = self._spans
        begin = bisect_right(spans, (first - 1, _END)) - 1
        if begin < 0 or spans[begin][1] < first - 1:
            begin += 1
        end = begin
        while end < len(spans) and spans[end][0] <= last + 1:
            first, last = min(first, spans[end][0]), max(last, spans[end][1])
            end += 1
        spans[begin:end] = [(first, last)]

    def remove(self, first: int, last: int) -> None:
        """Take first..last out."""
        kept: list[tuple[int, int]] = []
        for low, high in self._spans:
            if low < first:
                kept.append((low, min(high, first - 1)))
            if high > last:
                kept.append((max(low, last + 1), high))
        self._spans = kept

    def keep(self, first: int, last: int) -> None:
        """Take out all but first..last."""
        self._spans = [
            (max(low, first), min(high, last))
            for low, high in self._spans
            if high >= first and low <= last
        ]

    def below(self, number: int) -> int:
        """The highest number in the set that is below this one, or 0."""
        index = bisect_right(self._spans, (number, -1)) - 1
        return min(self._spans[index][1], number - 1) if index >= 0 else 0


def top_gap(
    first: int, last: int, most: int, sets: Iterable[Spans]
) -> tuple[int, int] | None:
    """The highest numbers of first..last that are in none of the sets: at most `most`, in a row."""
    sets, at, moved = list(sets), last, True
    while moved and at >= first:
        moved = False
        for one in sets:
            span = one.over(at)
            if span:
                at, moved = span[0] - 1, True
    if at < first:
        return None
    floor = max((one.below(at) for one in sets), default=0)
    return max(first, floor + 1, at - most + 1), at
