"""What the mail layer says of a bundle whose destination tag is one of ours."""

from typing import NamedTuple, TypeAlias


class Opened(NamedTuple):
    """It was for a person here and what it holds is in the journal, or need not be.

    The id is over; `value` floods: the receipt, or the recall value towards a refused sender.
    """

    value: bytes


class Rejected(NamedTuple):
    """The seal or what it holds is invalid: never to be taken again."""

    reason: str


class Deferred(NamedTuple):
    """Not now, for lack of room or of time: refused until there is room, or the link is new."""

    reason: str


Verdict: TypeAlias = Opened | Rejected | Deferred
