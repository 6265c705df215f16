"""What files need of the queue: bundles and values to send, and word of what was written."""

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, Protocol, TypeAlias

from meshpeer.core.formats.bundle import Bundle
from meshpeer.core.formats.want import Run
from meshpeer.core.sync.account import OWN, Account
from meshpeer.core.sync.queue import Refusal


class Taken(Enum):
    """What became of a part that came as a bundle."""

    WRITING = "it is on its way to the disk"
    WAITING = "it is durable as soon as other parts are here"
    HERE = "it is durable here already"
    NOT_NOW = "it can't be taken now, or nobody here fetches that file"


Stored: TypeAlias = Callable[[bool, float], None]
"""Told, and when, whether a part is durable now or never will be."""


class Lacking(NamedTuple):
    """How a fetch stands."""

    holders: int
    """Neighbours that hold something of it now."""
    runs: tuple[Run, ...] | None
    """The chunks that lack; None while the manifest isn't whole."""
    size: int
    """Bytes that lack, 0 while nobody knows."""


class Post(Protocol):
    """The part of `Sync` that wants and answers use."""

    def submit(
        self, bundle: Bundle, now: float, account: Account = OWN
    ) -> Refusal | None: ...
    def add_value(self, value: bytes, hours: int, now: float) -> None: ...
    def written(self, bundle: bytes, value: bytes, now: float) -> None: ...
    def not_written(self, bundle: bytes, now: float) -> None: ...
    def ask_again(self, now: float) -> None: ...
    def read(self, id: bytes, then: Callable[[bytes | None, float], None]) -> None: ...


class Answering(Protocol):
    """The part of `Sync` that hears what became of a bundle for somebody here."""

    def written(self, bundle: bytes, value: bytes, now: float) -> None: ...
    def not_written(self, bundle: bytes, now: float) -> None: ...


def answer_when_stored(post: Answering, bundle: bytes, receipt: bytes) -> Stored:
    """Give what answers a bundle by its receipt as soon as its part is durable."""

    def stored(durable: bool, now: float) -> None:
        if durable:
            post.written(bundle, receipt, now)
        else:
            post.not_written(bundle, now)

    return stored
