"""What the mail layer says of a bundle whose destination tag is one of ours."""

from typing import NamedTuple, TypeAlias


class Opened(NamedTuple):
    """It was for a person here and what it holds is in the journal, or need not be.

    The id is over; `value` floods: the receipt, or the recall value towards a refused sender.
    """

    value: bytes


class Writing(NamedTuple):
    """It is a part of a file, on its way to the disk beside the journal.

    Neither answered nor remembered until `Sync.written` or `Sync.not_written` says how it went.
    """

    waits: bool = False
    """Not for the disk, but for other parts: it must not hold the links back."""


class Rejected(NamedTuple):
    """The seal or what it holds is invalid: never to be taken again."""

    reason: str


class Deferred(NamedTuple):
    """Not now, for lack of room or of time: refused until there is room, or the link is new."""

    reason: str


Verdict: TypeAlias = Opened | Writing | Rejected | Deferred
