"""What goes first over a link, and what goes first when space ends. A small plug-in.

The default is the simple one that measured best (delivery ratio on the infocom05 and dieselnet
traces, 1 MB of queue a peer, 250 kB/s): when space ends, fewest hops left goes first, then what
has been held longest: 0.84 and 0.68. By youth and size alone it is 0.80 and 0.63. The order of
sending hardly matters (0.005). Own people's unconfirmed bundles go last whatever a policy says
(0.60 and 0.53 without): that is a rule of the shares, as is who pays.
"""

from collections.abc import Container
from typing import Protocol, TypeAlias

from meshpeer.core.formats.bundle import MAX_HOPS
from meshpeer.core.sync.entry import Entry

SendKey: TypeAlias = tuple[float, ...]


class Policy(Protocol):
    """Ranks bundles. Rules are pure: the same entry gives the same key."""

    def send_key(
        self, entry: Entry, neighbour_tags: Container[bytes], now: float
    ) -> SendKey | None:
        """The smallest key is sent first; None: not to this neighbour."""
        ...

    def keep_key(self, entry: Entry) -> int:
        """When space ends the largest key goes first; 0 to 2^64 - 1, from what never
        changes but by `Queue.touch` (so not from the copies)."""
        ...


class SimplePolicy:
    """Needs nothing but the entries: no history, no exchange with neighbours."""

    def send_key(
        self, entry: Entry, neighbour_tags: Container[bytes], now: float
    ) -> SendKey | None:
        """What is for their persons, then by priority, hops left, and small first."""
        if entry.exhausted:
            return None
        for_them = entry.tag in neighbour_tags
        return not for_them, -entry.priority, entry.hops - entry.hop_limit, entry.size

    def keep_key(self, entry: Entry) -> int:
        """Lowest priority, then fewest hops left, then held longest."""
        hops_used_up = MAX_HOPS - max(0, entry.hop_limit - entry.hops)
        held_longest = 2**40 - 1 - int(entry.first_seen * 16) % 2**40
        return (2 - entry.priority) << 48 | hops_used_up << 40 | held_longest
