"""What is read now so that it can be published: how far it is, and how it is called off.

A film is read for minutes on a small machine. Who asked for that wants to see it move, and may
think better of it. The numbers are written by the thread that reads and read by the loop.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from meshpeer.errors import NotFoundError, UsageError


@dataclass(slots=True)
class Reading:
    """A file or a folder that is read."""

    path: str
    done: int = 0
    total: int = 0
    called_off: bool = False

    def tell(self, done: int, total: int) -> None:
        """Note how far it is; UsageError ends who reads, once it was called off."""
        self.done, self.total = done, total
        if self.called_off:
            raise UsageError(f"{self.path} was called off while it was read")


class Underway:
    """All that is read now or waits for its turn."""

    def __init__(self) -> None:
        self._readings: list[Reading] = []

    def __iter__(self) -> Iterator[Reading]:
        return iter(self._readings)

    @contextmanager
    def begin(self, path: str) -> Iterator[Reading]:
        """It is underway inside this block."""
        reading = Reading(path)
        self._readings.append(reading)
        try:
            yield reading
        finally:
            self._readings.remove(reading)

    def call_off(self, path: str) -> None:
        """Read this path no more; NotFoundError if it isn't read."""
        found = [reading for reading in self._readings if reading.path == path]
        if not found:
            raise NotFoundError(f"{path} is not being read")
        for reading in found:
            reading.called_off = True
