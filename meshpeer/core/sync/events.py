"""What sync tells the layers above: of bundles of our own persons, and of wants that came."""

from typing import NamedTuple, TypeAlias

from meshpeer.core.formats.bundle import Bundle
from meshpeer.core.formats.receipt import Meaning
from meshpeer.core.sync.account import Account
from meshpeer.core.sync.messages import Code


class ValueSeen(NamedTuple):
    """A receipt or recall of one of our own deliveries came."""

    bundle: bytes
    value: bytes
    meaning: Meaning
    at: float


class CarriedBy(NamedTuple):
    """A neighbour acknowledged it as durable."""

    bundle: bytes
    peer: bytes
    at: float


class Refused(NamedTuple):
    """A neighbour said why it doesn't take it."""

    bundle: bytes
    peer: bytes
    code: Code


class Expired(NamedTuple):
    """Its lifetime is over."""

    bundle: bytes


class Evicted(NamedTuple):
    """Nothing else was left to give way to another bundle of our own persons."""

    bundle: bytes


class WantCame(NamedTuple):
    """A bundle of suite 2 was taken into the queue; whoever holds that file may answer."""

    bundle: Bundle
    account: Account
    """Of the neighbour that brought it, who pays for the answers."""


class WantGone(NamedTuple):
    """A want that was held is over, expired or gave way."""

    bundle: bytes
    tag: bytes
    satisfied: bool
    """Whoever asked has all that it asked for, or asks no more."""


Event: TypeAlias = ValueSeen | CarriedBy | Refused | Expired | Evicted | WantCame | WantGone
