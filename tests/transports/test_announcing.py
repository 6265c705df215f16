"""Beacons on mediums: what is shown, who is told of, and floods of forged stations."""

from collections import Counter
from random import Random

import pytest

from meshpeer.core.formats.beacon import mark, parse_frame
from transports.adhoc.address import path_of
from transports.adhoc.announcing import Announcing
from transports.beaconing import (
    BURST,
    COUNTED,
    LONGEST,
    NEWS_BURST,
    NEWS_RATE,
    REMEMBERED,
    REPEAT_ON_AIR,
)
from transports.interface import PeerFound

ANN, BOB = b"A" * 32, b"B" * 32
MESH0, TTY = path_of("mesh0", b"\xff" * 6), path_of("ttyUSB0", b"\xff" * 2)
BOB_AT = path_of("mesh0", b"\x02\xca\xfe\0\0\1")
NOISE = 500


class Station:
    """One that announces itself, and what it says."""

    def __init__(
        self, peer_id=ANN, *, hidden=False, mediums=(MESH0,), now=0.0, seed=1
    ) -> None:
        self.counters: Counter = Counter()
        self.announcing = Announcing(
            peer_id,
            hidden=hidden,
            rng=Random(seed).randbytes,
            counters=self.counters,
            now=now,
        )
        self.announcing.set_mediums(dict.fromkeys(mediums), now)

    def says(self, until: float) -> list[tuple[float, object, bytes]]:
        said = []
        while (at := self.announcing.next_wakeup()) is not None and at <= until:
            said += [(at, place, beacon) for place, beacon in self.announcing.due(at)]
        return said

    def hears(self, payload: bytes, path=BOB_AT, now: float = 0.0) -> PeerFound | None:
        return self.announcing.heard(payload, path, MESH0, now)


def said_by_bob(*, hidden=False, seed=2) -> bytes:
    return Station(BOB, hidden=hidden, seed=seed).says(0.0)[0][2]


def forged(number: int) -> tuple[bytes, object]:
    """The beacon of a station that there isn't."""
    payload = b"\0" + number.to_bytes(8, "big") + number.to_bytes(32, "big")
    return payload, path_of("mesh0", b"\x06" + number.to_bytes(5, "big"))


def test_who_is_heard_is_told_and_heard_again_only_after_a_while():
    ann, payload = Station(), said_by_bob()
    found = ann.hears(payload)
    assert found is not None
    assert (found.peer_id, found.path, found.spread) == (BOB, BOB_AT, 0.0)
    assert ann.hears(payload, now=1.0) is None
    assert ann.hears(payload, now=REPEAT_ON_AIR) == found


def test_a_hidden_peer_shows_a_mark_and_no_two_mediums_that_they_are_one_peers():
    said = Station(hidden=True, mediums=(MESH0, TTY)).says(0.0)
    beacons = {place: parse_frame(payload) for _, place, payload in said}
    assert beacons[MESH0].nonce != beacons[TTY].nonce
    for _, _, payload in said:
        assert len(payload) == 17
        assert ANN[:8] not in payload
    found = Station(BOB).hears(said_by_bob(hidden=True))
    assert found is None, "its own"
    found = Station(ANN).hears(said_by_bob(hidden=True))
    assert found is not None
    assert (found.peer_id, found.mark) == (None, mark(found.nonce, BOB))


def test_a_nonce_lives_as_long_as_its_medium_is_up():
    ann = Station()
    nonces = {parse_frame(payload).nonce for _, _, payload in ann.says(60.0)}
    assert len(nonces) == 1
    ann.announcing.set_mediums({}, 61.0)
    ann.announcing.set_mediums({MESH0: None}, 62.0)
    assert not nonces & {parse_frame(payload).nonce for _, _, payload in ann.says(62.0)}


def test_who_walks_into_range_is_answered_by_one_that_nobody_told():
    ann, bob = Station(), Station(BOB, seed=2)
    ann.says(60.0)
    at, _, payload = bob.says(60.0)[-1]
    ann.hears(payload, now=at)
    (answer, *_) = [each for each in ann.says(at + 1.0) if parse_frame(each[2]).answer]
    assert answer[0] - at < 0.3
    before = bob.announcing.next_wakeup()
    bob.hears(answer[2], path_of("mesh0", b"\x02\xca\xfe\0\0\0"), answer[0])
    assert bob.announcing.next_wakeup() == before, "an answer is not answered"


def test_in_a_crowd_calls_are_spread():
    ann = Station()
    for number in range(200):
        found = ann.hears(*forged(number))
    assert found is not None
    assert found.spread == pytest.approx(1.0, rel=0.1)


def test_ten_thousand_forged_stations_a_second_take_no_room_and_silence_nobody():
    ann = Station(now=0.0)
    told, honest = 0, []
    for number in range(30_000):
        now = number / 10_000
        told += ann.hears(*forged(number), now=now) is not None
        ann.announcing.due(now)
        if number % 5_000 == 4_999:
            honest.append(ann.hears(said_by_bob(), now=now))
    assert told <= NEWS_BURST + 3 * NEWS_RATE
    assert honest[0], "noticed at once"
    hearing, (schedule,) = ann.announcing._hearing, ann.announcing._rounds._places.values()
    assert len(hearing._hosts) == len(hearing._peers) == REMEMBERED
    assert schedule.crowd.size(3.0) == COUNTED
    assert ann.counters["beacons sent"] >= len(BURST)
    assert ann.says(3.0 + 1.25 * LONGEST), "it goes on, if less often"
    assert len(Station(BOB, now=3.0).says(5.0)) >= len(BURST), "and newcomers begin at once"


def test_a_replayed_beacon_of_ours_is_known_and_of_others_leads_to_one_path_more():
    ann = Station()
    (_, _, own) = ann.says(0.0)[0]
    assert ann.hears(own) is None
    replayed = said_by_bob()
    thief = path_of("mesh0", b"\x02\xca\xfe\0\0\x66")
    assert ann.hears(replayed, now=1.0).path == BOB_AT
    assert ann.hears(replayed, thief, now=1.0).path == thief


def test_noise_is_counted_and_dropped():
    ann, random = Station(), Random(7)
    for _ in range(NOISE):
        path = path_of("mesh0", b"\x02" + random.randbytes(5))
        ann.hears(random.randbytes(random.randrange(1, 60)), path)
    dropped = sum(
        count for name, count in ann.counters.items() if name.startswith("beacons dropped")
    )
    assert dropped + ann.counters["beacons heard"] == NOISE
