"""Whose turn it is to write: what waits for the one thread that does.

Each file has its turn after each other one's. What came over a link waits in memory, so it goes
before what is copied on the disk, which anybody can have made gigabytes of by a file of equal
chunks; but of every few turns one is a copy's, else a fast link would keep copies waiting for
ever. Of one file what came is done in order, and before what is copied.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable
from threading import Lock
from typing import Final, Generic, TypeVar

EVERY: Final = 4
"""A copy's turn comes at the latest after so many others."""

Task = TypeVar("Task")


class Turns(Generic[Task]):
    """Tasks by file; for several threads."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._came: OrderedDict[bytes, deque[Task]] = OrderedDict()
        self._copies: OrderedDict[bytes, deque[Task]] = OrderedDict()
        self._since_copy = 0

    def put(self, file: bytes, task: Task, *, copies: bool = False) -> None:
        """Let it wait for its turn."""
        with self._guard:
            lane = self._copies if copies else self._came
            lane.setdefault(file, deque()).append(task)

    def take(self) -> Task | None:
        """Give the task whose turn it is, if any waits."""
        with self._guard:
            file = self._next_copy()
            lane = self._came if file is None else self._copies
            self._since_copy = self._since_copy + 1 if file is None else 0
            file = next(iter(lane), None) if file is None else file
            if file is None:
                return None
            tasks = lane.pop(file)
            task = tasks.popleft()
            if tasks:
                lane[file] = tasks
            return task

    def _next_copy(self) -> bytes | None:
        """The file of which it is time to copy something, if it is."""
        if self._came and self._since_copy < EVERY - 1:
            return None
        return next((file for file in self._copies if file not in self._came), None)

    def drop(self, file: bytes) -> Iterable[Task]:
        """Give back what waits for this file: it is not to be done."""
        with self._guard:
            return [*self._came.pop(file, ()), *self._copies.pop(file, ())]
