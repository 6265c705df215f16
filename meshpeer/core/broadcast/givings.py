"""All that we broadcast: what is wished for, what is under way, and what goes out next.

On each medium few transfers are under way at a time, the first one first. A transfer ends when all
its receivers said what became of it; when nothing was sent or asked for WAIT_S, whoever is left is
told so and gets the bundle over its link. Such a receiver is left out of broadcasts for a minute,
since it may be out of reach; for ten if it got false bytes, for somebody who was given the key
may do that again; and both may be a lie.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from math import inf
from typing import Final

from meshpeer.core.broadcast.code import MAX_SYMBOLS, count_of
from meshpeer.core.broadcast.gathering import (
    GATHER_S,
    GATHER_SYMBOLS,
    LEAST_SIZE,
    MAX_GATHERED,
    Gathering,
    worth,
)
from meshpeer.core.broadcast.giving import Giving
from meshpeer.core.broadcast.pace import Pace
from meshpeer.core.broadcast.sessions import Announced, Missing, Rank, Sessions
from meshpeer.core.broadcast.symbol import KEY_SIZE, OVERHEAD, TRANSFER_SIZE
from meshpeer.core.link.path import Datagram, Path, Traits

MAX_ACTIVE: Final = 8
"""Transfers under way on one medium: most wait for answers while one sends. 20 of 20 KB to 8
neighbours at 20 % loss take 4.4 s with 2 under way and 3.2 s with 8."""
BACKLOG: Final = 32
"""Symbols that may wait to be sent when another transfer begins."""
BACKLOG_S: Final = 2.0
"""Seconds that these may take: receivers expect the first symbol soon."""
LOOKED_AT: Final = 8
"""Bundles that wait for wishes, looked at whenever something happened."""
WAIT_S: Final = 4.0
"""More than the pauses after which a receiver asks again."""
WAIT_SYMBOLS: Final = 32
"""On a slow medium it is the time of so many."""
LEFT_OUT_S: Final = 600.0
LEFT_OUT_SILENT_S: Final = 60.0
MAX_LEFT_OUT: Final = 1_024


class Givings:
    """The sending half."""

    def __init__(
        self, sessions: Sessions, rng: Callable[[int], bytes], counters: Counter[str]
    ) -> None:
        self.traits_of: Callable[[bytes], Traits | None] = lambda peer: None
        """What is known of the path on which the link to a neighbour is."""
        self.traits_at: Callable[[Path], Traits] = lambda path: Traits()
        """What is known of a path for all."""
        self.free_at: Callable[[Path], float] = lambda path: 0.0
        """When a packet may leave by it: a slow medium is shared with the links."""
        self._sessions, self._rng, self._counters = sessions, rng, counters
        self._wishes: dict[tuple[Path, bytes], Gathering] = {}
        self._givings: dict[bytes, Giving] = {}
        self._paces: dict[Path, Pace] = {}
        self._left_out: dict[bytes, float] = {}
        self._stirred = False
        self._decide_at = inf
        self._held_back: Gathering | None = None

    def __len__(self) -> int:
        return len(self._givings)

    # -- what neighbours say

    def wished(self, peer: bytes, id: bytes, rank: Rank, now: float) -> bool:
        """A neighbour asks for a bundle: True if it gets it by a broadcast, or `alone` later."""
        traits = self.traits_of(peer)
        if traits is None or traits.broadcast is None or self._is_left_out(peer, now):
            return False
        path = traits.broadcast
        if not self._may_broadcast(path, rank.size):
            return False
        if self._joins(peer, id, path, now):
            return True
        gathering = self._wishes.get((path, id))
        if gathering is None:
            if len(self._wishes) >= MAX_GATHERED or not self._undecided(id, path):
                return False
            slow = GATHER_SYMBOLS * self._pace(path, now).packet_s
            patience = max(GATHER_S, slow)
            gathering = self._wishes[path, id] = Gathering(id, path, rank, now, patience)
        gathering.peers[peer] = None
        self._stirred = True
        return True

    def stir(self) -> None:
        """A neighbour may have answered an offer: somebody may have waited for that."""
        self._stirred = True

    def lacks(self, peer: bytes, answer: Missing) -> None:
        """A receiver says what it lacks."""
        giving = self._givings.get(answer.transfer)
        if giving is not None and not giving.lacks(peer, answer):
            self._counters["broadcast missing"] += 1

    def settled(self, peer: bytes, id: bytes, failed: bool, now: float) -> None:
        """A receiver says what became of a transfer."""
        for giving in self._of(id):
            giving.leave(peer)
        if failed:
            self._leave_out(peer, now + LEFT_OUT_S)

    def left(self, peer: bytes) -> None:
        """A neighbour is gone."""
        for giving in self._givings.values():
            giving.leave(peer)
        for gathering in self._wishes.values():
            gathering.peers.pop(peer, None)
        self._stirred = True

    def gone(self, id: bytes) -> None:
        """The bundle isn't held any more: nothing of it is sent."""
        for giving in self._of(id):
            giving.stopped = True

    def loaded(self, id: bytes, wire: bytes | None, now: float) -> None:
        """Here is a wire as it is to be sent, or None: each has to look for itself."""
        wishes = [w for w in self._wishes.values() if w.id == id and w.loading]
        for wish in wishes:
            peers = [peer for peer in wish.peers if self._on(peer, wish.path)]
            if wire is None or len(peers) < 2:
                self._alone(wish, now)
                continue
            del self._wishes[wish.path, id]
            self._begin(wish, peers, wire, now)
            for peer in wish.peers.keys() - set(peers):
                self._sessions.alone(peer, id, now)

    # -- what time and the medium bring

    def outgoing(self, now: float) -> list[Datagram]:
        """Decide what begins and what is over, and give what may be sent."""
        self._finish(now)
        room = self._held_back is not None and self._begins(self._held_back)
        if self._stirred or room or now >= self._decide_at:
            self._decide(now)
        out: list[Datagram] = []
        paths = {giving.path for giving in self._givings.values()}
        blocked = {path for path in paths if self.free_at(path) > now}
        for giving in self._in_order():
            while giving.sending and giving.path not in blocked:
                if self._pace(giving.path, now).may_send(now):
                    out.append(Datagram(giving.path, giving.packet(now)))
                else:
                    blocked.add(giving.path)
        return out

    def next_wakeup(self) -> float | None:
        """When to call `outgoing`, at the latest."""
        due = [self._decide_at] if self._wishes else []
        for giving in self._givings.values():
            if giving.sending:
                ready = self._paces[giving.path].ready()
                due.append(max(ready, self.free_at(giving.path)))
            else:
                due.append(self._over_at(giving) if giving.receivers else 0.0)
        return min((time for time in due if time < inf), default=None)

    # -- inside

    def _decide(self, now: float) -> None:
        """Begin what is ready: of what waits, the first in order."""
        self._stirred, self._decide_at, self._held_back = False, inf, None
        waiting = [wish for wish in self._wishes.values() if not wish.loading]
        for wish in sorted(waiting, key=lambda wish: wish.rank)[:LOOKED_AT]:
            if not self._begins(wish):
                self._held_back = self._held_back or wish
                continue
            busy = any(giving.path == wish.path for giving in self._givings.values())
            if wish.ready(self._undecided(wish.id, wish.path), busy, now):
                self._start(wish, now)
            else:
                self._decide_at = min(self._decide_at, wish.due(now))

    def _begins(self, wish: Gathering) -> bool:
        """Whether there is room on the medium for one more, or it is more urgent than all."""
        active = [giving for giving in self._givings.values() if giving.path == wish.path]
        if all(wish.rank.after < giving.rank.after for giving in active):
            return True
        backlog = sum(giving.until - giving.next for giving in active)
        slow = backlog * self._paces[wish.path].packet_s > BACKLOG_S
        return len(active) < MAX_ACTIVE and backlog <= BACKLOG and not slow

    def _start(self, wish: Gathering, now: float) -> None:
        traits = [self.traits_of(peer) for peer in wish.peers]
        if worth([known for known in traits if known], self.traits_at(wish.path)):
            wish.loading = True
            self._sessions.load(wish.id, now)
        else:
            self._alone(wish, now)

    def _alone(self, wish: Gathering, now: float) -> None:
        self._wishes.pop((wish.path, wish.id), None)
        for peer in wish.peers:
            self._sessions.alone(peer, wish.id, now)

    def _begin(
        self, wish: Gathering, peers: Iterable[bytes], wire: bytes, now: float
    ) -> None:
        transfer, key = self._rng(TRANSFER_SIZE), self._rng(KEY_SIZE)
        while transfer in self._givings:
            transfer = self._rng(TRANSFER_SIZE)
        size = self._symbol_size(wish.path, len(wire))
        announced = Announced(transfer, key, wish.id, len(wire), size, 0)
        loss = self._pace(wish.path, now).loss
        giving = Giving(announced, wire, wish.path, wish.rank, loss, now)
        self._givings[transfer] = giving
        self._counters["broadcasts"] += 1
        for peer in peers:
            self._join(peer, giving, now)

    def _join(self, peer: bytes, giving: Giving, now: float) -> None:
        giving.join(peer)
        self._sessions.announce(peer, giving.told(now))

    def _joins(self, peer: bytes, id: bytes, path: Path, now: float) -> bool:
        """Whether it may still take part in what is under way."""
        for giving in self._of(id):
            if giving.path == path and giving.first_pass and giving.receivers:
                self._join(peer, giving, now)
                return True
        return False

    def _finish(self, now: float) -> None:
        """End what is over."""
        for giving in list(self._givings.values()):
            if giving.stopped or not giving.receivers:
                self._end(giving, now)
            elif not giving.sending and now >= self._over_at(giving):
                for peer in giving.receivers:
                    self._leave_out(peer, now + LEFT_OUT_SILENT_S)
                self._end(giving, now)

    def _end(self, giving: Giving, now: float) -> None:
        del self._givings[giving.transfer]
        for peer in giving.receivers:
            self._sessions.ended(peer, giving.transfer)
        losses = list(giving.losses.values())
        self._pace(giving.path, now).learn(losses, giving.count, now)
        self._stirred = True

    def _undecided(self, id: bytes, path: Path) -> bool:
        """Whether somebody on this medium may yet ask for it."""
        return any(self._on(peer, path) for peer in self._sessions.undecided(id))

    def _on(self, peer: bytes, path: Path) -> bool:
        traits = self.traits_of(peer)
        return traits is not None and traits.broadcast == path

    def _of(self, id: bytes) -> list[Giving]:
        return [giving for giving in self._givings.values() if giving.id == id]

    def _in_order(self) -> list[Giving]:
        return sorted(self._givings.values(), key=lambda giving: giving.rank.after)

    def _pace(self, path: Path, now: float) -> Pace:
        pace = self._paces.get(path)
        if pace is None:
            pace = self._paces[path] = Pace(self.traits_at(path), now)
        return pace

    def _symbol_size(self, path: Path, size: int) -> int:
        """As large as passes, and such that the last one is not half empty."""
        most = max(1, self.traits_at(path).payload_limit - OVERHEAD)
        return -(-size // count_of(size, most))

    def _may_broadcast(self, path: Path, size: int) -> bool:
        if size < LEAST_SIZE:
            return False
        most = max(1, self.traits_at(path).payload_limit - OVERHEAD)
        return count_of(size, most) <= MAX_SYMBOLS

    def _over_at(self, giving: Giving) -> float:
        slow = WAIT_SYMBOLS * self._paces[giving.path].packet_s
        return giving.touched + max(WAIT_S, slow)

    def _leave_out(self, peer: bytes, until: float) -> None:
        self._counters["broadcast failed"] += 1
        self._left_out.pop(peer, None)
        self._left_out[peer] = until
        if len(self._left_out) > MAX_LEFT_OUT:
            del self._left_out[next(iter(self._left_out))]

    def _is_left_out(self, peer: bytes, now: float) -> bool:
        return now < self._left_out.get(peer, now)
