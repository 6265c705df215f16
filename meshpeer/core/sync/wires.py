"""The wires that were lately taken in: most go out again at once, without the disk."""

from typing import Final

CACHE_LIMIT: Final = 4 << 20
"""Bytes kept: some seconds of a busy relay, and small beside the 60 MB of an idle peer."""


class RecentWires:
    """A bounded cache; the oldest goes first."""

    def __init__(self, limit: int = CACHE_LIMIT) -> None:
        self._limit = limit
        self._wires: dict[bytes, bytes] = {}
        self._bytes = 0

    def get(self, id: bytes) -> bytes | None:
        """The wire as it was taken in, if it is still here."""
        return self._wires.get(id)

    def put(self, id: bytes, wire: bytes) -> None:
        """Keep a wire for a while."""
        self.drop(id)
        self._wires[id] = wire
        self._bytes += len(wire)
        while self._bytes > self._limit:
            self.drop(next(iter(self._wires)))

    def drop(self, id: bytes) -> None:
        """The bundle is no longer held."""
        self._bytes -= len(self._wires.pop(id, b""))
