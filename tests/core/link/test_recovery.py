"""Loss recovery and congestion control by themselves: what RFC 9002 says, and where we differ."""

from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.link.congestion import INITIAL_WINDOW, Acked, Bbr
from meshpeer.core.link.recovery import (
    MAX_ACK_DELAY,
    PERSISTENT,
    PTO_LIMIT,
    Recovery,
)

SIZE = 1_200


def recovery(**options) -> Recovery:
    return Recovery(Bbr(SIZE), now=0.0, **options)


def send(memory: Recovery, counters, now: float) -> None:
    counters = list(counters)
    burst = memory.burst(now, counters[0])
    for counter in counters:
        memory.sent_packet(counter, (burst, SIZE, (), (), None))


def test_the_first_round_trip_is_taken_and_later_ones_are_smoothed():
    memory = recovery()
    send(memory, [0], 0.0)
    memory.acked([(0, 1)], 0.0, 0.1)
    assert (memory.rtt, memory.rtt_variation) == (0.1, 0.05)
    send(memory, [1], 1.0)
    memory.acked([(1, 2)], 0.02, 1.2)
    assert abs(memory.rtt - (0.1 * 7 / 8 + 0.18 / 8)) < 1e-9


def test_a_packet_three_before_an_acknowledged_one_is_lost():
    memory = recovery()
    send(memory, range(4), 0.0)
    done, lost = memory.acked([(3, 4)], 0.0, 0.1)
    assert (len(done), len(lost)) == (1, 1)
    assert list(memory.sent) == [1, 2]
    assert memory.in_flight == 2 * SIZE


def test_older_ones_are_lost_after_nine_eighths_of_a_round_trip():
    memory = recovery()
    send(memory, range(2), 0.0)
    _, lost = memory.acked([(1, 2)], 0.0, 0.1)
    assert lost == []
    assert abs(memory.next_timeout() - 0.1125) < 1e-9
    assert memory.detect(0.1) == []
    assert len(memory.detect(0.1126)) == 1
    assert memory.next_timeout() is None


def test_a_packet_that_comes_after_all_makes_us_wait_longer_for_the_next():
    memory = recovery()
    send(memory, range(11), 0.0)
    _, lost = memory.acked([(10, 11)], 0.0, 0.1)
    assert len(lost) == 8
    memory.acked([(0, 11)], 0.0, 0.101)
    assert memory.spurious == 8
    send(memory, range(11, 22), 0.2)
    _, lost = memory.acked([(21, 22)], 0.0, 0.3)
    assert lost == []


def test_a_reliable_path_does_not_take_a_gap_for_loss():
    memory = recovery(reliable=True)
    send(memory, range(100), 0.0)
    _, lost = memory.acked([(99, 100)], 0.0, 0.1)
    assert lost == []


def test_probe_timeouts_double_to_a_limit_and_an_answer_ends_them():
    memory = recovery()
    send(memory, [0], 0.0)
    memory.acked([(0, 1)], 0.0, 0.1)
    send(memory, [1, 2, 3], 1.0)
    now, waits = 1.0, []
    for _ in range(8):
        due = memory.next_timeout()
        waits.append(due - now)
        memory.timed_out(due)
        now = due
    assert abs(waits[0] - (0.1 + 4 * 0.05 + MAX_ACK_DELAY)) < 1e-9
    assert abs(waits[1] - 2 * waits[0]) < 1e-9
    assert waits[-1] == PTO_LIMIT
    assert memory.congestion.window < INITIAL_WINDOW * SIZE
    memory.acked([(1, 4)], 0.0, now + 0.1)
    assert memory.timeouts == 0
    assert PERSISTENT == 3


def test_the_round_trip_of_a_slow_path_is_waited_for():
    memory = recovery(initial_rtt=6.0)
    send(memory, [0], 0.0)
    assert memory.next_timeout() > 6.0


@given(
    st.lists(
        st.one_of(
            st.integers(1, 5),
            st.lists(st.integers(0, 60), min_size=2, max_size=6, unique=True),
            st.just("timeout"),
        ),
        max_size=40,
    )
)
def test_no_packet_is_ever_both_or_neither(steps):
    memory, now, counter = recovery(), 0.0, 0
    done_count = lost_count = 0
    for step in steps:
        now += 0.01
        if isinstance(step, int):
            send(memory, range(counter, counter + step), now)
            counter += step
        elif step == "timeout":
            lost_count += len(memory.detect(now)) if memory.loss_at else 0
            memory.timed_out(now)
        else:
            cuts = sorted(step)[: len(step) // 2 * 2]
            pairs = [
                (a, min(b, counter)) for a, b in zip(cuts[::2], cuts[1::2], strict=True)
            ]
            ranges = [pair for pair in reversed(pairs) if pair[0] < pair[1]]
            if ranges:
                done, lost = memory.acked(ranges, 0.0, now)
                done_count += len(done)
                lost_count += len(lost)
        assert done_count + lost_count + len(memory.sent) == counter
        assert memory.in_flight == SIZE * len(memory.sent)
        assert memory.congestion.window >= 2 * SIZE


def drive(bbr: Bbr, rate: float, rtt: float, seconds: float, start: float = 0.0) -> float:
    """Acknowledge as a path of this rate and round trip would; give the time reached."""
    now, since = start, start
    while now < start + seconds:
        now += rtt / 4
        size = int(rate * rtt / 4)
        fresh = now - since >= rtt
        since = now if fresh else since
        bbr.acked(Acked(now, size, int(rate * rtt), rtt, rate, False, fresh))
    return now


def test_the_window_finds_the_path_and_follows_it_down():
    bbr = Bbr(SIZE)
    now = drive(bbr, 1e6, 0.05, 5)
    assert bbr.bandwidth == 1e6
    assert 1e6 * 0.05 < bbr.window < 3 * 1e6 * 0.05
    assert 0.7e6 <= bbr.rate <= 1.3e6
    drive(bbr, 2e5, 0.05, 5, now)
    assert bbr.bandwidth == 2e5


def test_a_declared_rate_is_never_exceeded_and_bounds_the_start():
    bbr = Bbr(SIZE, rate=9_600.0)
    assert bbr.window == 2 * SIZE
    assert bbr.rate == 1_200.0
    drive(bbr, 1e6, 2.0, 30)
    assert bbr.rate <= 1.25 * 1_200


def test_a_rate_measured_with_nothing_to_send_does_not_lower_the_estimate():
    bbr = Bbr(SIZE)
    now = drive(bbr, 1e6, 0.05, 5)
    bbr.acked(Acked(now + 0.01, SIZE, 0, 0.05, 1e3, True, False))
    assert bbr.bandwidth == 1e6


@given(st.floats(0, 1e9), st.floats(1e-5, 5))
def test_waking_when_asked_always_gets_something_done(start, rtt):
    memory = Recovery(Bbr(SIZE), now=start)
    send(memory, range(2), start)
    memory.acked([(1, 2)], 0.0, start + rtt)
    due = memory.next_timeout()
    assert memory.loss_at == due or not memory.sent
    if memory.sent:
        assert len(memory.detect(due)) == 1
