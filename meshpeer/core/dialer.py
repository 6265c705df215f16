"""Whom to try, by which path, and when: links come back by themselves, without polling.

A known peer that is not up is tried at once when something changed (it was found, added, its link
went down, an interface came), and else after 5 s, 10 s, 20 s … up to ten minutes, with jitter so
that two peers don't march in step. All paths of a peer are offered together: the link keeps the
one that answers. What was only found here, not configured, is given up after a while: if the
peer is still around, discovery will say so again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from meshpeer.core.link.path import Path

FIRST_WAIT: Final = 5.0
LONGEST_WAIT: Final = 600.0
FOUND_TRIES: Final = 6
MAX_FOUND: Final = 1_024
"""Peers remembered that nobody configured; a flood of false beacons ends here."""
PATHS_EACH: Final = 8
"""Paths of one peer that nobody configured."""


@dataclass(slots=True)
class _Target:
    configured: bool
    paths: dict[Path, bool] = field(default_factory=dict)
    """Each with whether it was configured; what is only found never drives those out."""
    tries: int = 0
    due: float = 0.0
    up: bool = False


class Dialer:
    """Keeps a time for each known peer that is not up."""

    def __init__(self, rng: Callable[[int], bytes]) -> None:
        self._rng = rng
        self._targets: dict[bytes, _Target] = {}

    def __contains__(self, peer: bytes) -> bool:
        return peer in self._targets

    def paths(self, peer: bytes) -> tuple[Path, ...]:
        """Give the known paths of a peer, newest last."""
        target = self._targets.get(peer)
        return tuple(target.paths) if target else ()

    def learn(self, peer: bytes, path: Path, now: float, *, configured: bool) -> None:
        """A peer may be reached by this path: try it at once."""
        target = self._targets.get(peer)
        if target is None:
            if not configured and len(self._targets) >= MAX_FOUND:
                self._drop_one_found()
            target = self._targets[peer] = _Target(configured)
        target.configured |= configured
        target.paths[path] = target.paths.pop(path, False) or configured
        found = [path for path, kept in target.paths.items() if not kept]
        for old in found[:-PATHS_EACH]:
            del target.paths[old]
        self._at_once(target, now)

    def forget(self, peer: bytes) -> None:
        """Don't try this peer any more."""
        self._targets.pop(peer, None)

    def came_up(self, peer: bytes) -> None:
        """The peer has a link; nothing to do until it goes down."""
        if target := self._targets.get(peer):
            target.up = True

    def went_down(self, peer: bytes, now: float) -> None:
        """The link is gone: try again at once, then ever more seldom."""
        if target := self._targets.get(peer):
            target.up = False
            self._at_once(target, now)

    def everything_changed(self, now: float) -> None:
        """An interface or address came: whatever failed before may work now."""
        for target in self._targets.values():
            self._at_once(target, now)

    def next_wakeup(self) -> float | None:
        """When the next try is due."""
        return min((t.due for t in self._targets.values() if not t.up), default=None)

    def due(self, now: float) -> Iterator[tuple[bytes, Path]]:
        """Give what is to be tried now, and set the times of the next tries."""
        for peer, target in list(self._targets.items()):
            if target.up or target.due > now:
                continue
            if target.tries >= FOUND_TRIES and not target.configured:
                del self._targets[peer]
                continue
            wait = min(FIRST_WAIT * 2**target.tries, LONGEST_WAIT)
            target.due = now + wait * (0.75 + self._rng(1)[0] / 512)
            target.tries += 1
            yield from ((peer, path) for path in target.paths)

    @staticmethod
    def _at_once(target: _Target, now: float) -> None:
        target.tries, target.due = 0, now

    def _drop_one_found(self) -> None:
        idle = (p for p, t in self._targets.items() if not (t.configured or t.up))
        victim = next(idle, None)
        if victim is not None:
            del self._targets[victim]
