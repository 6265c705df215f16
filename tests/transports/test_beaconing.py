"""The manners of LANs and mediums under a clock that jumps: bursts, intervals, answers, floods."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.formats.beacon import Beacon
from transports.beaconing import (
    ANSWERS_AT_ONCE,
    BURST,
    COUNTED,
    ENOUGH,
    HOST_BURST,
    LAN_PACE,
    LEAST,
    LONGEST,
    NEWS_BURST,
    REMEMBERED,
    REPEAT,
    ROUND,
    SHARE,
    Crowd,
    Hearing,
    Rounds,
    pace_on_air,
)
from transports.netlink import Local

ETH0 = Local("eth0", 3, "192.0.2.1", 24, True)
WLAN0 = Local("wlan0", 4, "198.51.100.1", 24, True)
MESH0 = "mesh0"
SHOWN, HIDDEN = 41, 17
RADIO = pace_on_air(6e6, SHOWN)
MODEM = pace_on_air(240, SHOWN)


def beacon(number: int, *, answer: bool = False) -> Beacon:
    return Beacon(number.to_bytes(8, "big"), 6374, bytes(32), answer=answer)


def rounds(*places, pace=LAN_PACE, now=0.0) -> Rounds:
    schedule = Rounds(rng=Random(1).randbytes)
    schedule.set_places(dict.fromkeys(places, pace), now)
    return schedule


def spoken(schedule: Rounds, until: float) -> list[tuple[float, object]]:
    """Wake whenever asked to, till then; give when each place spoke."""
    said = []
    while (at := schedule.next_wakeup()) is not None and at <= until:
        said += [(at, place) for place, _ in schedule.due(at)]
    return said


# ---- when


def test_a_new_address_gets_a_burst_and_then_quiet():
    assert rounds().next_wakeup() is None
    times = [at for at, _ in spoken(rounds(ETH0, now=10.0), until=60.0)]
    assert len(times) == len(BURST)
    for at, delay in zip(times, BURST, strict=True):
        assert 0.75 * delay <= at - 10.0 <= 1.25 * delay


def test_an_address_that_comes_later_bursts_alone():
    schedule = rounds(ETH0)
    spoken(schedule, until=50.0)
    schedule.set_places({ETH0: LAN_PACE, WLAN0: LAN_PACE}, now=50.0)
    assert {place for _, place in spoken(schedule, until=60.0)} == {WLAN0}


def test_an_address_that_went_falls_silent_and_bursts_when_it_returns():
    schedule = rounds(ETH0)
    schedule.set_places({}, now=0.1)
    assert schedule.next_wakeup() is None
    schedule.set_places({ETH0: LAN_PACE}, now=5.0)
    assert len(spoken(schedule, until=10.0)) == len(BURST)


def test_an_hour_of_quiet_on_a_lan_costs_about_a_round_in_two_minutes():
    said = spoken(rounds(ETH0), until=3_600.0)
    assert 3_600 / (1.25 * ROUND) <= len(said) - len(BURST) <= 3_600 / (0.75 * ROUND)


def test_addresses_beacon_together_so_that_an_idle_peer_wakes_up_seldom():
    said = spoken(rounds(ETH0, WLAN0), until=3_600.0)
    late = [at for at, _ in said if at > 10]
    assert len(set(late)) <= len(late) / 2 + 3


def test_a_machine_that_slept_speaks_once_not_for_all_it_missed():
    schedule = rounds(ETH0)
    assert schedule.due(1e6) == [(ETH0, False)]
    assert schedule.due(1e6) == []


@pytest.mark.parametrize("others", [0, 1, 19, 199])
def test_by_radio_all_together_stay_in_their_share_of_the_air(others):
    assert (others + 1) * RADIO.airtime / RADIO.interval(others) <= SHARE * 1.001
    schedule = rounds(MESH0, pace=RADIO)
    said = 0
    for second in range(600):
        for station in range(others):
            schedule.heard(MESH0, station, float(second))
        said += len(schedule.due(float(second))) * (second >= 300)
    assert 300 / said == pytest.approx(max(RADIO.interval(others), LEAST), rel=0.3)


def test_whoever_left_a_crowd_soon_beacons_as_one_that_is_alone():
    schedule = rounds(MESH0, pace=RADIO)
    for station in range(200):
        schedule.heard(MESH0, station, 10.0)
    spoken(schedule, until=180.0)
    assert len(spoken(schedule, until=240.0)) >= 60 / LEAST / 1.3


def test_forged_stations_slow_nobody_down_for_ever():
    schedule = rounds(MESH0, pace=RADIO)
    for station in range(10_000):
        schedule.heard(MESH0, station, 0.0)
    assert len(spoken(schedule, until=1.5)) == len(BURST)
    assert spoken(schedule, until=1.5 + 1.25 * LONGEST)


def test_a_crowd_counts_so_many_and_forgets():
    crowd = Crowd(10.0, now=0.0)
    for station in range(10_000):
        crowd.heard(station, station / 1_000)
    assert crowd.size(10.0) == COUNTED
    assert crowd.size(21.0) == 0


@pytest.mark.parametrize("size", [SHOWN, HIDDEN])
def test_by_a_modem_of_300_baud_beacons_are_rare(size):
    pace = pace_on_air(240, size)
    said = spoken(rounds(MESH0, pace=pace), until=86_400.0)
    burst, later = said[: len(BURST)], said[len(BURST) :]
    assert burst[1][0] > 5 * pace.airtime
    assert len(later) * pace.airtime < 86_400 * SHARE * 1.1
    assert pace.interval(10_000) < 3 * 3_600


# ---- answers to all


def test_a_newcomer_is_answered_soon_and_once():
    schedule = rounds(MESH0, pace=RADIO)
    spoken(schedule, until=1.5)
    schedule.answer(MESH0, "new", 1.5)
    schedule.answer(MESH0, "new", 1.5)
    assert schedule.next_wakeup() < 1.6
    assert schedule.due(1.6) == [(MESH0, True)]
    assert schedule.next_wakeup() > 1.6


def test_an_answer_is_spared_where_others_gave_enough_and_not_for_the_newcomers_own():
    schedule = rounds(MESH0, pace=RADIO)
    spoken(schedule, until=1.5)
    schedule.answer(MESH0, "new", 1.5)
    for _ in range(ENOUGH):
        schedule.heard(MESH0, "new", 1.5)
    assert schedule.next_wakeup() < 1.6
    for station in range(ENOUGH):
        schedule.heard(MESH0, station, 1.5)
    assert schedule.next_wakeup() > 1.6


def test_an_answer_is_spared_only_where_a_beacon_follows_at_once():
    schedule = rounds(ETH0)
    schedule.due(0.0)
    assert schedule.speaks_soon(ETH0, 0.0)
    schedule.due(0.25)
    assert not schedule.speaks_soon(ETH0, 0.3)
    spoken(schedule, until=2.0)
    assert not schedule.speaks_soon(ETH0, 2.0)


def test_answers_to_a_crowd_that_is_heard_at_once_are_few():
    schedule = rounds(MESH0, pace=pace_on_air(6e6, SHOWN)._replace(least=1e6, longest=1e6))
    spoken(schedule, until=2.0)
    answers = 0
    for tick in range(1_000):
        schedule.answer(MESH0, tick, 2.0 + tick / 100)
        answers += len(schedule.due(2.0 + tick / 100))
    assert answers == ANSWERS_AT_ONCE


@given(st.integers(4, 400))
def test_the_more_there_are_the_longer_answers_spread(others):
    schedule = rounds(ETH0)
    for station in range(others):
        schedule.heard(ETH0, station, 0.0)
    pauses = [schedule.pause(ETH0, 0.0) for _ in range(200)]
    assert others * 0.004 < max(pauses) <= (others + 1) * 0.005 + 1e-9
    assert min(pauses) < max(pauses) / 10


# ---- whom to believe


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
    told = 0
    for number in range(20_000):
        host = f"10.0.{number >> 8}.{number & 255}"
        assert hearing.admits(host, 1.0)
        told += hearing.heard(beacon(number), host, 1.0).tell
    assert told == NEWS_BURST
    assert len(hearing._hosts) == REMEMBERED
    assert len(hearing._peers) == REMEMBERED


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
