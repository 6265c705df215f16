"""Our bundles that may still arrive, found by what may be heard of them.

A receipt names the hash in a bundle's header, a neighbour the bundle, a person here the message;
and all have an end. A bundle is kept here for the longest lifetime after its own, because it may
turn out to have arrived before that.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from math import ceil
from typing import Final

from meshpeer.core.formats.bundle import MAX_LIFETIME
from meshpeer.core.formats.receipt import MAX_HOURS
from meshpeer.core.identity.preimage import one_way
from meshpeer.core.writes import DeliveryState

RECALL_EXTRA_HOURS: Final = 48
"""A recall outlives its bundle by so much: ages along the way are only hints."""


@dataclass(slots=True)
class Pending:
    """One bundle of ours that has not arrived, as far as we know."""

    message_id: bytes
    contact: bytes
    bundle: bytes
    receipt: bytes
    expires: float
    state: DeliveryState
    device: bytes = b""
    """The sealing key that it was sealed to."""

    @property
    def receipt_hash(self) -> bytes:
        """What the bundle's header tells of its receipt."""
        return one_way(one_way(self.receipt))


class Underway:
    """All of our bundles that have not arrived, and can."""

    def __init__(self, pending: Iterable[Pending]) -> None:
        self._pending: dict[bytes, Pending] = {}
        self._by_message: dict[bytes, dict[bytes, Pending]] = {}
        self._by_bundle: dict[bytes, Pending] = {}
        self._ends: list[tuple[float, bytes]] = []
        for one in pending:
            self.add(one)

    def __iter__(self) -> Iterator[Pending]:
        return iter(self._pending.values())

    def add(self, pending: Pending) -> None:
        """A bundle was sealed, or is remembered from before a restart."""
        receipt_hash = pending.receipt_hash
        self._pending[receipt_hash] = pending
        self._by_message.setdefault(pending.message_id, {})[receipt_hash] = pending
        self._by_bundle[pending.bundle] = pending
        until = pending.expires
        if pending.state is DeliveryState.EXPIRED:
            until += MAX_LIFETIME
        heappush(self._ends, (until, receipt_hash))

    def by_receipt(self, receipt_hash: bytes) -> Pending | None:
        """The bundle whose header tells this hash."""
        return self._pending.get(receipt_hash)

    def by_bundle(self, bundle: bytes) -> Pending | None:
        """The bundle of this id."""
        return self._by_bundle.get(bundle)

    def of_message(self, message_id: bytes) -> list[Pending]:
        """The bundles of a message."""
        return list(self._by_message.get(message_id, {}).values())

    def forget(self, receipt_hash: bytes) -> None:
        """It arrived, or can't any more."""
        pending = self._pending.pop(receipt_hash)
        del self._by_bundle[pending.bundle]
        others = self._by_message[pending.message_id]
        del others[receipt_hash]
        if not others:
            del self._by_message[pending.message_id]

    def next_end(self) -> float | None:
        """When the lifetime of one ends, or the time after it in which it may be heard of."""
        return self._ends[0][0] if self._ends else None

    def ended(self, now: float) -> Iterator[tuple[bytes, Pending]]:
        """Give what came to its end, each end once, with the hash that its header tells."""
        while self._ends and self._ends[0][0] <= now:
            _, receipt_hash = heappop(self._ends)
            pending = self._pending.get(receipt_hash)
            if pending is None:
                continue
            if pending.state is not DeliveryState.EXPIRED:
                heappush(self._ends, (now + MAX_LIFETIME, receipt_hash))
            yield receipt_hash, pending


def recall_hours(left: float) -> int:
    """Hours for which to pass on the recall of a bundle that has so many seconds to live."""
    return min(MAX_HOURS, ceil(max(0.0, left) / 3_600) + RECALL_EXTRA_HOURS)
