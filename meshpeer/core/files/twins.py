"""Which chunks of one file are equal.

Anybody can publish a file of 65,536 equal chunks, or of 32,768 pairs, so what is kept weighs the
same for every manifest: of each chunk the next one that is equal to it, round and round, and the
first of them. A set, or even a list, for each group would weigh up to fifty times as much.
"""

from array import array

from meshpeer.core.files.runs import from_members
from meshpeer.core.formats.manifest import Manifest


class Twins:
    """The equal chunks of a file; each chunk is among its own twins."""

    __slots__ = ("_first", "_next")

    def __init__(self, manifest: Manifest) -> None:
        self._next = array("H", range(manifest.count))
        self._first = array("H", range(manifest.count))
        last: dict[bytes, int] = {}
        for chunk in range(manifest.count):
            hash = manifest.hash_of(chunk)
            before = last.get(hash)
            if before is not None:
                self._first[chunk] = self._next[chunk] = self._first[before]
                self._next[before] = chunk
            last[hash] = chunk

    def first(self, chunk: int) -> int:
        """The first of them, which names them all."""
        return self._first[chunk]

    def of(self, chunk: int) -> int:
        """The set of them."""
        if self._next[chunk] == chunk:
            return 1 << chunk
        same, at = [chunk], self._next[chunk]
        while at != chunk:
            same.append(at)
            at = self._next[at]
        return from_members(same)
