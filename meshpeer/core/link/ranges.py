"""Packet counters seen, as ascending ranges: the memory behind acknowledgements and replay.

One structure serves both, since a counter that may be acknowledged is one that was accepted. In
order, which is nearly always, adding is one comparison and one store.
"""

from bisect import bisect_right


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
        starts, ends = self.starts, self.ends
        if not ends or number > ends[-1]:
            if number < self.floor:
                return False
            starts.append(number)
            ends.append(number + 1)
            return True
        if number == ends[-1]:
            ends[-1] += 1
            return True
        return self._add_between(number)

    def trim(self, floor: int) -> None:
        """Forget what lies below `floor`: all of it counts as seen from now on."""
        self.floor = max(self.floor, floor)
        gone = bisect_right(self.ends, self.floor)
        del self.starts[:gone], self.ends[:gone]
        if self.starts and self.starts[0] < self.floor:
            self.starts[0] = self.floor

    def newest(self, count: int, floor: int = 0) -> list[tuple[int, int]]:
        """At most `count` ranges, descending, none that ends at or below `floor`."""
        found: list[tuple[int, int]] = []
        for start, end in zip(reversed(self.starts), reversed(self.ends), strict=True):
            if len(found) == count or end <= floor:
                break
            found.append((start, end))
        return found

    def _add_between(self, number: int) -> bool:
        if number in self:
            return False
        starts, ends = self.starts, self.ends
        index = bisect_right(starts, number)
        joins_left = index > 0 and ends[index - 1] == number
        joins_right = index < len(starts) and starts[index] == number + 1
        if joins_left and joins_right:
            ends[index - 1] = ends[index]
            del starts[index], ends[index]
        elif joins_left:
            ends[index - 1] = number + 1
        elif joins_right:
            starts[index] = number
        else:
            starts.insert(index, number)
            ends.insert(index, number + 1)
        return True
