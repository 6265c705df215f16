"""Packet counters seen, as ascending ranges: the memory behind acknowledgements and replay.

One structure serves both, since a counter that may be acknowledged is one that was accepted. What
came by several paths lies in it together, so that two paths of one delay leave hardly a gap. A
batch is added run by run: in order, which is nearly always, that is one store for all of it.
"""

from bisect import bisect_right
from typing import Final

NEVER: Final = 1 << 64
"""Above every counter."""


class Ranges:
    """A set of integers kept as half-open ranges, `starts[i] <= n < ends[i]`, ascending."""

    __slots__ = ("ends", "floor", "starts")

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.floor = 0
        """Everything below counts as seen."""

    def __contains__(self, number: int) -> bool:
        if number < self.floor:
            return True
        index = bisect_right(self.starts, number) - 1
        return index >= 0 and number < self.ends[index]

    @property
    def next(self) -> int:
        """One above the largest number seen."""
        return self.ends[-1] if self.ends else self.floor

    def add(self, number: int) -> bool:
        """Add a number; False if it was there before."""
        if number in self:
            return False
        self.add_run(number, number + 1)
        return True

    def clear_from(self, number: int) -> int:
        """Give the first number above this one that came; 0 if this one came itself."""
        if number in self:
            return 0
        index = bisect_right(self.starts, number)
        return self.starts[index] if index < len(self.starts) else NEVER

    def add_run(self, start: int, end: int) -> None:
        """Add the numbers from `start` to below `end`, none of which was there."""
        starts, ends = self.starts, self.ends
        if ends and start == ends[-1]:
            ends[-1] = end
        elif not ends or start > ends[-1]:
            starts.append(start)
            ends.append(end)
        else:
            self._add_between(start, end)

    def trim(self, floor: int) -> None:
        """Forget what lies below `floor`: all of it counts as seen from now on."""
        self.floor = max(self.floor, floor)
        gone = bisect_right(self.ends, self.floor)
        del self.starts[:gone], self.ends[:gone]
        if self.starts and self.starts[0] < self.floor:
            self.starts[0] = self.floor

    def below(self, top: int, count: int, floor: int = 0) -> list[tuple[int, int]]:
        """At most `count` ranges of what lies below `top`, descending, none that ends at or
        below `floor`."""
        found: list[tuple[int, int]] = []
        index = bisect_right(self.starts, top - 1) - 1
        while index >= 0 and len(found) < count and self.ends[index] > floor:
            found.append((self.starts[index], min(self.ends[index], top)))
            index -= 1
        return found

    def _add_between(self, start: int, end: int) -> None:
        starts, ends = self.starts, self.ends
        index = bisect_right(starts, start)
        joins_left = index > 0 and ends[index - 1] == start
        joins_right = index < len(starts) and starts[index] == end
        if joins_left and joins_right:
            ends[index - 1] = ends[index]
            del starts[index], ends[index]
        elif joins_left:
            ends[index - 1] = end
        elif joins_right:
            starts[index] = start
        else:
            starts.insert(index, start)
            ends.insert(index, end)
