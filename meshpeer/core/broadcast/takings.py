"""All that neighbours broadcast to us: bounded, and each transfer at its sender's charge.

The session lets in only transfers of bundles that it asked this very neighbour for, and asks for
few at once; here the bytes of all together are bounded, and of each neighbour. What finds no room
comes over the link.

An announcement may come after the symbols, for a link repeats what was lost, and again: at 30 %
loss sometimes seconds later, when all was sent. So the last packets of transfers that we know
nothing of are kept for a moment, unread; who floods us with such spoils no more than that.

A transfer that another neighbour announces under the number and key of this one, which it may
have been given, takes none of its symbols away: all that fit a packet get it.
"""

from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from meshpeer.core.broadcast import symbol
from meshpeer.core.broadcast.code import MAX_SYMBOLS, count_of
from meshpeer.core.broadcast.sessions import Announced, Sessions, Taken
from meshpeer.core.broadcast.taking import Taking
from meshpeer.errors import RemoteProtocolError

TAKINGS_LIMIT: Final = 4 << 20
"""Bytes of bundles that may be coming by broadcasts."""
NEIGHBOUR_LIMIT: Final = 1 << 20
"""Of these, from one neighbour."""
NEIGHBOUR_TAKINGS: Final = 64
"""Transfers of one neighbour: ours has 8 under way on a medium."""
EARLY_LIMIT: Final = 384
"""Packets kept that came before their announcement: those of a large bundle, 0.5 MB."""
EARLY_BYTES: Final = 1 << 20
"""Bytes of these: a packet by UDP may have 65,000."""
EARLY_S: Final = 5.0
"""They are dropped when none came for so long."""


class Takings:
    """The receiving half."""

    def __init__(
        self, sessions: Sessions, rng: Callable[[int], bytes], counters: Counter[str]
    ) -> None:
        self._sessions, self._rng, self._counters = sessions, rng, counters
        self._open: dict[bytes, list[Taking]] = {}
        self._done: dict[bytes, list[Taken]] = {}
        self._bytes: Counter[bytes] = Counter()
        self._early: deque[bytes] = deque()
        self._early_bytes = 0
        self._early_until = 0.0

    def __len__(self) -> int:
        return sum(map(len, self._open.values()))

    def announced(
        self,
        peer: bytes,
        number: int,
        announced: Announced,
        now: float,
        pace: float = 0.0,
    ) -> bool:
        """Take part in a transfer; False if there is no room, and the link has to carry it."""
        if count_of(announced.size, announced.symbol_size) > MAX_SYMBOLS:
            return False
        size = announced.size
        crowded = self._bytes.total() + size > TAKINGS_LIMIT
        if crowded or self._bytes[peer] + size > NEIGHBOUR_LIMIT:
            return False
        theirs = [taking for taking in self._all() if taking.peer == peer]
        twice = any(taking.announced.id == announced.id for taking in theirs)
        if twice or len(theirs) >= NEIGHBOUR_TAKINGS:
            return False
        self._bytes[peer] += size
        taking = Taking(announced, peer, number, self._rng, now, pace)
        self._open.setdefault(announced.transfer, []).append(taking)
        self._take_early(announced.transfer, now)
        return True

    def receive(self, packet: bytes, now: float) -> None:
        """Take in what came; it is anybody's."""
        try:
            transfer, number = symbol.parse(packet)
        except RemoteProtocolError as error:
            self._counters[f"refused {error.field}"] += 1
            return
        if transfer not in self._open:
            self._keep_early(packet)
            self._early_until = now + EARLY_S
            self._counters["broadcast for others"] += 1
            return
        opened = False
        for taking in list(self._open[transfer]):
            if taking.receive(number, packet, now):
                opened = True
                if taking.complete:
                    self._end(taking, taking.wire())
        self._counters["broadcast unopened"] += not opened

    def ended(self, peer: bytes, transfer: bytes) -> None:
        """The sender sends no more of it."""
        for taking in list(self._open.get(transfer, ())):
            if taking.peer == peer:
                self._end(taking, None, ended=True)

    def left(self, peer: bytes) -> None:
        """The neighbour is gone, and with it what it was sending."""
        for taking in self._all():
            if taking.peer == peer:
                self._close(taking)
        self._done.pop(peer, None)
        del self._bytes[peer]

    def finished(self) -> list[bytes]:
        """The neighbours of which `collect` has something."""
        return list(self._done)

    def collect(self, peer: bytes) -> list[Taken]:
        """What came of this neighbour's transfers; it is held here no longer."""
        done = self._done.pop(peer, [])
        for taken in done:
            self._bytes[peer] -= len(taken.wire or b"")
        return done

    def wake(self, now: float) -> None:
        """Say what is missing, and give up what doesn't come."""
        if now >= self._early_until:
            self._take_all_early()
        for taking in self._all():
            if taking.given_up(now):
                self._counters["broadcast given up"] += 1
                self._end(taking, None)
            elif answer := taking.answer(now):
                self._sessions.say_missing(taking.peer, answer)

    def next_wakeup(self) -> float | None:
        """When to call `wake`, at the latest."""
        due = [taking.next_due() for taking in self._all()]
        due += [self._early_until] if self._early else []
        return min(due, default=None)

    def _take_early(self, transfer: bytes, now: float) -> None:
        """Read what came before the announcement."""
        for packet in self._take_all_early():
            if symbol.parse(packet)[0] == transfer:
                self.receive(packet, now)
            else:
                self._keep_early(packet)

    def _keep_early(self, packet: bytes) -> None:
        self._early.append(packet)
        self._early_bytes += len(packet)
        while len(self._early) > EARLY_LIMIT or self._early_bytes > EARLY_BYTES:
            self._early_bytes -= len(self._early.popleft())

    def _take_all_early(self) -> list[bytes]:
        early = list(self._early)
        self._early.clear()
        self._early_bytes = 0
        return early

    def _all(self) -> list[Taking]:
        return [taking for takings in self._open.values() for taking in takings]

    def _end(self, taking: Taking, wire: bytes | None, *, ended: bool = False) -> None:
        self._close(taking)
        if wire is not None:
            self._bytes[taking.peer] += len(wire)
        taken = Taken(taking.announced.id, taking.number, wire, taking.since, ended)
        self._done.setdefault(taking.peer, []).append(taken)

    def _close(self, taking: Taking) -> None:
        takings = self._open[taking.announced.transfer]
        takings.remove(taking)
        if not takings:
            del self._open[taking.announced.transfer]
        self._bytes[taking.peer] -= taking.announced.size
