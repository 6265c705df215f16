"""Which chunk to ask for next.

Rarest first, as BitTorrent does (Legout et al., "Rarest First and Choke Algorithms Are Enough",
IMC 2006): a chunk that few hold goes before one that many do, so that what only one peer has
is soon in several places, and its leaving hurts least. Ties are random, so that receivers of one
source ask it for different chunks and can trade them. How many hold a chunk is counted only up to
LEVELS: what many have isn't rare, and with whole sets as numbers a choice among 65,536 chunks
costs some microseconds.
"""

from collections.abc import Iterable
from typing import Final

LEVELS: Final = 4


class Rarity:
    """How many hold each chunk: exactly below LEVELS, 'many' from there."""

    __slots__ = ("_at_least",)

    def __init__(self, holders: Iterable[int] = ()) -> None:
        self._at_least = [0] * LEVELS
        for chunks in holders:
            self.add(chunks)

    def add(self, chunks: int) -> None:
        """One more has these."""
        for level, held in enumerate(self._at_least):
            if not chunks:
                return
            self._at_least[level] = held | chunks
            chunks &= held

    def rarest(self, among: int) -> int:
        """Those of the given chunks that the fewest hold."""
        for held in self._at_least[1:]:
            few = among & ~held
            if few:
                return few
        return among
