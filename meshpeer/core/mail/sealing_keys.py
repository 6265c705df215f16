"""Sealing keys that are renewed, so that mail caught today can't be opened with a key stolen later.

The card's sealing key is certified and stays: it proves who sends. To receive, each device makes a
new key every 30 running days and says so in its chain (a `key` record, numbered); who writes to it
seals to the newest it has heard of. An old key is kept for 60 running days after its successor,
for what is under way lives 35 days and writers hear late; until then its tag is announced.

Private halves lie in a key ring outside the database and in no backup, or a thief of the backup
would have them all. So a device that was restored has lost them: it makes a new one as soon as it
sees that its chain names one it hasn't got, and what was not confirmed is sealed again by whoever
hears of that.

A key is in the ring before it is told, so nothing can come that can't be opened. Whether it was
told is asked of the chain, not remembered: a crash between the two tells it again.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Final, NamedTuple, Protocol

from meshpeer.core.formats.record import Key
from meshpeer.core.identity.certificate import Certificate
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.identity.seal import destination_tag
from meshpeer.core.mail.people import Own, People

DAY: Final = 86_400.0
RENEW_S: Final = 30 * DAY
KEEP_S: Final = 60 * DAY
"""An old key is kept for so long after its successor was made."""
CHECK_S: Final = 3_600.0
"""Between two looks whether what the ring holds was told."""
MAX_OLD: Final = 16
"""Old keys of a person's device kept at once; renewing on request drops the oldest above that."""


class RingKey(NamedTuple):
    """A renewed sealing key of a person's device here."""

    number: int
    private: bytes
    made: float
    """Running seconds."""


class KeyRing(Protocol):
    """Where private sealing keys are kept: files of their own, in no backup."""

    def keys(self, person: bytes) -> list[RingKey]:
        """All that are kept for this person."""
        ...

    def keep(self, person: bytes, key: RingKey) -> None:
        """Keep a key; it is durable on return, or StoreError is raised."""
        ...

    def drop(self, person: bytes, number: int) -> None:
        """Forget a key for good."""
        ...


class HeardKey(Protocol):
    """What such a record said."""

    @property
    def number(self) -> int: ...
    @property
    def sealing(self) -> bytes: ...


class Heard(Protocol):
    """What the chains say of sealing keys."""

    def sealing_key(self, person: bytes, device: bytes) -> HeardKey | None:
        """The newest `key` record of this device of this person, if there is one."""
        ...


class NoRing:
    """For a peer that renews nothing."""

    def keys(self, person: bytes) -> list[RingKey]:
        return []

    def keep(self, person: bytes, key: RingKey) -> None:
        pass

    def drop(self, person: bytes, number: int) -> None:
        pass


class NoneHeard:
    """Before there are chains: the card's keys hold."""

    def sealing_key(self, person: bytes, device: bytes) -> HeardKey | None:
        return None


class SealingKeys:
    """By which keys the persons here receive, and to which others are sealed."""

    def __init__(
        self,
        *,
        people: People,
        ring: KeyRing,
        heard: Heard,
        rng: Callable[[int], bytes],
        wall: Callable[[], float],
        now: float,
    ) -> None:
        self._people = people
        self._ring = ring
        self.heard = heard
        self._rng = rng
        self._wall = wall
        self._by_tag: dict[bytes, tuple[bytes, KeyPair]] = {}
        self._check_at = now
        self.changes = 0
        """Grows whenever `tags` changed."""
        self._index()

    @property
    def tags(self) -> frozenset[bytes]:
        """The tags of all keys that open something here: the certified and the renewed."""
        return self._people.tags | frozenset(self._by_tag)

    def own_by_tag(self, tag: bytes) -> tuple[Own, KeyPair] | None:
        """Give the person here who receives under this tag, and the key that opens it."""
        own = self._people.own_by_tag(tag)
        if own is not None:
            return own, own.sealing
        person, key = self._by_tag.get(tag, (b"", None))
        own = self._people.own.get(person)
        return None if own is None or key is None else (own, key)

    def receiver(self, person: bytes, certificate: Certificate) -> bytes:
        """Give the key to which bundles for this device are sealed now."""
        key = self.heard.sealing_key(person, certificate.device)
        return certificate.sealing if key is None else key.sealing

    def next_wakeup(self) -> float | None:
        """When `wake` has something to do, at the latest."""
        renews = self._people.own and not isinstance(self._ring, NoRing)
        return self._check_at if renews else None

    def wake(self, now: float) -> list[tuple[Own, Key]]:
        """Drop keys whose time is over; give the records to be published now."""
        if now < self._check_at or isinstance(self._ring, NoRing):
            return []
        self._check_at = now + CHECK_S
        told = []
        for own in self._people.own.values():
            if not own.listed:
                continue
            self._drop_old(own, now)
            if record := self._due(own, now):
                told.append((own, record))
        return told

    def renew(self, own: Own, now: float) -> Key:
        """Make a new key for this person's device; give the record to be published."""
        heard = self.heard.sealing_key(own.person, own.device.public)
        numbers = [key.number for key in self._ring.keys(own.person)]
        number = max([*numbers, heard.number if heard else 0]) + 1
        self._ring.keep(own.person, RingKey(number, self._rng(32), now))
        self._drop_old(own, now)
        self._index()
        return self._record(self._newest(own))

    # ---- inside

    def _due(self, own: Own, now: float) -> Key | None:
        keys = self._ring.keys(own.person)
        heard = self.heard.sealing_key(own.person, own.device.public)
        newest = max(keys, default=None)
        if newest is None:
            lost = heard is not None and heard.sealing != own.sealing.public
            return self.renew(own, now) if lost or now >= RENEW_S else None
        if heard is not None and heard.number > newest.number:
            return self.renew(own, now)
        if now >= newest.made + RENEW_S:
            return self.renew(own, now)
        told = heard is not None and heard.number == newest.number
        return None if told else self._record(newest)

    def _newest(self, own: Own) -> RingKey:
        return max(self._ring.keys(own.person))

    def _record(self, key: RingKey) -> Key:
        public = KeyPair(key.private).public
        return Key(sealing=public, number=key.number, written=max(0, int(self._wall())))

    def _drop_old(self, own: Own, now: float) -> None:
        keys = sorted(self._ring.keys(own.person))
        for at, (key, successor) in enumerate(pairwise(keys)):
            if now >= successor.made + KEEP_S or len(keys) - 1 - at > MAX_OLD:
                self._ring.drop(own.person, key.number)
        self._index()

    def _index(self) -> None:
        by_tag = {}
        for person in self._people.own:
            for key in self._ring.keys(person):
                pair = KeyPair(key.private)
                by_tag[destination_tag(pair.public)] = person, pair
        if by_tag.keys() != self._by_tag.keys():
            self.changes += 1
        self._by_tag = by_tag
