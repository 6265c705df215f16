"""Names the messages that pass over a link's streams, once its packets are opened.

Messages run on over packets, so a stream is followed from its beginning. Whoever starts to listen
later has no beginning: then a piece that is nothing but whole messages of known types, to its last
byte, is taken for one, as most pieces of quiet streams are.
"""

from typing import Final

from meshpeer.core.chains import messages as chains
from meshpeer.core.chains.session import STREAM as CHAINS_STREAM
from meshpeer.core.files import messages as files
from meshpeer.core.sync import messages as sync
from meshpeer.core.sync.varint import read_varint
from meshpeer.errors import RemoteProtocolError

NAMES: Final[dict[int, dict[int, str]]] = {
    0: {kind.number: kind.name for kind in sync.KINDS},
    CHAINS_STREAM: {kind.number: kind.name for kind in chains.KINDS},
    files.CONTROL: {kind.number: kind.name for kind in files.KINDS},
}
"""Streams of messages, and what each type is called."""
CARRY: Final = {
    1: "expedited bundles",
    2: "normal bundles",
    3: "bulk bundles",
    6: "parts of files",
}
"""What the other streams carry."""
FOLLOWED: Final = 1_024
"""Streams followed at once; above, all begin anew."""


class Streams:
    """Follows all streams of all links; a link's direction is whatever hashable names it."""

    def __init__(self) -> None:
        self._followed: dict[tuple[object, int], _Followed] = {}

    def named(self, direction: object, stream: int, offset: int, data: bytes) -> list[str]:
        """Give the names of the messages that end in this piece, or what the stream carries."""
        names = NAMES.get(stream)
        if names is None:
            return [CARRY[stream]] if stream in CARRY else []
        if len(self._followed) > FOLLOWED:
            self._followed.clear()
        followed = self._followed.setdefault((direction, stream), _Followed())
        return [
            names.get(number, f"type {number}").upper().replace("_", " ")
            for number in followed.feed(offset, data, names)
        ]


class _Followed:
    """One stream, from where its messages could be told apart."""

    def __init__(self) -> None:
        self._frames: sync.Frames | None = None
        self._next = 0

    def feed(self, offset: int, data: bytes, names: dict[int, str]) -> list[int]:
        """The types of the messages that end here."""
        if self._frames is not None and offset <= self._next:
            data = data[self._next - offset :]
        elif offset == 0 or _is_whole(data, names):
            self._frames, self._next = sync.Frames(), offset
        else:
            self._frames = None
        if self._frames is None:
            return []
        self._next += len(data)
        try:
            return [number for number, _ in self._frames.feed(data)]
        except RemoteProtocolError:
            self._frames = None
            return []


def _is_whole(data: bytes, names: dict[int, str]) -> bool:
    """Whether a piece is nothing but messages of known types."""
    at = 0
    while at < len(data):
        try:
            found = read_varint(data, at + 1)
        except RemoteProtocolError:
            return False
        if data[at] not in names or found is None:
            return False
        at = found[1] + found[0]
    return at == len(data) > 0
