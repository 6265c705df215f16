"""What is kept of one medium beside the medium itself."""

from collections import Counter

from meshpeer.core.link.path import Traits
from transports.adhoc.attached import BEACON_SHARE, BEACONS_AT_ONCE, Attached

DAY = 86_400
BEACON = 48


class Still:
    """A medium on which nothing moves."""

    name, everybody, station = "/dev/ttyUSB0", b"\xff\xff", b"\x12\x34"

    def __init__(self, rate):
        self.traits = Traits(payload_limit=500, rate=rate)
        self.counters = Counter()


def opened(rate):
    attached = Attached("ttyUSB0", lambda: None)
    attached.opened(Still(rate))
    return attached


def test_beacons_take_their_share_of_a_slow_medium_and_no_more():
    attached = opened(240.0)
    sent = sum(BEACON for now in range(DAY) if attached.may_beacon(BEACON, float(now)))
    room = BEACON_SHARE * DAY * 240 / 8
    assert room - BEACON <= sent <= room + BEACONS_AT_ONCE


def test_the_burst_of_a_medium_that_came_up_goes_out():
    attached = opened(240.0)
    assert [attached.may_beacon(BEACON, 0.2 * n) for n in range(5)] == [True] * 5
    assert not any(attached.may_beacon(BEACON, 2.0 + n) for n in range(100))
    attached.opened(Still(240.0))
    assert attached.may_beacon(BEACON, 110.0)


def test_where_no_rate_is_declared_beacons_have_their_own_manners():
    attached = opened(None)
    assert all(attached.may_beacon(BEACON, 0.0) for _ in range(1_000))
