"""One counter for all messages here, so that an answer sorts behind what it answers (Lamport 1978)."""

from typing import Final

from meshpeer.core.writes import PutSetting

SETTING: Final = "lamport"
SIZE: Final = 8


class Lamport:
    """Counts what is written, and jumps above what it sees."""

    def __init__(self, stored: bytes = b"") -> None:
        self._value = int.from_bytes(stored)

    def tick(self) -> int:
        """Give the number of a message that is written now."""
        self._value += 1
        return self._value

    def saw(self, number: int) -> None:
        """A message with this number came."""
        self._value = max(self._value, number)

    def write(self) -> PutSetting:
        """What makes it last."""
        return PutSetting(SETTING, self._value.to_bytes(SIZE))
