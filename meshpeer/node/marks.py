"""Who is behind the mark of a hidden beacon: a hash for each peer that may be meant.

With 10,000 contacts that is 10 ms on a PC and 60 on a Raspberry Pi. So it is done once for each
nonce, which stays as long as a station's address does, and what was found, or not, is kept. Who was
recognised last is tried first. Whoever floods us with fresh nonces makes us hash at most 20,000 times
a second, 2 % of a core of a PC: with 100 contacts 200 beacons are looked at, with 10,000 two. A
beacon that found no budget is looked at when it is heard again; and whom we don't recognise then may
recognise us, and call.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from hashlib import blake2s
from typing import Final

from meshpeer.core.bucket import Bucket
from meshpeer.core.formats.beacon import MARK_LABEL, MARK_SIZE

HASHES_RATE, HASHES_BURST = 20_000.0, 40_000.0
"""Hashes a second, and at once; one beacon is looked at even if it takes all of these."""
KEPT: Final = 1_024
"""Marks of which it is known who is behind them, or that nobody known is."""
RECENT: Final = 64
"""Peers recognised last, tried first."""


class Marks:
    """Recognises peers. `known` gives the peers that may be meant, `changes` grows with them."""

    def __init__(
        self,
        known: Callable[[], Iterable[bytes]],
        changes: Callable[[], int],
        now: float,
    ) -> None:
        self._known, self._changes = known, changes
        self._budget = Bucket(rate=HASHES_RATE, burst=HASHES_BURST, now=now)
        self._found: OrderedDict[tuple[bytes, bytes], bytes | None] = OrderedDict()
        self._recent: OrderedDict[bytes, None] = OrderedDict()
        self._peers: list[bytes] = []
        self._seen = -1

    def peer_behind(self, nonce: bytes, mark: bytes, now: float) -> bytes | None:
        """Give the known peer whose mark this is; None if it is nobody's, or is not looked at."""
        self._refresh()
        key = nonce, mark
        if key in self._found:
            self._found.move_to_end(key)
            return self._found[key]
        if not self._budget.take(now, min(len(self._peers) + 1, HASHES_BURST)):
            return None
        peer = self._found[key] = self._look(nonce, mark)
        if len(self._found) > KEPT:
            self._found.popitem(last=False)
        if peer is not None:
            self._recent[peer] = None
            self._recent.move_to_end(peer)
            if len(self._recent) > RECENT:
                self._recent.popitem(last=False)
        return peer

    def _refresh(self) -> None:
        changes = self._changes()
        if changes != self._seen:
            self._seen = changes
            self._peers = list(self._known())
            self._found.clear()
            for gone in self._recent.keys() - set(self._peers):
                del self._recent[gone]

    def _look(self, nonce: bytes, mark: bytes) -> bytes | None:
        head = MARK_LABEL + nonce
        for peers in (reversed(self._recent), self._peers):
            for peer in peers:
                if blake2s(head + peer).digest()[:MARK_SIZE] == mark:
                    return peer
        return None
