"""The machine's clocks, read; the one place that turns them into the peer's running seconds."""

import time
from pathlib import Path
from typing import Final

from meshpeer.core.clock import ClockReading, resume

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Clock:
    """Running seconds that go on from what was saved; wall time is only ever a hint."""

    def __init__(self, saved: ClockReading | None) -> None:
        self._boot_id = BOOT_ID.read_text().strip()
        self._boottime = time.clock_gettime(time.CLOCK_BOOTTIME)
        start = ClockReading(0.0, self._boot_id, self._boottime, time.time())
        self._start = resume(saved, start)

    def now(self) -> float:
        """Give the peer's running seconds; they count suspended time too."""
        return self._start + time.clock_gettime(time.CLOCK_BOOTTIME) - self._boottime

    def wall(self) -> float:
        """Give seconds since 1970 as this machine believes."""
        return time.time()

    def reading(self) -> ClockReading:
        """Give all clocks at this moment, to be saved with a commit."""
        return ClockReading(
            self.now(), self._boot_id, time.clock_gettime(time.CLOCK_BOOTTIME), time.time()
        )
