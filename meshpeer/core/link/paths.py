"""The paths of one link: which are proved, which is best, and which are used beside it.

A path is proved by echo: a nonce that only the other peer can have read comes back (RFC 9000
section 8.2). Until then at most three times as many bytes go there as came from there. A path
that we know (we were told to try it) is tried four times; one that only appeared, because the
newest packet or the other side's own challenge came by it, too.

The path of the handshake counts as proved by it: who answers has read what was sent there. Not so
if the same first packet, or the answer to it, went by several paths: a peer that is at one of them
could pretend to be at another as well, which is somebody else's, and have bulk sent there by
acknowledging what it never saw. Then the handshake's path has to be proved like any other (`doubt`).

`active`, the best path, carries whatever is small: the cheapest proved one, of equals one that
takes less than half the time, else the one in use. A path from which the peer now sends while the
one in use is silent takes over as soon as it is proved: the peer moved. A packet that somebody
copied from the wire and sent from elsewhere moves nothing, for the path in use is still heard. If
the copy comes first, and challenge and echo go by whoever copies, it does; but the path that was left
is asked for an echo, too, and if that comes the link goes back to it (RFC 9000 section 9.3.3).

`beside` are those that bulk may take in addition: proved, no dearer than the best, one of each
medium, since two paths over one interface share its bottleneck. Whether they help is decided
packet by packet (sender.py). On an idle link nothing keeps them alive: bulk that begins asks for
an echo first if none was heard for FRESH seconds.

A path that leaves its packets unanswered has failed: it is out of use at once, and asked for an
echo ever more seldom, for some minutes. The only path left is never given up.
"""

from collections.abc import Callable, Hashable
from typing import Final

from meshpeer.core.link.acks import Arrivals
from meshpeer.core.link.path import Path, Traits
from meshpeer.core.link.recovery import MAX_ACK_DELAY
from meshpeer.core.link.slow import ack_delay, first_retry

TRIES: Final = 4
FAILED_TRIES: Final = 10
"""How often a path that was proved once is asked, over four minutes in all."""
FIRST_RETRY: Final = 0.25
"""Seconds till a challenge is repeated; each later one waits twice as long."""
PATHS_LIMIT: Final = 8
"""Paths kept for one link."""
AMPLIFICATION: Final = 3
NONCE_SIZE: Final = 8
LEAST_ROOM: Final = 64
"""Bytes for which there is always room: a question, or an acknowledgement."""
FRESH: Final = 10.0
"""Seconds for which an echo or an acknowledgement shows that a path works."""
FASTER: Final = 0.5
"""A path becomes the best of equals if it takes at most this share of the time …"""
WORTH_MOVING: Final = 0.002
"""… and so many seconds less."""
CROSSING: Final = 0.25
"""Seconds for which a packet shows that the other side uses this path beside others."""


class Way:
    """One path and what is known of it."""

    __slots__ = (
        "arrivals",
        "asked",
        "asked_at",
        "came",
        "confirmed",
        "due",
        "failed",
        "first_heard",
        "heard",
        "known",
        "left",
        "nonce",
        "path",
        "proved",
        "rtt",
        "sent",
        "traits",
    )

    def __init__(self, path: Path, traits: Traits, *, known: bool, now: float) -> None:
        self.path = path
        self.known = known
        """We were told of it, so it needs no byte from there before we write there."""
        self.proved = False
        self.failed = False
        """It was proved, but leaves unanswered what is sent there now."""
        self.confirmed = now
        """When an echo or an acknowledgement last showed that it works."""
        self.left: Way | None = None
        """The path that was left for this one, because the peer seemed to have moved."""
        self.rtt: float | None = None
        """The shortest round trip seen."""
        self.nonce: bytes | None = None
        self.asked = 0
        self.asked_at = 0.0
        self.due: float | None = None
        self.came = self.sent = 0
        self.first_heard = self.heard = now
        self.arrivals = Arrivals(path)
        self.learn(traits)

    def learn(self, traits: Traits) -> None:
        """The path is like this now."""
        self.traits = traits
        self.arrivals.delay = ack_delay(MAX_ACK_DELAY, traits.rate)

    @property
    def retry(self) -> float:
        """Seconds till a challenge is repeated first."""
        return first_retry(FIRST_RETRY, self.traits.rate)

    @property
    def usable(self) -> bool:
        """Whether anything but challenges may be sent there."""
        return self.proved and not self.failed

    @property
    def medium(self) -> Hashable:
        """What it shares with other paths: where the transport doesn't know, the transport."""
        medium = self.traits.medium
        return ("transport", self.path.transport) if medium is None else medium

    @property
    def room(self) -> int:
        """Bytes of the largest packet that may go there now."""
        limit = self.traits.payload_limit
        if self.proved:
            return limit
        return min(limit, max(AMPLIFICATION * self.came - self.sent, LEAST_ROOM))

    def may_send(self, size: int) -> bool:
        """Whether so many bytes may go there before it is proved."""
        return self.proved or self.known or self.sent + size <= AMPLIFICATION * self.came

    def works(self, rtt: float | None, now: float) -> None:
        """What was sent there was acknowledged; `rtt` is the shortest round trip so far."""
        self.confirmed, self.failed = now, False
        if rtt is not None:
            self.rtt = rtt


