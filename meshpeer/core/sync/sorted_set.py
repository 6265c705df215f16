"""A set of (number, id) pairs in order, compact, with the sum of the ids of any range.

One structure serves the reconciliation (number = hour of making) and the queue's orders (number
= end of life, worth, start of the receipt hash). Items lie packed, 8 bytes of number then the id,
in blocks of at most BLOCK items, so that 100,000 of them take 4 MB where a list of tuples takes
15. An insertion is one bisect over the blocks' first items, seven comparisons inside the block
and a short memmove. Each block keeps the sum of its ids as it changes; a range's sum is a
difference of running sums over the blocks, which are made anew after a change, and the two ends.
A balanced tree would save those running sums (50 us at 100,000 items, once per round of a
reconciliation) and cost more at each insertion, of which there are many more.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final, NamedTuple

BLOCK: Final = 128
NUMBER_SIZE: Final = 8
MAX_NUMBER: Final = 2**64 - 1


class Item(NamedTuple):
    """One member: the number that it is sorted by first, then its id."""

    number: int
    id: bytes


class SortedSet:
    """Items with ids of one size; `add` and `discard` keep the order and the sums."""

    def __init__(self, id_size: int = 32, items: Iterable[tuple[int, bytes]] = ()) -> None:
        self.id_size = id_size
        self._width = width = NUMBER_SIZE + id_size
        self._mask = (1 << 8 * id_size) - 1
        keys = sorted({_key(number, id) for number, id in items})
        parts = [keys[at : at + BLOCK // 2] for at in range(0, len(keys), BLOCK // 2)]
        self._blocks = [bytearray(b"".join(part)) for part in parts] or [bytearray()]
        self._firsts = [bytes(block[:width]) for block in self._blocks]
        self._sums = [self._sum(block) for block in self._blocks]
        self._size = len(keys)
        self._counts_to: list[int] | None = None
        self._sums_to: list[int] | None = None

    def __len__(self) -> int:
        return self._size

    def __contains__(self, item: tuple[int, bytes]) -> bool:
        return self._find(_key(*item))[2]

    def __iter__(self) -> Iterator[Item]:
        return self.items(0, self._size)

    def __reversed__(self) -> Iterator[Item]:
        for block in reversed(self._blocks):
            for at in range(len(block) - self._width, -1, -self._width):
                yield _item(block[at : at + self._width])

    def __getitem__(self, index: int) -> Item:
        """The item at this place from the start, counting from 0."""
        which, at = self._place(index) if index or not self._size else (0, 0)
        block = self._blocks[which]
        return _item(block[at : at + self._width])

    def add(self, number: int, id: bytes) -> bool:
        """Put an item in; False if it was there."""
        key = _key(number, id)
        which, at, found = self._find(key)
        if found:
            return False
        block = self._blocks[which]
        block[at:at] = key
        self._changed(which, 1, int.from_bytes(id, "little"))
        if len(block) > BLOCK * self._width:
            self._halve(which)
        return True

    def discard(self, number: int, id: bytes) -> bool:
        """Take an item out; False if it was not there."""
        which, at, found = self._find(_key(number, id))
        if not found:
            return False
        block = self._blocks[which]
        del block[at : at + self._width]
        self._changed(which, -1, -int.from_bytes(id, "little"))
        if len(block) <= BLOCK // 4 * self._width:
            self._join(which)
        return True

    def index(self, number: int, id: bytes) -> int:
        """How many items lie before this one, whether it is a member or not."""
        which, at, _ = self._find(_key(number, id.ljust(self.id_size, b"\0")))
        return self._counts()[which] + at // self._width

    def items(self, start: int, end: int) -> Iterator[Item]:
        """The items at the places from `start` up to but not including `end`."""
        return (_item(key) for key in self._keys(start, end))

    def ids(self, start: int, end: int) -> list[bytes]:
        """The ids at the places from `start` up to but not including `end`."""
        return [key[NUMBER_SIZE:] for key in self._keys(start, end)]

    def sum(self, start: int, end: int) -> int:
        """The sum of the ids in these places as little-endian numbers, modulo the ids' size."""
        return (self._sum_to(end) - self._sum_to(start)) & self._mask

    def _keys(self, start: int, end: int) -> Iterator[bytes]:
        if start >= end:
            return
        which, at = self._place(start)
        for block in self._blocks[which:]:
            for place in range(at, len(block), self._width):
                if start == end:
                    return
                yield bytes(block[place : place + self._width])
                start += 1
            at = 0

    def _find(self, key: bytes) -> tuple[int, int, bool]:
        """Which block, at what offset, and whether it is there."""
        which = max(0, bisect_right(self._firsts, key) - 1)
        block, width = self._blocks[which], self._width
        low, high = 0, len(block) // width
        while low < high:
            middle = (low + high) >> 1
            if block[middle * width : middle * width + width] < key:
                low = middle + 1
            else:
                high = middle
        at = low * width
        return which, at, block[at : at + width] == key

    def _place(self, index: int) -> tuple[int, int]:
        if not 0 <= index < self._size:
            raise IndexError(index)
        counts = self._counts()
        which = bisect_right(counts, index) - 1
        return which, (index - counts[which]) * self._width

    def _counts(self) -> list[int]:
        """How many items lie before each block, and last the number of all."""
        if self._counts_to is None:
            counts = (len(block) // self._width for block in self._blocks)
            self._counts_to = [0, *accumulate(counts)]
        return self._counts_to

    def _sum_to(self, index: int) -> int:
        if self._sums_to is None:
            self._sums_to = [0, *accumulate(self._sums)]
        if index == self._size:
            return self._sums_to[-1]
        which, at = self._place(index)
        return self._sums_to[which] + self._sum(self._blocks[which][:at])

    def _sum(self, packed: bytes | bytearray) -> int:
        starts = range(NUMBER_SIZE, len(packed), self._width)
        size, read = self.id_size, int.from_bytes
        return sum(read(packed[at : at + size], "little") for at in starts)

    def _changed(self, which: int, count: int, value: int) -> None:
        self._size += count
        self._sums[which] += value
        self._firsts[which] = bytes(self._blocks[which][: self._width])
        self._counts_to = self._sums_to = None

    def _halve(self, which: int) -> None:
        block = self._blocks[which]
        middle = len(block) // self._width // 2 * self._width
        self._replace(which, 1, [block[:middle], block[middle:]])

    def _join(self, which: int) -> None:
        """Give a block that got small to its neighbour, so that no block stays empty."""
        if len(self._blocks) == 1:
            return
        which = min(which, len(self._blocks) - 2)
        joined = self._blocks[which] + self._blocks[which + 1]
        if len(joined) <= BLOCK * self._width:
            self._replace(which, 2, [joined])

    def _replace(self, which: int, count: int, blocks: list[bytearray]) -> None:
        places = slice(which, which + count)
        self._blocks[places] = blocks
        self._firsts[places] = [bytes(block[: self._width]) for block in blocks]
        self._sums[places] = [self._sum(block) for block in blocks]


def _key(number: int, id: bytes) -> bytes:
    return number.to_bytes(NUMBER_SIZE) + id


def _item(key: bytes | bytearray) -> Item:
    return Item(int.from_bytes(key[:NUMBER_SIZE]), bytes(key[NUMBER_SIZE:]))
