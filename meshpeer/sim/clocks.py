"""The clocks of one simulated machine, over the one virtual time."""

from typing import Final

from meshpeer.core.clock import ClockReading, resume
from meshpeer.sim.loop import Loop

START_WALL: Final = 1_700_000_000.0
"""What every wall clock shows when a simulation starts."""

ROUNDING_S: Final = 1e-6
"""A timer rings late rather than early: sums of floats may come out a hair too small."""


class Clocks:
    """Running seconds that may step at a reboot, and a wall clock that may be wrong."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._boot = 0
        self._booted = loop.now
        self._ahead = 0.0
        self.wall_error = 0.0
        """Seconds that the wall clock is ahead; may be set at any time."""

    def now(self) -> float:
        """Give the peer's running seconds."""
        return self._loop.now + self._ahead

    def virtual(self, running: float) -> float:
        """Say at what virtual time the peer's clock is sure to show `running`."""
        return running - self._ahead + ROUNDING_S

    def wall(self) -> float:
        """Give seconds since 1970 as this machine believes."""
        return START_WALL + self._loop.now + self.wall_error

    def reading(self) -> ClockReading:
        """Give all clocks at this moment."""
        boottime = self._loop.now - self._booted
        return ClockReading(self.now(), str(self._boot), boottime, self.wall())

    def reboot(self) -> None:
        """CLOCK_BOOTTIME begins anew."""
        self._boot += 1
        self._booted = self._loop.now

    def resume(self, saved: ClockReading | None) -> None:
        """Go on from what was saved, as a peer does when it starts."""
        self._ahead = resume(saved, self.reading()) - self._loop.now
