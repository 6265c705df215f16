"""What files need of the queue: bundles and values to send, and word of what was written."""

from collections.abc import Callable
from typing import Protocol

from meshpeer.core.formats.bundle import Bundle
from meshpeer.core.sync.account import OWN, Account
from meshpeer.core.sync.queue import Refusal


class Post(Protocol):
    """The part of `Sync` that files use."""

    def submit(
        self, bundle: Bundle, now: float, account: Account = OWN
    ) -> Refusal | None: ...
    def add_value(self, value: bytes, hours: int, now: float) -> None: ...
    def written(self, bundle: bytes, value: bytes, now: float) -> None: ...
    def not_written(self, bundle: bytes, now: float) -> None: ...
    def read(self, id: bytes, then: Callable[[bytes | None, float], None]) -> None: ...
