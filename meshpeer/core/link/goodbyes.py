"""The last words of links that were closed here, repeated while the other side still sends.

A CLOSE may be lost, and a link that is gone has nobody left to repeat it. So it is said again to
whoever still sends there: on its first packet, the second, the fourth and so on, for a flood of
packets must not become a flood of answers.
"""

from typing import Final

GOODBYES: Final = 64
"""Links whose last word is remembered."""
GOODBYE_TIME: Final = 10.0


class _Goodbye:
    __slots__ = ("asked", "until", "words")

    def __init__(self, words: bytes, until: float) -> None:
        self.words, self.until = words, until
        self.asked = 0


class Goodbyes:
    """A bounded memory of sealed CLOSE packets, by the connection id of the link that is gone."""

    def __init__(self) -> None:
        self._said: dict[bytes, _Goodbye] = {}

    def remember(self, connection: bytes, words: bytes, now: float) -> None:
        """These words were sent; the oldest of others may go for them."""
        while len(self._said) >= GOODBYES:
            del self._said[next(iter(self._said))]
        self._said[connection] = _Goodbye(words, now + GOODBYE_TIME)

    def answer(self, connection: bytes) -> bytes | None:
        """Give what to say to a packet for this connection, mostly nothing."""
        goodbye = self._said.get(connection)
        if goodbye is None:
            return None
        goodbye.asked += 1
        return goodbye.words if goodbye.asked.bit_count() == 1 else None

    def expire(self, now: float) -> None:
        """Forget words said too long ago."""
        for connection in [key for key, each in self._said.items() if each.until <= now]:
            del self._said[connection]

    def next_expiry(self) -> float | None:
        """When `expire` has something to do."""
        return min((each.until for each in self._said.values()), default=None)
