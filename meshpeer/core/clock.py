"""How the peer's own clock goes on across restarts, trusting no wall clock.

Running seconds start at 0 when a peer is made and only grow. With every commit the store keeps
a reading; at the next start `resume` says where to go on from. While the machine stays up,
CLOCK_BOOTTIME (which counts suspended time too) gives the exact difference. After a reboot only
the wall clock saw the time between, and many small machines have no battery behind it: it may
start in 1970, or be put right by 50 years while we look elsewhere. So its difference counts
only where it is plausible: not negative, and no longer than the longest lifetime. Otherwise the
clock steps by an hour: enough that a machine restarted every day without a clock still lets
bundles end some time, too little to end anything by mistake.

A difference above the longest lifetime is refused because believing it wrongly ends every
bundle held, where not believing it only keeps some for longer than their time.
"""

from typing import Final, NamedTuple

from meshpeer.core.formats.bundle import MAX_LIFETIME

PLAUSIBLE_S: Final = float(MAX_LIFETIME)
"""The longest lifetime: a longer gap between two starts is not believed."""

STEP_S: Final = 3_600.0
"""What a reboot adds when the wall clock says nothing believable."""


class ClockReading(NamedTuple):
    """Every clock at one moment; saved with each commit."""

    running: float
    """Running seconds: the peer's own clock."""
    boot_id: str
    """Names this boot of the machine; another one means that `boottime` began anew."""
    boottime: float
    """CLOCK_BOOTTIME in seconds."""
    wall: float
    """Wall clock in seconds since 1970: a hint."""


def resume(saved: ClockReading | None, current: ClockReading) -> float:
    """Say at how many running seconds to start; never less than what was saved.

    `current.running` is not looked at: it is what the caller wants to know.
    """
    if saved is None:
        return 0.0
    return saved.running + _elapsed(saved, current)


def _elapsed(saved: ClockReading, current: ClockReading) -> float:
    if current.boot_id == saved.boot_id and current.boottime >= saved.boottime:
        return current.boottime - saved.boottime
    away = current.wall - saved.wall
    return away if 0.0 <= away <= PLAUSIBLE_S else STEP_S
