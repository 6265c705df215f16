"""The manners of a LAN under a clock that jumps: bursts, rounds, answers and floods."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.formats.beacon import Beacon
from transports.beaconing import (
    ANSWER_BURST,
    BURST,
    HOST_BURST,
    NEWS_BURST,
    REMEMBERED,
    REPEAT,
    ROUND,
    Hearing,
    Rounds,
)
from transports.netlink import Local

ETH0 = Local("eth0", 3, "192.0.2.1", 24, True)
WLAN0 = Local("wlan0", 4, "198.51.100.1", 24, True)


def beacon(number: int, *, answer: bool = False) -> Beacon:
    return Beacon(number.to_bytes(8, "big"), 6374, bytes(32), answer=answer)


def rounds(now: float = 0.0) -> Rounds:
    return Rounds(now=now, rng=Random(1).randbytes)


def spoken(schedule: Rounds, until: float) -> list[tuple[float, Local]]:
    """Wake whenever asked to, till then; give when each address spoke."""
    said = []
    while (at := schedule.next_wakeup()) is not None and at <= until:
        said += [(at, address) for address in schedule.due(at)]
    return said


def test_a_new_address_gets_a_burst_and_then_quiet():
    schedule = rounds()
    assert schedule.next_wakeup() is None
    schedule.set_addresses([ETH0], now=10.0)
    assert [at for at, _ in spoken(schedule, until=60.0)] == [
        10.0 + delay for delay in BURST
    ]


def test_an_answer_is_spared_only_where_a_beacon_follows_at_once():
    schedule = rounds()
    schedule.set_addresses([ETH0], now=0.0)
    schedule.due(0.0)
    assert schedule.speaks_soon(ETH0, 0.0)
    schedule.due(0.2)
    assert not schedule.speaks_soon(ETH0, 0.3)
    assert schedule.speaks_soon(ETH0, 0.8)
    schedule.due(1.0)
    assert not schedule.speaks_soon(ETH0, 1.0)


def test_an_address_that_comes_later_bursts_alone():
    schedule = rounds()
    schedule.set_addresses([ETH0], now=0.0)
    spoken(schedule, until=50.0)
    schedule.set_addresses([ETH0, WLAN0], now=50.0)
    assert {address for _, address in spoken(schedule, until=60.0)} == {WLAN0}


def test_an_address_that_went_falls_silent_and_bursts_when_it_returns():
    schedule = rounds()
    schedule.set_addresses([ETH0], now=0.0)
    schedule.set_addresses([], now=0.1)
    assert schedule.next_wakeup() is None
    schedule.set_addresses([ETH0], now=5.0)
    assert len(spoken(schedule, until=10.0)) == len(BURST)


def test_an_hour_of_quiet_costs_about_a_round_in_two_minutes():
    schedule = rounds()
    schedule.set_addresses([ETH0], now=0.0)
    said = spoken(schedule, until=3_600.0)
    assert 3_600 / (1.1 * ROUND) <= len(said) - len(BURST) <= 3_600 / (0.9 * ROUND)


def test_a_machine_that_slept_speaks_once_not_for_all_it_missed():
    schedule = rounds()
    schedule.set_addresses([ETH0], now=0.0)
    assert schedule.due(1e6) == [ETH0]
    assert schedule.due(1e6) == []


def test_a_newcomer_is_told_of_and_answered_once():
    hearing = Hearing(now=0.0)
    assert hearing.heard(beacon(1), "192.0.2.9", 1.0) == (True, True)
    assert hearing.heard(beacon(1), "192.0.2.9", 1.2) == (False, False)
    assert hearing.heard(beacon(1), "192.0.2.9", 1.2 + REPEAT) == (True, False)


def test_an_answer_is_never_answered():
    assert Hearing(now=0.0).heard(beacon(1, answer=True), "192.0.2.9", 1.0) == (True, False)


def test_a_peer_that_restarted_is_new():
    hearing = Hearing(now=0.0)
    hearing.heard(beacon(1), "192.0.2.9", 1.0)
    assert hearing.heard(beacon(2), "192.0.2.9", 2.0) == (True, True)


def test_a_host_that_floods_is_not_listened_to_and_the_others_are():
    hearing = Hearing(now=0.0)
    assert sum(hearing.admits("192.0.2.9", 1.0) for _ in range(1_000)) == HOST_BURST
    assert hearing.admits("192.0.2.10", 1.0)
    assert hearing.admits("192.0.2.9", 2.0)


def test_a_shout_from_forged_addresses_stays_in_bounds():
    hearing = Hearing(now=0.0)
    told = answered = 0
    for number in range(10_000):
        host = f"10.0.{number >> 8}.{number & 255}"
        assert hearing.admits(host, 1.0)
        heard = hearing.heard(beacon(number), host, 1.0)
        told, answered = told + heard.tell, answered + heard.answer
    assert told == NEWS_BURST
    assert answered == ANSWER_BURST
    assert len(hearing._hosts) == REMEMBERED


@given(st.lists(st.tuples(st.floats(0, 50), st.integers(0, 3), st.booleans()), max_size=60))
def test_two_peers_never_bounce(steps):
    """Whatever is heard, there is at most one answer for each (host, nonce)."""
    hearing = Hearing(now=0.0)
    now, answers = 0.0, []
    for step, number, answer in steps:
        now += step
        if hearing.heard(beacon(number, answer=answer), "192.0.2.9", now).answer:
            answers.append(number)
    assert len(answers) == len(set(answers))
