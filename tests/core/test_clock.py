from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.clock import PLAUSIBLE_S, STEP_S, ClockReading, resume

YEAR = 365.25 * 86_400
SAVED = ClockReading(running=1_000.0, boot_id="a", boottime=500.0, wall=1.8e9)

seconds = st.floats(0, 1e10)
readings = st.builds(
    ClockReading,
    running=seconds,
    boot_id=st.sampled_from("ab"),
    boottime=seconds,
    wall=st.floats(-1e11, 1e11),
)


def test_a_new_peer_starts_at_zero():
    assert resume(None, SAVED) == 0.0


def test_within_one_boot_only_boottime_counts():
    for jump in (0.0, 50 * YEAR, -50 * YEAR):
        now = SAVED._replace(running=0.0, boottime=560.0, wall=SAVED.wall + jump)
        assert resume(SAVED, now) == 1_060.0


def test_after_a_reboot_a_plausible_wall_difference_counts():
    now = ClockReading(running=0.0, boot_id="b", boottime=9.0, wall=SAVED.wall + 86_400)
    assert resume(SAVED, now) == 1_000.0 + 86_400


def test_after_a_reboot_a_wall_clock_off_by_50_years_is_a_fixed_step():
    for jump in (50 * YEAR, -50 * YEAR, -1.0, PLAUSIBLE_S + 1):
        now = ClockReading(running=0.0, boot_id="b", boottime=9.0, wall=SAVED.wall + jump)
        assert resume(SAVED, now) == 1_000.0 + STEP_S


def test_a_boottime_that_went_back_is_not_believed():
    now = SAVED._replace(boottime=1.0, wall=SAVED.wall + 7)
    assert resume(SAVED, now) == 1_007.0


@given(readings, readings)
def test_the_clock_never_goes_back_and_no_reboot_passes_more_than_a_lifetime(
    saved, current
):
    start = resume(saved, current)
    assert start >= saved.running
    if current.boot_id != saved.boot_id:
        assert start - saved.running <= PLAUSIBLE_S + 1
