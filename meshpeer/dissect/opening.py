"""Opens DATA packets of links that are up here, with the keys that the running peer gives.

A handshake has forward secrecy: whoever recorded it and then takes all the long-lived keys of both
peers still can't read it. So the keys of a link are only in the two peers that have it, and go
with it. `GET /links/keys` gives those in use now; packets from before the last renewal (ten
minutes at most) stay closed, those after it are followed by the same ratchet as the peers'.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2s
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from meshpeer.core.link.keys import next_secret, packet_key
from meshpeer.core.link.packet import (
    DATA,
    DATA_HEADER,
    DATA_OVERHEAD,
    PHASE,
    SHORT,
    SHORT_OVERHEAD,
    lengthen,
)

AHEAD: Final = 3
"""Renewals that may have been missed: two for a phase bit that is the same again."""
HALF: Final = 0x80000000


class Opened(NamedTuple):
    """What a packet held."""

    peer: str
    sent: bool
    """By us."""
    counter: int
    plain: bytes


@dataclass
class Direction:
    """The keys of one direction of a link, as far as they are known."""

    peer: str
    sent: bool
    secret: bytes
    phase: int
    expected: int
    keys: list[ChaCha20Poly1305] = field(default_factory=list)
    """Of this phase and those after."""
    before: ChaCha20Poly1305 | None = None

    def __post_init__(self) -> None:
        self._look_ahead()

    def open(self, data: bytes) -> Opened | None:
        """Open a DATA packet; None if no key fits."""
        kind, _, low = DATA_HEADER.unpack_from(data)
        counter = self._complete(low)
        header, sealed = data[: DATA_HEADER.size], data[DATA_HEADER.size :]
        same = (kind & PHASE) == self.phase
        for step in range(0 if same else 1, AHEAD, 2):
            plain = _decrypt(self.keys[step], counter, sealed, header)
            if plain is not None:
                self._renew(step)
                self.expected = max(self.expected, counter + 1)
                return Opened(self.peer, self.sent, counter, plain)
        if not same and self.before is not None:
            plain = _decrypt(self.before, counter, sealed, header)
            if plain is not None:
                return Opened(self.peer, self.sent, counter, plain)
        return None

    def _complete(self, low: int) -> int:
        counter = self.expected + ((low - self.expected + HALF) % (2 * HALF)) - HALF
        return counter if counter >= 0 else counter + 2 * HALF

    def _renew(self, steps: int) -> None:
        for _ in range(steps):
            self.before = self.keys[0]
            self.secret = next_secret(self.secret)
            self.phase ^= 1
            self._look_ahead()

    def _look_ahead(self) -> None:
        secret, self.keys = self.secret, []
        for _ in range(AHEAD):
            self.keys.append(packet_key(secret))
            secret = next_secret(secret)


class Opening:
    """Knows the links by the connection ids that their packets bear."""

    def __init__(self) -> None:
        self._directions: dict[bytes, list[Direction]] = {}
        self._known: set[bytes] = set()

    def learn(self, links: list[dict[str, Any]]) -> None:
        """Take what `GET /links/keys` gave; what was known goes on from where it is."""
        current = set()
        for link in links:
            for name in ("sent", "received"):
                told = link[name]
                secret = bytes.fromhex(told["secret"])
                connection = bytes.fromhex(told["connection"])
                print_ = blake2s(secret + connection).digest()
                current.add(print_)
                if print_ in self._known:
                    continue
                made = Direction(
                    link["name"] or link["peer"],
                    name == "sent",
                    secret,
                    told["phase"],
                    told["counter"],
                )
                row = self._directions.setdefault(connection, [])
                row.insert(0, made)
                del row[2:]  # one link, once renewed: packets of both may come
        self._known = current

    def knows(self, data: bytes) -> bool:
        """Whether a packet may be of a link whose keys were given."""
        return next(self._candidates(data), None) is not None

    def open(self, data: bytes) -> Opened | None:
        """Open a packet if it is DATA, or SHORT, of such a link."""
        for direction, whole in self._candidates(data):
            opened = direction.open(whole)
            if opened is not None:
                return opened
        return None

    def _candidates(self, data: bytes) -> Iterator[tuple[Direction, bytes]]:
        """Whose it may be, and how it reads then."""
        kind = data[0] & ~3 if data else 0
        if kind == DATA and len(data) > DATA_OVERHEAD:
            for direction in self._directions.get(data[1:5], ()):
                yield direction, data
        elif kind == SHORT and len(data) > SHORT_OVERHEAD:
            for connection, directions in self._directions.items():
                if connection[0] == data[1]:
                    for direction in directions:
                        yield direction, lengthen(data, connection, direction.expected)


def _decrypt(
    key: ChaCha20Poly1305, counter: int, sealed: bytes, header: bytes
) -> bytes | None:
    try:
        return key.decrypt(counter.to_bytes(12), sealed, header)
    except InvalidTag:
        return None
