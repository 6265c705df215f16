"""Whom to call on a medium where many are in range.

Each link costs its handshake and, while idle, four packets a minute. 200 stations that all linked
with each other would make 19,900 links: 34 % of the air of a cell at 6 Mbit/s for nothing but asking
whether the others are there. So a peer links with up to 24 contacts and 6 strangers on one
medium: 200 strangers make about 700 links, which take a little over one percent, and whatever one
holds still reaches all of them over some hops. Contacts come first by having room of their own.
Being called is not refused: others have the same bounds.

Calls wait for a random time that grows with the number of stations, and are decided when they are
due. So a newcomer is not called by 200 at once, and whoever was heard first isn't called by all.
A stranger is called once; one that is still there is heard again, and may be called again then.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, NamedTuple

from meshpeer.core.link.path import Path

CONTACTS: Final = 24
"""Contacts on one medium that are called."""
STRANGERS: Final = 6
"""Strangers on one medium that are called."""
WAITING: Final = 512
"""Calls that wait for their time; the oldest goes first."""
CALLING: Final = 15.0
"""Seconds for which one that was called counts though it isn't linked."""


class Call(NamedTuple):
    """Who is to be called, where, and on which medium that counts."""

    peer: bytes
    path: Path
    medium: Hashable
    contact: bool


class Crowd:
    """Holds back calls, and lets through as many as there is room for links.

    `up(medium, contact)` gives how many such links there are.
    """

    def __init__(
        self, up: Callable[[Hashable, bool], int], rng: Callable[[int], bytes]
    ) -> None:
        self._up, self._rng = up, rng
        self._waiting: OrderedDict[bytes, tuple[float, Call]] = OrderedDict()
        self._called: dict[bytes, tuple[float, Call]] = {}

    def heard(self, call: Call, spread: float, now: float) -> None:
        """This peer was heard, and may be called within so many seconds."""
        if call.peer in self._waiting or call.peer in self._called:
            return
        delay = spread * int.from_bytes(self._rng(2)) / 65_535
        self._waiting[call.peer] = now + delay, call
        if len(self._waiting) > WAITING:
            self._waiting.popitem(last=False)

    def linked(self, peer: bytes) -> None:
        """There is a link to this peer: it needs no call, and counts as a link."""
        self._waiting.pop(peer, None)
        self._called.pop(peer, None)

    def due(self, now: float) -> list[Call]:
        """Take whom to call now; for whom there is no room is forgotten."""
        for peer, (until, _) in list(self._called.items()):
            if until <= now:
                del self._called[peer]
        late = [each for each in self._waiting.values() if each[0] <= now]
        late.sort(key=lambda each: each[0])
        calls = []
        for _, call in late:
            del self._waiting[call.peer]
            if self._has_room(call):
                self._called[call.peer] = now + CALLING, call
                calls.append(call)
        return calls

    def next_wakeup(self) -> float | None:
        """When a call is due."""
        return min((at for at, _ in self._waiting.values()), default=None)

    def _has_room(self, call: Call) -> bool:
        alike = call.medium, call.contact
        called = sum(
            (other.medium, other.contact) == alike for _, other in self._called.values()
        )
        links = self._up(call.medium, call.contact)
        return links + called < (CONTACTS if call.contact else STRANGERS)
