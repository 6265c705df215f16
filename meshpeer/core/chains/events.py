"""What chains tell their peer. All of it is durable when it is told."""

from typing import NamedTuple, TypeAlias

from meshpeer.core.formats.block import Block
from meshpeer.core.formats.card import Card
from meshpeer.core.formats.record import Record


class Held(NamedTuple):
    """A block is held now, checked in full."""

    id: bytes
    person: bytes
    device: bytes
    log: bytes
    sequence: int
    lamport: int
    record: Record | None
    """None if the body is not here: withdrawn, or not had from anybody yet."""
    fresh: bool
    """It is above all that was held of its log; False for history that is filled in."""
    here: bool
    """It was published on this peer."""
    at: float
    """Running seconds."""


class Withdrawn(NamedTuple):
    """The person took back what that block of its own said; the body is gone here."""

    person: bytes
    target: bytes


class Forked(NamedTuple):
    """A log went two ways and is frozen; the proof is kept and passed on."""

    person: bytes
    device: bytes
    log: bytes
    own: bool
    """It is a log of this very peer, which goes on in a new one."""


class CardHeard(NamedTuple):
    """A newer device list of somebody known or followed, verified."""

    card: Card
    own: bool
    """It is the list of a person who lives here."""


class KeyHeard(NamedTuple):
    """A device has a newer sealing key: mail for it is sealed to this one from now on."""

    person: bytes
    device: bytes
    sealing: bytes


class Question(NamedTuple):
    """A neighbour asks; `Chains.answer` sends what is found here."""

    neighbour: bytes
    query_id: bytes
    query: bytes


class AnswerCame(NamedTuple):
    """Blocks that fit a question of ours, each verified with its author's card."""

    query_id: bytes
    neighbour: bytes
    blocks: tuple[Block, ...]
    cards: tuple[Card, ...]


class AllAnswered(NamedTuple):
    """Every neighbour that was asked said that it has no more, or is gone."""

    query_id: bytes


Event: TypeAlias = (
    Held | Withdrawn | Forked | CardHeard | KeyHeard | Question | AnswerCame | AllAnswered
)
