"""What a simulation measures, from what became durable where and what the network carried.

It watches each peer's committed writes, not the core's own counters: a message counts as
delivered when it is on its receiver's disk, a copy as made when it is on a carrier's.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from statistics import median

from meshpeer.core.writes import Box, PutBundle, PutMessage, Write
from meshpeer.sim.contacts import Planned


@dataclass(frozen=True, slots=True)
class Figures:
    """The result of one simulation; equal for equal input and seed."""

    messages: int
    delivered: int
    """Messages on their receiver's disk within their lifetime."""
    delivery_ratio: float
    median_delay_s: float | None
    relays_per_delivered: float | None
    """Copies handed from peer to peer, the last hop counted, for each message delivered."""
    control_bytes: int
    """All bytes but those of the bundles handed over whole."""
    bytes: int
    """Everything that the network carried, lost or not."""
    shown_twice: int
    """Always 0, or we have a bug."""

    def as_dict(self) -> dict[str, float | None]:
        """One flat object, for JSON."""
        return {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }

    def as_text(self) -> str:
        """A few lines for people."""
        lines = [
            (
                "delivered",
                f"{self.delivered} of {self.messages} ({self.delivery_ratio:.1%})",
            ),
            ("median delay", _or_none(self.median_delay_s, ",.0f", " s")),
            ("copies for each delivered", _or_none(self.relays_per_delivered, ".1f", "")),
            ("control bytes", f"{self.control_bytes:,}"),
            ("bytes in all", f"{self.bytes:,}"),
        ]
        return "\n".join(f"{name:<26}{value}" for name, value in lines)


class Metrics:
    """Notes what happens; `figures` sums it up."""

    def __init__(self) -> None:
        self._planned: dict[bytes, Planned] = {}
        self._shown: set[bytes] = set()
        self._delays: dict[bytes, float] = {}
        self._messages = 0
        self._relays = 0
        self._relayed_bytes = 0
        self._shown_twice = 0

    def written(self, message_id: bytes | None, planned: Planned) -> None:
        """A person wrote a message; None if the peer refused to take it."""
        self._messages += 1
        if message_id is not None:
            self._planned[message_id] = planned

    def durable(self, writes: Iterable[Write], now: float) -> None:
        """A peer's batch is on its disk."""
        for write in writes:
            match write:
                case PutBundle(own=False):
                    self._handed_over(len(write.wire))
                case PutMessage(box=Box.INBOX | Box.REQUESTS):
                    self._show(write.message_id, now)
                case _:
                    pass

    def figures(self, carried: int) -> Figures:
        """Sum up; `carried` is how many bytes the network carried."""
        delivered = len(self._delays)
        return Figures(
            messages=self._messages,
            delivered=delivered,
            delivery_ratio=delivered / self._messages if self._messages else 0.0,
            median_delay_s=median(self._delays.values()) if delivered else None,
            relays_per_delivered=self._relays / delivered if delivered else None,
            control_bytes=carried - self._relayed_bytes,
            bytes=carried,
            shown_twice=self._shown_twice,
        )

    def _handed_over(self, size: int) -> None:
        self._relays += 1
        self._relayed_bytes += size

    def _show(self, message_id: bytes, now: float) -> None:
        planned = self._planned.get(message_id)
        if planned is None:
            return
        if message_id in self._shown:
            self._shown_twice += 1
        elif now <= planned.created + planned.lifetime:
            self._delays[message_id] = now - planned.created
            self._handed_over(planned.size)
        self._shown.add(message_id)


def _or_none(value: float | None, form: str, unit: str) -> str:
    return "none" if value is None else f"{value:{form}}{unit}"
