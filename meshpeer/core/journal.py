"""Writes that wait for the disk, in order, and what may only happen once they are on it.

The core never touches a disk. It adds writes here; the shell takes everything that waits as one
batch, commits it in one transaction, and says so; only then do the actions run that were held
back: acknowledgements, receipts, pushes. One batch is in flight at a time, so while the disk is
busy the next batch grows: group commit needs no timer.

Some writes are asides: nobody waits for them, nobody sees them at once, and a crash may lose them.
They keep their place in the order and go with the next batch, or make one of their own after a
minute, so that links that come and go all the time don't make a commit each time.

When the commit fails, the batch goes back to the front and `blocked` is true until a later
commit works; no action of the batch has run, so nothing was promised.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from meshpeer.core.writes import Write
from meshpeer.errors import LocalProtocolError

Action: TypeAlias = Callable[[float], None]

ASIDE_S: Final = 60.0
"""How long an aside waits for a batch to go with, at most."""
ASIDES: Final = 1_000
"""How many wait before they go by themselves; what waits takes room from what has to be written."""


class Journal:
    """Collects writes and the actions that wait for them."""

    def __init__(self) -> None:
        self._waiting: list[Write] = []
        self._actions: list[Action] = []
        self._in_flight: tuple[list[Write], list[Action]] | None = None
        self._pressing = False
        """Whether something else than asides waits."""
        self._asides_due: float | None = None
        self.blocked = False

    def __len__(self) -> int:
        """How many writes are not yet durable."""
        return len(self._waiting) + (len(self._in_flight[0]) if self._in_flight else 0)

    def add(self, *writes: Write) -> None:
        """Append writes; they become durable together with what waits now, or after it."""
        self._waiting += writes
        self._pressing |= bool(writes)

    def aside(self, write: Write, now: float) -> None:
        """Append a write that may be lost in a crash; it makes no batch for a minute."""
        self._waiting.append(write)
        if self._asides_due is None:
            self._asides_due = now + ASIDE_S
        self._pressing |= len(self._waiting) >= ASIDES

    def wake(self, now: float) -> None:
        """Let asides go by themselves that waited for a minute."""
        if self._asides_due is not None and now >= self._asides_due:
            self.press()

    def next_wakeup(self) -> float | None:
        """When to call `wake`, at the latest."""
        return self._asides_due

    def press(self) -> None:
        """Let asides wait no more: no batch may follow with which they could go."""
        self._pressing |= bool(self._waiting)
        self._asides_due = None

    def then(self, action: Action) -> None:
        """Run `action(now)` once everything added so far is durable."""
        self._actions.append(action)

    def take(self) -> list[Write] | None:
        """Give what waits as one batch, or None if there is no reason or one is in flight."""
        if self._in_flight is not None or not (self._pressing or self._actions):
            return None
        self._pressing, self._asides_due = False, None
        self._in_flight = self._waiting, self._actions
        self._waiting, self._actions = [], []
        return self._in_flight[0]

    def committed(self, now: float) -> None:
        """The batch in flight is durable: run what waited for it."""
        _, actions = self._land()
        self.blocked = False
        for action in actions:
            action(now)

    def failed(self) -> None:
        """The batch in flight was not written: put it back in front of what waits."""
        writes, actions = self._land()
        self.blocked = True
        self._waiting = writes + self._waiting
        self.press()
        self._actions = actions + self._actions

    def _land(self) -> tuple[list[Write], list[Action]]:
        if self._in_flight is None:
            raise LocalProtocolError("no batch is in flight")
        batch, self._in_flight = self._in_flight, None
        return batch
