"""One slow medium that several links share: one packet at a time, the urgent first, half for use."""

from itertools import pairwise

import pytest

from meshpeer.core.formats.bundle import Priority
from meshpeer.core.link.air import ADDED, CROWD_LIMIT, LATELY, Air, Airs
from meshpeer.core.link.congestion import Bbr
from meshpeer.core.link.path import Datagram, Path, Traits
from meshpeer.core.link.recovery import Recovery
from meshpeer.core.peer import LinkDown
from tests.core.broadcast.air import Place, bundle

TRAITS = Traits(payload_limit=500, rate=800.0, medium="tnc")
"""A hundred bytes a second."""
ANN, BOB = Path("adhoc", "tnc/0001"), Path("adhoc", "tnc/0002")


def of_size(size: int, path: Path = ANN) -> Datagram:
    return Datagram(path, bytes(size - ADDED))


def test_a_packet_leaves_when_the_one_before_has_gone():
    air = Air(TRAITS, lambda: False)
    assert air.free_at <= 10.0
    air.took([of_size(100), of_size(50)], 10.0)
    assert air.free_at == 11.5
    air.took([of_size(100)], 11.0)
    assert air.free_at == 12.5
    air.took([], 20.0)
    assert air.free_at == 12.5


def test_what_is_heard_takes_the_air_too():
    air = Air(TRAITS, lambda: False)
    air.took([of_size(100)], 10.0)
    air.heard(ANN, 200 - ADDED, 12.0)
    assert air.free_at == 13.0
    air.heard(ANN, 200 - ADDED, 40.0)
    assert air.free_at == 13.0  # nothing of ours waited
    for _ in range(9):
        air.heard(ANN, 500, 13.0)
    assert air.free_at == 13.0 + 2 * 5.0


def test_where_the_air_is_quiet_nobody_waits_for_a_crowd_that_is_gone():
    air = Air(TRAITS, lambda: False)
    memory = Recovery(
        Bbr(500, 800.0), now=0.0, rate=800.0, payload_limit=500, air=air, initial_rtt=60.0
    )
    for number in range(4):
        air.heard(Path("adhoc", f"tnc/{number:04x}"), 500 - ADDED, 10.0 + number)
    air.took([of_size(500)], 14.0)
    memory.sent_packet(0, (memory.burst(14.0, 0), 500, (), (), None))
    assert air.busy_until == 19.0
    assert memory.next_timeout() == 19.0 + 43 / 100 + 2 * 5.0
    air.heard(ANN, 500 - ADDED, 24.0)
    assert memory.next_timeout() == 24.0 + 43 / 100 + 2 * 5.0


def test_only_slow_paths_share_a_medium_and_each_medium_is_one():
    airs = Airs()
    assert airs.of(ANN, Traits()) is None
    assert airs.of(ANN, TRAITS._replace(rate=1e6)) is None
    assert not airs
    air = airs.of(ANN, TRAITS)
    assert air is not None
    assert airs.of(BOB, TRAITS) is air
    assert airs.of(BOB, TRAITS._replace(medium="other")) is not air
    full = set()
    airs.full = lambda path: path in full
    full.add(ANN)
    assert air.free_at == float("inf")
    full.clear()
    assert air.free_at == 0.0


def test_made_up_stations_lengthen_patience_to_a_limit_and_not_for_long():
    air = Air(TRAITS, lambda: False)
    assert air.crowd(5.0) == 1
    for number in range(100):
        air.heard(Path("adhoc", f"tnc/{number:04x}"), 100, 10.0)
    assert air.crowd(10.0) == CROWD_LIMIT
    assert air.crowd(10.1 + LATELY * 5.0) == 1


def crowd(
    stations: int, rate: float, loss: float, seed: int = 1
) -> tuple[Place, list[str]]:
    """A sender with links to some stations, and why links of anybody go down from now on."""
    place = Place(stations, seed, rate=rate, limit=500, loss=loss, broadcast=False)
    downs: list[str] = []
    for machine in place.machines:
        told = machine.peer.events

        def events(told=told):
            some = told()
            downs.extend(each.reason for each in some if isinstance(each, LinkDown))
            return some

        machine.peer.events = events
    return place, downs


def held(place: Place, bundles) -> bool:
    return all(m.peer.sync.queue.get(b.id) for m in place.receivers for b in bundles)


@pytest.mark.parametrize(
    ("rate", "loss", "stations", "size", "count", "share"),
    [
        (9_600.0, 0.1, 3, 12_000, 4, 0.5),
        (9_600.0, 0.0, 3, 12_000, 4, 0.75),
        (1_200.0, 0.05, 2, 2_000, 4, 0.5),
        (1_200.0, 0.05, 6, 2_000, 2, 0.5),
        (1_200.0, 0.2, 6, 2_000, 2, 0.25),
        (300.0, 0.05, 2, 1_000, 4, 0.4),
        (300.0, 0.2, 2, 1_000, 2, 0.25),
        (300.0, 0.05, 6, 1_000, 2, 0.4),
        (300.0, 0.2, 6, 1_000, 2, 0.25),
    ],
)
def test_most_of_a_slow_medium_carries_bundles_and_no_link_goes_down(
    rate, loss, stations, size, count, share
):
    place, downs = crowd(stations, rate, loss)
    sent = [bundle(number, size) for number in range(count)]
    begun = place.loop.now
    place.submit(*sent)
    ideal = stations * count * size * 8 / rate
    place.run_until(lambda: held(place, sent), ideal / share)
    place.run(begun + 2 * ideal - place.loop.now)
    assert not downs


def test_at_most_one_packet_waits_in_the_modem_beside_the_one_on_the_air():
    place, downs = crowd(6, 1_200.0, 0.0)
    place.submit(*(sent := [bundle(number, 2_000) for number in range(2)]))
    most = 0
    while not held(place, sent):
        place.run(0.05)
        most = max(most, len(place.air._waiting[0]))
    assert most <= 1
    assert not downs


def test_what_is_urgent_overtakes_what_other_links_send():
    place, _ = crowd(6, 1_200.0, 0.0)
    place.submit(*(bulk := [bundle(n, 8_000, Priority.BULK) for n in range(2)]))
    place.run(120)
    place.submit(urgent := bundle(9, 200, Priority.EXPEDITED))
    place.run_until(lambda: held(place, [urgent]), 9 * 500 * 8 / 1_200)  # 6 of them its own
    assert not held(place, bulk)


def test_links_of_one_urgency_take_turns():
    place, _ = crowd(4, 1_200.0, 0.0)
    targets: list[str] = []
    out = place.air._out

    def spy(source, path, data):
        if source == 0 and len(data) > 400:
            targets.append(path.address)
        out(source, path, data)

    place.air._out = spy
    place.submit(bundle(1, 8_000))
    place.run(200)
    assert len(targets) > 40
    assert all(a != b for a, b in pairwise(targets[4:40]))


def test_a_lost_packet_that_a_probe_repeated_is_not_sent_a_third_time():
    from tests.core.link.test_recovery import SIZE, recovery

    memory: Recovery = recovery()
    piece = object()
    burst = memory.burst(0.0, 0)
    memory.sent_packet(0, (burst, SIZE, (piece,), (), None))
    memory.timed_out(1.0)
    assert [each[2] for each in memory.oldest()] == [(piece,)]
    assert memory.oldest() == []
    memory.sent_packet(1, (memory.burst(1.0, 1), SIZE, (piece,), (), None))
    done, lost = memory.acked([(1, 2)], 0.0, 1.1)
    assert [each[2] for each in done] == [(piece,)]
    assert [each[2] for each in lost] == [()]
