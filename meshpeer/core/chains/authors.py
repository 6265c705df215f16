"""Whose cards are known, and which blocks they let count.

The newest numbered device list of a person decides: a device in it may write; of a device that
was revoked only the logs that the revocation names count, up to the blocks it names; of any other
device nothing new is taken, and what is held is not passed on.
"""

from typing import Final, NamedTuple

from meshpeer.core.chain_writes import PutAuthor
from meshpeer.core.chains.archive import PeopleLike, RestoredChains
from meshpeer.core.chains.log import Log
from meshpeer.core.formats.block import MAX_SEQUENCE
from meshpeer.core.formats.card import Card, is_newer
from meshpeer.core.sync.allowance import Allowance
from meshpeer.errors import RemoteProtocolError

STANDINGS: Final = 2_048
"""Persons whose rules are kept ready; others' are made again when needed."""
RENEWALS_BURST: Final = 32
RENEWALS_PER_S: Final = 0.1
"""Newer cards of one person that are taken from neighbours: each is written, and told to all who
follow, so who signs one after the other would have us send more than came."""


class Cut(NamedTuple):
    """The last sequence that counts of a log, and its id (None: whatever comes)."""

    sequence: int
    id: bytes | None


NO_CUT: Final = Cut(MAX_SEQUENCE, None)


class Standing(NamedTuple):
    """What a card says of a person's devices."""

    signature: bytes
    """Of the card."""
    devices: frozenset[bytes]
    revoked: dict[bytes, dict[bytes, Cut]]

    def cut(self, device: bytes, log: bytes) -> Cut | None:
        """Up to where blocks of a log are taken; None for not at all."""
        if device in self.devices:
            return NO_CUT
        logs = self.revoked.get(device)
        return logs.get(log) if logs is not None else None

    def revokes(self, device: bytes, log: bytes) -> bool:
        """Whether the device was revoked without a word for this log: nothing of it counts."""
        logs = self.revoked.get(device)
        return logs is not None and log not in logs


class Authors:
    """The newest card of each person known here or followed."""

    def __init__(self, people: PeopleLike, restored: RestoredChains) -> None:
        self._people = people
        self._cards: dict[bytes, Card] = {}
        self._standings: dict[bytes, Standing] = {}
        self._renewals = Allowance(rate=RENEWALS_PER_S, burst=RENEWALS_BURST)
        for row in restored.authors:
            self._cards[row.person] = Card.load(row.card)
        for person in list(self._cards):
            self.card_of(person)

    def card_of(self, person: bytes) -> Card | None:
        """The newest card that is known of a person."""
        heard = self._cards.get(person)
        own = self._people.own.get(person)
        known = own or self._people.get(person)
        if known is None:
            return heard
        if heard is None or not is_newer(heard, known.card):
            self._cards.pop(person, None)
            return known.card
        return heard

    def standing(self, person: bytes) -> Standing | None:
        """What the newest card of a person lets count."""
        card = self.card_of(person)
        if card is None:
            return None
        known = self._standings.get(person)
        if known is None or known.signature != card.signature:
            if len(self._standings) >= STANDINGS:
                self._standings.clear()
            known = self._standings[person] = standing_of(card)
        return known

    def newer(self, person: bytes, data: bytes) -> Card | None:
        """Read a card that a neighbour sent if it is newer than ours; else None.

        RemoteProtocolError if it is malformed, or somebody else's."""
        known = self.card_of(person)
        offered = Card.load(data)
        if offered.person != person:
            raise RemoteProtocolError("card", "of another person than it came for")
        if known is not None and not is_newer(offered, known):
            return None
        return Card.parse(data)

    def is_here(self, log: Log) -> bool:
        """Whether it is a log of a device on this very peer."""
        own = self._people.own.get(log.person)
        return own is not None and own.device.public == log.device

    def may_renew(self, person: bytes, now: float) -> bool:
        """Whether one more newer card of this person, which is verified, is taken; it counts."""
        return self._renewals.take(person.hex(), now)

    def put(self, card: Card) -> PutAuthor:
        """This is the newest card of its person now."""
        self._cards[card.person] = card
        return PutAuthor(card.person, card.to_bytes())

    def drop(self, person: bytes) -> None:
        """Nothing of this person is wanted any more."""
        self._cards.pop(person, None)
        self._standings.pop(person, None)


def standing_of(card: Card) -> Standing:
    """What a card says of the devices."""
    return Standing(
        card.signature,
        frozenset(device.device for device in card.devices),
        {
            revocation.device: {
                log: Cut(sequence, id) for log, sequence, id in revocation.logs
            }
            for revocation in card.revoked
        },
    )
