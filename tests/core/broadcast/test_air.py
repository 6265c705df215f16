"""Peers in range of each other: what many lack crosses the air once, whatever is lost."""

from hypothesis import given, settings
from hypothesis import strategies as st

from meshpeer.core.broadcast.gathering import LEAST_SIZE
from meshpeer.core.formats.bundle import Bundle, Header, Priority
from meshpeer.core.identity.preimage import one_way
from tests.core.broadcast.air import FRAME_HEAD, Place, bundle

WIRE = 256 * 1024


def held(place, bundles, machines=None):
    """Whether all of these have the very bytes on their disk."""
    payloads = {bundle.id: bundle.payload for bundle in bundles}
    return all(
        {
            id: Bundle.parse(wire).payload
            for id, wire in machine.store.wires(payloads).items()
        }
        == payloads
        for machine in machines or place.receivers
    )


def test_what_eight_neighbours_lack_costs_little_more_than_one_copy():
    place = Place(8, loss=0.2)
    bundles = [bundle(n) for n in range(4)]
    before = place.air.bytes
    place.submit(*bundles)
    place.run_until(lambda: place.durable(bundles))
    place.run(2)
    assert held(place, bundles)
    assert place.air.bytes - before < 1.5 * 4 * WIRE
    assert place.counters["broadcasts"] == 4
    assert not place.counters["broadcast failed"]


@given(loss=st.floats(0, 0.3), neighbours=st.integers(2, 5), seed=st.integers(0, 999))
@settings(max_examples=8, deadline=None)
def test_everybody_gets_it_at_any_loss(loss, neighbours, seed):
    place = Place(neighbours, seed, loss=loss)
    lacking = [bundle(n, size) for n, size in enumerate((100_000, 20_000, 300))]
    place.submit(*lacking)
    place.run_until(lambda: place.durable(lacking))
    assert held(place, lacking)
    assert place.counters["broadcasts"]
    place.run(5)
    assert len(place.sender.peer.sync.broadcast.givings) == 0
    for machine in place.receivers:
        assert len(machine.peer.sync.broadcast.takings) == 0


def test_without_loss_nobody_answers_and_nothing_is_repeated():
    place = Place(8)
    place.submit(lacking := bundle(1, 100_000))
    place.run_until(lambda: place.durable([lacking]))
    assert len(place.air.seen) < 1.1 * len(lacking.wire) / 1_427
    assert place.air.broadcast_bytes > len(lacking.wire)


def test_the_answers_of_a_second_transfer_are_fewer_for_what_the_first_taught():
    place = Place(8, loss=0.25)
    sent = []
    for n in range(3):
        before = len(place.air.seen)
        place.submit(lacking := bundle(n))
        place.run_until(lambda lacking=lacking: place.durable([lacking]))
        sent.append(len(place.air.seen) - before)
    pace = next(iter(place.sender.peer.sync.broadcast.givings._paces.values()))
    assert 0.15 < pace.loss < 0.35
    assert max(sent) < 1.6 * WIRE / 1_425


def test_one_neighbour_alone_gets_it_by_its_link_at_once():
    place = Place(1)
    begin = place.loop.now
    place.submit(lacking := bundle(1))
    place.run_until(lambda: place.durable([lacking]), 1.0)
    assert not place.air.seen
    assert place.loop.now - begin <= 1.0


def test_small_bundles_go_by_the_links():
    place = Place(4)
    small = [bundle(n, LEAST_SIZE - 200) for n in range(3)]
    place.submit(*small)
    place.run_until(lambda: place.durable(small))
    assert not place.air.seen


def test_a_medium_that_has_no_path_for_all_is_used_as_before():
    place = Place(4, broadcast=False)
    place.submit(lacking := bundle(1))
    place.run_until(lambda: place.durable([lacking]))
    assert not place.air.seen
    for machine in place.machines:  # nothing is loaded for what isn't needed
        assert machine.peer.sync.broadcast._givings is None
        assert machine.peer.sync.broadcast._takings is None


def test_a_neighbour_that_knows_no_broadcasts_gets_its_own_copy():
    place = Place(4)
    old = place.receivers[0].keys.static.public
    place.sender.peer.sync._sessions[old]._sending.broadcasts = False
    place.submit(lacking := bundle(1))
    place.run_until(lambda: place.durable([lacking]))
    assert place.counters["broadcasts"] == 1
    assert not place.receivers[0].peer.sync.broadcast.takings._done
    assert place.air.bytes > 2 * WIRE


def test_a_neighbour_out_of_reach_of_broadcasts_gets_it_by_its_link():
    place = Place(4)
    place.air.tamper = lambda source, target, data: (
        None if target == 2 and data[0] == 5 else data
    )
    lacking = [bundle(1), bundle(2)]
    place.submit(lacking[0])
    place.run_until(lambda: place.durable(lacking[:1]))
    assert place.counters["broadcast failed"] == 1
    place.submit(lacking[1])
    place.run_until(
        lambda: place.durable(lacking[1:]), 3.0
    )  # it is left out, so no waiting
    assert held(place, lacking)


