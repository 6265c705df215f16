"""The paths of one link: which are proved, which is used, and when another takes over.

A path is proved by echo: a nonce that only the other peer can have read comes back (RFC 9000
section 8.2). Until then at most three times as many bytes go there as came from there. A path
that we know (we were told to try it) is tried three times; one that only appeared, because a
packet came from it, too.

Which is used: the cheapest proved one, and of equals the one in use. A path from which the peer
now sends while the one in use is silent takes over as soon as it is proved: the peer moved. A
packet that somebody copied from the wire and sent from elsewhere moves nothing, for the path in
use is still heard.
"""

from collections.abc import Callable
from typing import Final

from meshpeer.core.link.path import Path, Traits

TRIES: Final = 4
FIRST_RETRY: Final = 0.25
"""Seconds till a challenge is repeated; each later one waits twice as long."""
PATHS_LIMIT: Final = 8
"""Paths kept for one link."""
AMPLIFICATION: Final = 3
NONCE_SIZE: Final = 8


class Way:
    """One path and what is known of it."""

    __slots__ = (
        "asked",
        "came",
        "due",
        "first_heard",
        "heard",
        "known",
        "nonce",
        "path",
        "proved",
        "sent",
        "traits",
    )

    def __init__(self, path: Path, traits: Traits, *, known: bool, now: float) -> None:
        self.path, self.traits = path, traits
        self.known = known
        """We were told of it, so it needs no byte from there before we write there."""
        self.proved = False
        self.nonce: bytes | None = None
        self.asked = 0
        self.due: float | None = None
        self.came = self.sent = 0
        self.first_heard = self.heard = now

    def may_send(self, size: int) -> bool:
        """Whether so many bytes may go there before it is proved."""
        return self.proved or self.known or self.sent + size <= AMPLIFICATION * self.came


class Paths:
    """The ways of one link; `active` is the one in use."""

    def __init__(
        self, path: Path, traits: Traits, *, now: float, rng: Callable[[int], bytes]
    ) -> None:
        self._rng = rng
        self.active = Way(path, traits, known=True, now=now)
        self.active.proved = True
        self.ways: dict[Path, Way] = {path: self.active}

    def offer(self, path: Path, traits: Traits, now: float) -> None:
        """Try a path that we were told of; no-op if it is proved or being tried."""
        way = self.ways.get(path) or self._add(path, traits, known=True, now=now)
        if way is None or way.proved or way.due is not None:
            return
        way.known, way.traits = True, traits
        self._challenge(way, now)

    def heard(
        self, path: Path, traits: Traits, size: int, newest: bool, now: float
    ) -> None:
        """Authentic packets came by this path; `newest` if the latest of all is among them."""
        way = self.ways.get(path)
        if way is None:
            if not newest:
                return
            way = self._add(path, traits, known=False, now=now)
            if way is None:
                return
            way.first_heard = now
        way.came += size
        way.heard = now
        if not way.proved and way.due is None:
            self._challenge(way, now)
            self._challenge(self.active, now)

    def answered(self, nonce: bytes) -> bool:
        """A PATH_RESPONSE came; True if another path is to be used now."""
        for way in self.ways.values():
            if way.nonce == nonce:
                way.proved, way.nonce, way.due, way.asked = True, None, None, 0
                return self._prefer(way)
        return False

    def due(self, now: float) -> list[tuple[Path, bytes]]:
        """The challenges to be sent now: path and nonce."""
        found = []
        for way in list(self.ways.values()):
            if way.due is None or way.due > now:
                continue
            if way.asked >= TRIES:
                self._give_up(way)
                continue
            way.asked += 1
            way.due = now + FIRST_RETRY * 2 ** (way.asked - 1)
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
        if self.ways.pop(path, None) is None or path != self.active.path:
            return True
        return self.replace_active()

    def replace_active(self) -> bool:
        """Use the best proved path other than the one in use; False if there is none."""
        others = [
            way for way in self.ways.values() if way.proved and way is not self.active
        ]
        if not others:
            return False
        self.active = min(others, key=lambda way: (way.traits.cost, -way.heard))
        return True

    def _add(self, path: Path, traits: Traits, *, known: bool, now: float) -> Way | None:
        if len(self.ways) >= PATHS_LIMIT and not self._drop_one():
            return None
        way = self.ways[path] = Way(path, traits, known=known, now=now)
        return way

    def _drop_one(self) -> bool:
        """Make room: a path that was never proved goes first, then the longest silent."""
        spare = [way for way in self.ways.values() if way is not self.active]
        if not spare:
            return False
        del self.ways[min(spare, key=lambda way: (way.proved, way.heard)).path]
        return True

    def _challenge(self, way: Way, now: float) -> None:
        if way.due is None:
            way.nonce = self._rng(NONCE_SIZE)
            way.asked, way.due = 0, now

    def _give_up(self, way: Way) -> None:
        way.nonce, way.due, way.asked = None, None, 0
        if way is not self.active:
            self.ways.pop(way.path, None)

    def _prefer(self, way: Way) -> bool:
        active = self.active
        if way is active:
            return False
        moved = not way.known and active.heard < way.first_heard
        if moved or way.traits.cost < active.traits.cost:
            self.active = way
            return True
        return False