class Paths:
    """The ways of one link; `active` is the best."""

    def __init__(
        self, path: Path, traits: Traits, *, now: float, rng: Callable[[int], bytes]
    ) -> None:
        self._rng = rng
        self.active = Way(path, traits, known=True, now=now)
        self.active.proved = True
        self.ways: dict[Path, Way] = {path: self.active}
        self.beside: tuple[Way, ...] = ()
        """Those that bulk may use beside `active`, quickest first."""

    def doubt(self, came: int, now: float) -> None:
        """The handshake doesn't prove the best path, by which so many bytes of it came."""
        self.active.proved = False
        self.active.came += came
        self._challenge(self.active, now)

    def offer(self, path: Path, traits: Traits, now: float) -> None:
        """Try a path that we were told of; no-op if it works or is being tried."""
        way = self.ways.get(path) or self._add(path, traits, known=True, now=now)
        if way is None:
            return
        way.known = True
        self._learn(way, traits)
        if way.failed and way.asked >= TRIES:
            way.due = None
        if not way.usable:
            self._challenge(way, now)

    def heard(
        self, path: Path, traits: Traits, size: int, fresh: bool, now: float
    ) -> Way | None:
        """Authentic packets came by this path; give what is known of it, None if it isn't kept.

        `fresh` if the latest of all is among them, or a challenge: only those make it known.
        """
        way = self.ways.get(path)
        if way is None:
            if not fresh:
                return None
            way = self._add(path, traits, known=False, now=now)
            if way is None:
                return None
            way.first_heard = now
        way.came += size
        way.heard = now
        if traits is not way.traits:
            self._learn(way, traits)
        works = way.proved if way is self.active else way.usable
        if not works and way.due is None:
            self._challenge(way, now)
            self._challenge(self.active, now)
        return way

    def crossing(self, way: Way | None, now: float) -> bool:
        """Whether packets come by other paths too, so that a gap on this one says nothing."""
        return any(
            each is not way and each.heard > now - CROSSING for each in self.ways.values()
        )

    def answering(self, path: Path | None) -> Way:
        """The path by which to acknowledge what came by this one: the same, if it is proved."""
        way = self.active if path is None else self.ways.get(path, self.active)
        return way if way.usable else self.active

    def others_work(self, way: Way, since: float) -> bool:
        """Whether nothing was heard by this path since then, but by another in use."""
        return way.heard < since and any(
            other.heard >= since and other.usable and other is not way
            for other in (self.active, *self.beside)
        )

    def answered(self, nonce: bytes, now: float) -> None:
        """A PATH_RESPONSE came: another path may be the best now."""
        for way in self.ways.values():
            if way.nonce == nonce:
                rtt = now - way.asked_at
                way.rtt = rtt if way.rtt is None else min(rtt, way.rtt)
                way.proved, way.failed, way.confirmed = True, False, now
                way.nonce, way.due, way.asked = None, None, 0
                self._prefer(way, now)
                self._choose()
                return

    def compare(self) -> None:
        """A round trip is known now: another may be the best."""
        for way in self.beside:
            if _better(way, self.active):
                self.active = way
        self._choose()

    def fail(self, way: Way, now: float) -> None:
        """What went there was not answered: out of use until an echo comes."""
        way.failed = True
        self._challenge(way, now)
        if way is self.active:
            self.replace_active()
        self._choose()

    def refresh(self, way: Way, now: float) -> bool:
        """Whether this path was seen to work lately; if not it is asked."""
        if now - way.confirmed <= FRESH:
            return True
        self._challenge(way, now)
        return False

    def due(self, now: float) -> list[tuple[Path, bytes]]:
        """The challenges to be sent now: path and nonce."""
        found = []
        for way in list(self.ways.values()):
            if way.due is None or way.due > now:
                continue
            if way.asked >= (FAILED_TRIES if way.failed else TRIES):
                self._give_up(way, now)
                continue
            way.asked += 1
            way.asked_at = now
            way.due = now + way.retry * 2 ** (way.asked - 1)
            if way.nonce is not None:
                found.append((way.path, way.nonce))
        return found

    def next_due(self) -> float | None:
        """When `due` has something to do."""
        return min(
            (way.due for way in self.ways.values() if way.due is not None), default=None
        )

    def lose(self, path: Path) -> bool:
        """The path is gone; False if no other is proved."""
        way = self.ways.pop(path, None)
        kept = way is not self.active or self.replace_active(failed=True)
        self._choose()
        return kept

    def replace_active(self, *, failed: bool = False) -> bool:
        """Make the best other path the one in use; False if there is none.

        One that `failed` is better than none only where the one in use is gone.
        """
        others = [
            way
            for way in self.ways.values()
            if way is not self.active and (way.usable or (failed and way.proved))
        ]
        if not others:
            return False
        self.active = min(others, key=lambda way: (way.failed, way.traits.cost, -way.heard))
        return True

    def _learn(self, way: Way, traits: Traits) -> None:
        """A path may go by another interface than before."""
        if traits != way.traits:
            way.learn(traits)
            self._choose()

    def _choose(self) -> None:
        """Find the paths to be used beside the best: the quickest of each further medium."""
        active = self.active
        chosen = {active.medium: active}
        for way in sorted(self.ways.values(), key=_quickness):
            if way.usable and way.traits.cost <= active.traits.cost:
                chosen.setdefault(way.medium, way)
        self.beside = tuple(way for way in chosen.values() if way is not active)

    def _add(self, path: Path, traits: Traits, *, known: bool, now: float) -> Way | None:
        if len(self.ways) >= PATHS_LIMIT and not self._drop_one():
            return None
        way = self.ways[path] = Way(path, traits, known=known, now=now)
        return way

    def _drop_one(self) -> bool:
        """Make room: a path that was never proved goes first, then the longest silent."""
        kept = {self.active, *self.beside}
        spare = [way for way in self.ways.values() if way not in kept]
        if not spare:
            return False
        del self.ways[min(spare, key=lambda way: (way.proved, way.heard)).path]
        return True

    def _challenge(self, way: Way, now: float) -> None:
        if way.due is None:
            way.nonce = self._rng(NONCE_SIZE)
            way.asked, way.due = 0, now

    def _give_up(self, way: Way, now: float) -> None:
        way.nonce, way.due = None, None
        if way is self.active:
            return
        if way.usable:
            way.failed, way.due = True, way.asked_at + way.retry * 2**TRIES
            way.nonce = self._rng(NONCE_SIZE)
            self._choose()
        else:
            self.ways.pop(way.path, None)

    def _prefer(self, way: Way, now: float) -> None:
        """Use this path, which is proved, if it is better than the one in use."""
        active = self.active
        if way is active:
            return
        moved = not way.known and active.heard < way.first_heard
        if moved and active.proved and active.usable:
            active.failed = True
            self._challenge(active, now)
            way.left, active.left = active, None
        stayed = active.left is way
        if stayed:
            active.left = None
        if stayed or moved or not active.usable or _better(way, active):
            self.active = way


def _quickness(way: Way) -> tuple[int, float]:
    return way.traits.cost, float("inf") if way.rtt is None else way.rtt


def _better(way: Way, active: Way) -> bool:
    if way.traits.cost != active.traits.cost:
        return way.traits.cost < active.traits.cost
    if way.rtt is None or active.rtt is None:
        return False
    return way.rtt < min(FASTER * active.rtt, active.rtt - WORTH_MOVING)
