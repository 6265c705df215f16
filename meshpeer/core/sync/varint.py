"""Whole numbers of any size and the bytes after them, as negentropy writes them.

Base 128, most significant digits first, the high bit set on all but the last; no leading zeros,
below 2^64. One way to write a number is enough, so the rest of sync writes them so too.
"""

from typing import Final

from meshpeer.errors import RemoteProtocolError

MAX_SIZE: Final = 10
_MAX: Final = 2**64 - 1


def varint(value: int) -> bytes:
    """Write a number."""
    if value < 0x80:
        return bytes((value,))
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    return bytes(reversed(digits))


def read_varint(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """A number and where it ends; None if it isn't all there yet; else RemoteProtocolError."""
    value = 0
    for place in range(at, min(len(data), at + MAX_SIZE)):
        digit = data[place]
        value = value << 7 | digit & 0x7F
        if (place == at and digit == 0x80) or value > _MAX:
            raise RemoteProtocolError("varint", "a leading zero, or above 2^64")
        if digit < 0x80:
            return value, place + 1
    if len(data) - at >= MAX_SIZE:
        raise RemoteProtocolError("varint", f"more than {MAX_SIZE} bytes")
    return None


class Reader:
    """Reads a message from front to back; RemoteProtocolError where it is too short."""

    def __init__(self, field: str, data: bytes, at: int = 0) -> None:
        self._field = field
        self._data = data
        self._at = at

    @property
    def finished(self) -> bool:
        """Nothing is left."""
        return self._at == len(self._data)

    def take(self, size: int) -> bytes:
        """The next bytes."""
        piece = self._data[self._at : self._at + size]
        if len(piece) != size:
            raise RemoteProtocolError(
                self._field, f"{size} bytes announced, {len(piece)} left"
            )
        self._at += size
        return piece

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._data) - self._at)

    def varint(self) -> int:
        """The next number."""
        found = read_varint(self._data, self._at)
        if found is None:
            raise RemoteProtocolError(self._field, "ends within a number")
        value, self._at = found
        return value
