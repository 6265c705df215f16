"""How much may be asked of one neighbour before it has answered.

As much as comes in a round trip and SLACK: what waits at the other side for its turn is what lets
it read ahead, and keeps the link full while our next question is on its way. What is measured is
what comes, so the pipeline grows only as long as that makes more come.
"""

from typing import Final

SLACK: Final = 0.25
"""Seconds; of a slow link little waits, so a chunk can still be asked of another."""
WINDOW: Final = 0.2
"""Seconds over which what comes is counted."""
LEAST_CHUNKS: Final = 2
FIRST_CHUNKS: Final = 4
MOST: Final = 8 << 20
"""Bytes; fills 80 MB/s at 80 ms."""
FORGETS: Final = 0.25
"""How far one slower window lowers the rate."""


class Pipeline:
    """The rate at which one neighbour's parts come, and what follows from it."""

    __slots__ = ("_bytes", "_since", "rate")

    def __init__(self) -> None:
        self.rate = 0.0
        self._since = 0.0
        self._bytes = 0

    def begin(self, now: float) -> None:
        """Something was asked where nothing was under way: the pause before doesn't count."""
        self._since, self._bytes = now, 0

    def came(self, size: int, now: float) -> None:
        """So many bytes came."""
        self._bytes += size
        elapsed = now - self._since
        if elapsed >= WINDOW:
            rate = self._bytes / elapsed
            faster = rate > self.rate
            self.rate = rate if faster else self.rate + FORGETS * (rate - self.rate)
            self._since, self._bytes = now, 0

    def depth(self, rtt: float, chunk_size: int) -> float:
        """Bytes that may be under way."""
        chunks = LEAST_CHUNKS if self.rate else FIRST_CHUNKS
        least = chunks * chunk_size
        return max(least, min(self.rate * (rtt + SLACK), MOST))

    def time_for(self, size: int, rtt: float) -> float:
        """Seconds until so many bytes, asked for now, will have come."""
        return rtt + size / self.rate if self.rate else rtt + SLACK