def test_a_neighbour_leaves_midway_and_holds_nobody_up():
    place = Place(4, loss=0.2)
    place.submit(lacking := bundle(1))
    place.run_until(lambda: len(place.air.seen) > 20)
    place.part(2)
    rest = [place.receivers[n] for n in (0, 2, 3)]
    place.run_until(lambda: place.durable([lacking], rest), 5.0)
    assert len(place.sender.peer.sync.broadcast.givings) == 0
    assert len(place.receivers[1].peer.sync.broadcast.takings) == 0
    place.meet(0, 2)
    place.run_until(lambda: place.durable([lacking]))
    assert held(place, [lacking])


def test_who_comes_while_it_is_sent_joins_and_gets_it():
    place = Place(5, loss=0.1)
    place.part(5)
    place.run(1)
    place.submit(lacking := bundle(1, 300_000))
    place.run_until(lambda: place.counters["broadcasts"])
    place.meet(0, 5)
    place.run_until(lambda: place.durable([lacking]))
    assert held(place, [lacking])


def test_a_bundle_that_is_recalled_midway_is_sent_no_further():
    place = Place(4)
    value = b"v" * 16
    header = Header(Priority.NORMAL, 4, b"T" * 16, one_way(one_way(value)), 86_400, 1)
    lacking = Bundle.make(header, bytes(WIRE))
    place.submit(lacking)
    place.run_until(lambda: len(place.air.seen) > 20)
    so_far = len(place.air.seen)
    place.sender.peer.sync.add_value(value, 24, place.sender.now)
    place.sender._settle()
    place.run(3)
    assert len(place.air.seen) < so_far + 20
    assert len(place.sender.peer.sync.broadcast.givings) == 0
    for machine in place.receivers:
        assert len(machine.peer.sync.broadcast.takings) == 0
        assert lacking.id not in machine.peer.sync.queue


def test_a_receiver_passes_it_on_as_always():
    place = Place(4)
    place.part(4)
    place.air.deaf = {(0, 4), (4, 0)}
    place.meet(1, 4)
    place.run(5)
    place.submit(lacking := bundle(1))
    place.run_until(lambda: lacking.id in place.machines[4].peer.sync.queue)
    place.run(1)
    (wire,) = place.machines[4].store.wires([lacking.id]).values()
    assert Bundle.parse(wire).header.hops == 2
    assert Bundle.parse(wire).payload == lacking.payload


def test_the_age_counts_on_while_it_is_broadcast():
    place = Place(3, rate=50_000.0)
    place.submit(lacking := bundle(1, 60_000))
    begin = place.loop.now
    place.run_until(lambda: place.durable([lacking]), 100)
    took = place.loop.now - begin
    assert took > 10
    for machine in place.receivers:
        entry = machine.peer.sync.queue.get(lacking.id)
        assert entry.age(machine.now) >= took - 1


def test_a_modem_of_1200_bits_a_second_is_spared_the_copies():
    place = Place(3, rate=1_200.0, limit=250)
    before = place.air.bytes
    place.submit(lacking := bundle(1, 9_000))
    place.run_until(lambda: place.durable([lacking]), 150)
    assert held(place, [lacking])
    assert place.counters == {"broadcasts": 1}
    assert place.air.bytes - before < 1.6 * 9_000


def test_what_is_urgent_passes_between_the_symbols_on_a_slow_medium():
    place = Place(3, rate=9_600.0, limit=250)
    place.submit(lacking := bundle(1, 30_000))
    place.run_until(lambda: len(place.air.seen) > 5)
    place.submit(urgent := bundle(2, 100, Priority.EXPEDITED))
    place.run_until(lambda: place.durable([urgent]), 5)
    assert not place.durable([lacking])
    place.run_until(lambda: place.durable([lacking]))


def test_everybody_linked_with_everybody_is_cheap_too():
    place = Place(5, loss=0.1, mesh=True)
    before = place.air.bytes
    place.submit(lacking := bundle(1))
    place.run_until(lambda: place.durable([lacking]))
    place.run(2)
    assert held(place, [lacking])
    assert place.air.bytes - before < 2 * WIRE


def test_frames_are_as_large_as_the_medium_lets_pass():
    place = Place(3, limit=500)
    place.submit(lacking := bundle(1, 60_000))
    place.run_until(lambda: place.durable([lacking]))
    assert {len(data) for data in place.air.seen} <= set(range(480, 501))
    assert place.air.broadcast_bytes == sum(len(d) + FRAME_HEAD for d in place.air.seen)


def test_a_disk_that_takes_nothing_holds_only_itself_up():
    place = Place(3, loss=0.1)
    slow = place.receivers[0]
    slow.disk_s = 6.0
    place.submit(lacking := bundle(1))
    place.run_until(lambda: place.durable([lacking], place.receivers[1:]), 5.0)
    place.run_until(lambda: place.durable([lacking]), 60.0)
    assert held(place, [lacking])
