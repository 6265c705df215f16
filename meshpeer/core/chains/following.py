"""Whose chains the two ends of a link want, and the little that they tell each other of that.

The side that made the link names all whom it wants, by hashes that only who knows the person can
read, with a digest of what it holds. The other names whom of these it wants, too.
"""

from collections.abc import Callable, Iterable
from hashlib import blake2s
from typing import Final

from meshpeer.core.bucket import Bucket
from meshpeer.core.chains.authors import Authors
from meshpeer.core.chains.book import Book
from meshpeer.core.chains.interest import Interest
from meshpeer.core.chains.messages import (
    DIGEST_SIZE,
    FOLLOW_HASH_SIZE,
    FOLLOWS_AT_ONCE,
    Follow,
    Follows,
    Message,
)
from meshpeer.core.chains.telling import shown_logs
from meshpeer.core.sync.link_like import LinkLike
from meshpeer.errors import RemoteProtocolError

MAX_FOLLOWS: Final = 16_384
"""Persons that one neighbour may want."""
FOLLOWS_BURST: Final = 64
FOLLOWS_PER_S: Final = 0.2
"""What a neighbour may say of them; half of it is what we say, or a contact that follows one
person after the other would make us say so much that all neighbours close their links."""


class Following:
    """Who is wanted on one link."""

    def __init__(
        self,
        *,
        book: Book,
        authors: Authors,
        interest: Interest,
        link: LinkLike,
        say: Callable[[Message], None],
        now: float,
    ) -> None:
        self._book, self._authors, self._interest = book, authors, interest
        self._key, self._first, self._say = link.binding, link.initiator, say
        self._theirs: dict[bytes, bytes] = {}
        """Whom the neighbour wants: hash and digest."""
        self._to_say: dict[bytes, None] = {}
        """Who is wanted here, too, and is not said yet."""
        self._take_rate = Bucket(rate=FOLLOWS_PER_S, burst=FOLLOWS_BURST, now=now)
        self._say_rate = Bucket(rate=FOLLOWS_PER_S / 2, burst=FOLLOWS_BURST // 2, now=now)

    def hash(self, person: bytes) -> bytes:
        """The name of a person on this link."""
        return _keyed(person, self._key, FOLLOW_HASH_SIZE)

    def wanted_there(self, person: bytes) -> bool:
        """Whether the neighbour wants to hear of this person."""
        return self.hash(person) in self._theirs

    def start(self, now: float) -> None:
        """Say who is wanted, if the link was made from here."""
        if self._first:
            wanted = self._interest.wanted
            self._say_rate.take(now, _messages(len(wanted)))
            self._say_follows(wanted, begins=True)

    def more(self, persons: Iterable[bytes]) -> None:
        """More persons are wanted here."""
        self._to_say.update(dict.fromkeys(self._may_name(persons)))

    def pump(self, now: float, *, again: bool) -> bool:
        """Say who is wanted, too, or with `again` all once more; False if that has to wait."""
        wanted = self._interest.wanted
        persons = (
            self._may_name(wanted) if again else [p for p in self._to_say if p in wanted]
        )
        says = again or bool(persons)
        if says and not self._say_rate.take(now, _messages(len(persons))):
            return False
        self._to_say.clear()
        if says:
            self._say_follows(persons, begins=again)
        return True

    def next_wakeup(self) -> float | None:
        """When `pump` may say what waits; None if nothing does."""
        return self._say_rate.ready(_messages(len(self._to_say))) if self._to_say else None

    def take(self, message: Follows, now: float) -> list[bytes]:
        """The neighbour says whom it wants; give those of whom there is something to tell."""
        if not self._take_rate.take(now):
            raise RemoteProtocolError("follows", f"more than {FOLLOWS_BURST} at once")
        before = dict(self._theirs) if not self._first else {}
        if message.begins:
            self._theirs.clear()
        for one in message.follows:
            if len(self._theirs) < MAX_FOLLOWS:
                self._theirs[one.hash] = one.digest
        asked = {one.hash: one.digest for one in message.follows}
        differ = []
        for person in self._interest.wanted:
            hash = self.hash(person)
            digest = asked.get(hash)
            if digest is None:
                continue
            if not self._first and hash not in before:
                self._to_say[person] = None
            if self._authors.card_of(person) and digest != self._digest(person):
                differ.append(person)
        return differ

    def _may_name(self, persons: Iterable[bytes]) -> list[bytes]:
        """Of persons wanted here those that are told: all, or whom the neighbour named first."""
        if self._first:
            return list(persons)
        return [person for person in persons if self.wanted_there(person)]

    def _say_follows(self, persons: Iterable[bytes], *, begins: bool) -> None:
        follows = [Follow(self.hash(p), self._digest(p)) for p in persons]
        for at in range(0, len(follows) or begins, FOLLOWS_AT_ONCE):
            part = tuple(follows[at : at + FOLLOWS_AT_ONCE])
            self._say(Follows(begins and at == 0, part))

    def _digest(self, person: bytes) -> bytes:
        """What is held of a person, in 8 bytes: equal ones have nothing to tell each other."""
        card = self._authors.card_of(person)
        state = blake2s(digest_size=DIGEST_SIZE, key=self._key[:32])
        state.update((card.number if card else 0).to_bytes(8))
        state.update(card.signature if card else b"")
        for log in sorted(
            shown_logs(self._book, self._authors, person), key=lambda one: one.log_key
        ):
            told = log.told
            state.update(
                b"".join(
                    (
                        log.device,
                        log.id,
                        *(number.to_bytes(8) for span in told.spans for number in span),
                        told.head if log.fork_at is None else b"",
                        (log.fork_at or 0).to_bytes(8),
                        bytes((bool(log.bare),)),
                    )
                )
            )
        return state.digest()


def _messages(persons: int) -> int:
    """How many messages name so many persons."""
    return max(1, -(-persons // FOLLOWS_AT_ONCE))


def _keyed(data: bytes, key: bytes, size: int) -> bytes:
    return blake2s(data, digest_size=size, key=key[:32]).digest()
