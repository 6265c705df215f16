"""Whose chains are held here.

    own persons                         always
    followed, here or by another
    device of an own person             always
    contacts                            always, unless muted
    whom contacts follow                some, each within a small allowance
    strangers, blocked persons          not at all

Of those whom contacts follow, each contact's first choice comes first, then each one's second: so
who follows the whole world takes no place from what others follow. A contact's choice are those
with most followers among the contacts; who is held already stays before another with as many, or
logs would come and go.

A contact that follows one person after the other would have us fetch each one's chain and drop it
again. So each new place is charged to a contact that follows that person, at a rate: as many as
there are places at once, then one in ten minutes, some 4 kB/s at most.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from enum import IntEnum
from typing import Final

from meshpeer.core.chain_writes import DropFollow, PutFollow
from meshpeer.core.chains.archive import PeopleLike
from meshpeer.core.chains.log import Followed, Log
from meshpeer.core.sync.allowance import Allowance

FOLLOWED: Final = "follow"
MUTED: Final = "muted"
PLACE_EVERY_S: Final = 600.0
"""How often a contact may give somebody new a place, after as many as there are."""


class Level(IntEnum):
    """How much of a person is wanted."""

    NONE = 0
    SOME = 1
    ALWAYS = 2


class Interest:
    """Who is wanted; looks again when people, follows or records change."""

    def __init__(
        self,
        people: PeopleLike,
        rows: Iterable[PutFollow],
        logs: Callable[[], Iterable[Log]],
        most: int,
    ) -> None:
        self._people = people
        self._rows = {row.person: row.how for row in rows}
        self._logs = logs
        self._most = most
        self._levels: dict[bytes, Level] = {}
        self._seen = -1
        self._places = Allowance(rate=1 / PLACE_EVERY_S, burst=most)
        self.again_at: float | None = None
        """When somebody may get a place who was refused one."""
        self.stale = True
        """A Follow record came: `refresh` has something to do."""

    def level(self, person: bytes) -> Level:
        """How much is wanted of a person, as of the last `refresh`."""
        return self._levels.get(person, Level.NONE)

    def how(self, person: bytes) -> str:
        """'follow', 'muted', or empty: what was said here of a person."""
        return self._rows.get(person, "")

    @property
    def wanted(self) -> Set[bytes]:
        """All persons of whom anything is wanted."""
        return self._levels.keys()

    @property
    def due(self) -> bool:
        """Something changed since the last `refresh`."""
        return self.stale or self._seen != self._people.changes

    def say(self, person: bytes, how: str, wall: int) -> PutFollow:
        """Follow or mute a person."""
        self._rows[person] = how
        self.stale = True
        return PutFollow(person, how, wall)

    def unsay(self, person: bytes) -> DropFollow | None:
        """Neither follow nor mute; None if that is so already."""
        if self._rows.pop(person, None) is None:
            return None
        self.stale = True
        return DropFollow(person)

    def look_again(self, now: float) -> None:
        """Time passed: who was refused a place may get one."""
        if self.again_at is not None and now >= self.again_at:
            self.stale = True

    def refresh(self, held: Set[bytes], now: float) -> tuple[set[bytes], set[bytes]]:
        """Look again who is wanted, given whose logs are held: who is new, and who was dropped."""
        before = self._levels
        self.stale, self._seen = False, self._people.changes
        always, unwanted = self._decided()
        levels = dict.fromkeys(always, Level.ALWAYS)
        nearby = self._nearby(always, unwanted, held, now)
        levels.update(dict.fromkeys(nearby, Level.SOME))
        self._levels = levels
        return levels.keys() - before.keys(), (before.keys() | held) - levels.keys()

    def _decided(self) -> tuple[set[bytes], set[bytes]]:
        """Who is wanted always, and who never."""
        own = set(self._people.own)
        blocked = {one.person for one in self._people if one.status == "blocked"}
        followed = {person for person, how in self._rows.items() if how == FOLLOWED}
        muted = {person for person, how in self._rows.items() if how == MUTED}
        unwanted = (muted | blocked) - own
        always = own | self._contacts() | followed
        always = always.union(*self._followed_by(own).values())
        return always - unwanted, unwanted

    def _contacts(self) -> set[bytes]:
        return {one.person for one in self._people if one.status == "contact"}

    def _followed_by(self, persons: Set[bytes]) -> dict[bytes, list[bytes]]:
        """Whom each of these persons follows, by its newest records."""
        newest: dict[tuple[bytes, bytes], Followed] = {}
        for log in self._logs():
            if log.follows and log.person in persons:
                for person, said in log.follows.items():
                    key = log.person, person
                    newest[key] = max(newest.get(key, said), said)
        follows: dict[bytes, list[bytes]] = {}
        for (follower, person), said in newest.items():
            if said.following:
                follows.setdefault(follower, []).append(person)
        return follows

    def _nearby(
        self, always: set[bytes], unwanted: set[bytes], held: Set[bytes], now: float
    ) -> list[bytes]:
        follows = self._followed_by(self._contacts() & always)
        followers: dict[bytes, list[bytes]] = {}
        for contact, persons in follows.items():
            for person in persons:
                followers.setdefault(person, []).append(contact)
        place: dict[bytes, int] = {}

        def worth(person: bytes) -> tuple[int, bool, bytes]:
            return -len(followers[person]), person not in held, person

        for persons in follows.values():
            choice = sorted(set(persons) - always - unwanted, key=worth)
            for at, person in enumerate(choice):
                place[person] = min(at, place.get(person, at))
        ranked = sorted(place, key=lambda person: (place[person], worth(person)))
        return self._placed(ranked, followers, held, now)

    def _placed(
        self,
        ranked: Iterable[bytes],
        followers: Mapping[bytes, Sequence[bytes]],
        held: Set[bytes],
        now: float,
    ) -> list[bytes]:
        """Who has a place: the first, but of those new only whom a contact may still place."""
        placed: list[bytes] = []
        self.again_at = None
        for person in ranked:
            if len(placed) >= self._most:
                break
            if (
                person in self._levels
                or person in held
                or any(self._places.take(one.hex(), now) for one in followers[person])
            ):
                placed.append(person)
            else:
                self.again_at = now + PLACE_EVERY_S
        return placed
