"""Links over paths that lose, reorder, repeat, and are narrow."""

import pytest

from meshpeer.core.link.config import LinkConfig
from meshpeer.core.link.path import Traits
from meshpeer.core.link.streams import LOW_WATER
from meshpeer.errors import LocalProtocolError
from tests.core.link.pair import Network, Wire, linked


@pytest.mark.parametrize("seed", range(6))
def test_all_arrives_once_over_a_path_that_does_its_worst(seed):
    network = Network(seed)
    network.default = Wire(
        latency=0.02, rate=10e6, loss=0.2, jitter=0.02, duplicate=0.2, queue=60_000
    )
    alice, bob = network.node("alice"), network.node("bob")
    alice.connect(bob)
    assert network.run(20, lambda: bool(alice.ups and bob.ups))
    sent = {number: network.random.randbytes(200_000) for number in (0, 1, 3, 16, 17)}
    for number, data in sent.items():
        for at in range(0, len(data), 777):
            alice.ups[0].write(number, data[at : at + 777])
        alice.ups[0].finish(number)
        bob.ups[0].write(number, data[::-1])
    link, other = alice.ups[0], bob.ups[0]
    assert network.run(
        60,
        lambda: all(
            bob.text(other, number) == data and alice.text(link, number) == data[::-1]
            for number, data in sent.items()
        ),
    )
    assert all(other.ended(number) for number in sent)
    assert not link.ended(0)
    assert alice.downs == bob.downs == []


def test_a_single_lost_packet_is_sent_again_within_a_few_round_trips():
    network = Network()
    network.default = Wire(latency=0.02)
    alice, bob = linked(network)
    network.run(1)
    wire = network.wire("alice", "bob")
    wire.cut = True
    alice.ups[0].write(1, b"the last word")
    network.run(0.001)
    wire.cut = False
    assert network.run(0.3, lambda: bob.text(bob.ups[0], 1) == b"the last word")


def test_a_low_number_overtakes_and_high_numbers_share():
    network = Network()
    network.default = Wire(latency=0.01, rate=4e6)
    alice, bob = linked(network)
    link, other = alice.ups[0], bob.ups[0]
    link.write(17, bytes(400_000))
    link.write(18, bytes(400_000))
    network.run(0.5)
    shared = len(bob.text(other, 17)), len(bob.text(other, 18))
    assert min(shared) > 0.8 * max(shared)
    link.write(3, bytes(20_000))
    link.write(0, b"first of all")
    network.run(0.1)
    assert bob.text(other, 0) == b"first of all"
    assert network.run(0.2, lambda: len(bob.text(other, 3)) == 20_000)
    assert len(bob.text(other, 17)) < 400_000


def test_what_nobody_reads_stops_the_sender_and_reading_starts_it_again():
    config = LinkConfig(stream_window=50_000, link_window=80_000)
    network = Network()
    alice, bob = network.node("alice", config), network.node("bob", config)
    alice.connect(bob)
    network.run(1)
    bob.reads = False
    link, other = alice.ups[0], bob.ups[0]
    link.write(3, bytes(200_000))
    link.write(2, bytes(200_000))
    network.run(5)
    assert link.buffered(2) == 150_000
    assert link.buffered(3) == 170_000
    assert len(other.read(2, 1_000)) == 1_000
    bob.reads = True
    for number in (2, 3):
        bob.received[other, number] = bytearray(other.read(number))
    bob.flush()
    assert network.run(
        10, lambda: len(bob.text(other, 2)) + len(bob.text(other, 3)) == 399_000
    )


def test_writable_tells_when_little_waits_again():
    network = Network()
    alice, bob = linked(network)
    told = []
    alice.on_event = lambda event: told.append((event, alice.ups[0].buffered(3)))
    alice.ups[0].write(3, bytes(LOW_WATER))
    network.run(1)
    assert told == []
    alice.ups[0].write(3, bytes(3 * LOW_WATER))
    network.run(5)
    ((event, waiting),) = told
    assert (event.link, event.stream) == (alice.ups[0], 3)
    assert waiting <= LOW_WATER
    assert len(bob.text(bob.ups[0], 3)) == 4 * LOW_WATER


@pytest.mark.parametrize("limit", [256, 508, 1_452])
def test_no_datagram_exceeds_what_the_path_declares(limit):
    network = Network()
    network.default = Wire(mtu=limit)
    alice, bob = network.node("alice"), network.node("bob")
    traits = Traits(payload_limit=limit)
    alice.endpoint.traits_of = bob.endpoint.traits_of = lambda _: traits
    sizes = set()
    network.watch = lambda sender, to, data: sizes.add(len(data))
    alice.connect(bob)
    network.run(1)
    alice.ups[0].write(3, bytes(100_000))
    for number in range(1_000):
        bob.ups[0].write(number % 5, bytes(number % 300))
    assert network.run(5, lambda: len(bob.text(bob.ups[0], 3)) == 100_000)
    assert max(sizes) <= limit


def test_small_objects_share_packets():
    network = Network()
    alice, bob = linked(network)
    network.run(1)
    before = alice.sent_packets, alice.sent_bytes
    for _ in range(1_000):
        alice.ups[0].write(2, bytes(402))
    assert network.run(2, lambda: len(bob.text(bob.ups[0], 2)) == 402_000)
    assert alice.sent_packets - before[0] < 300
    assert (alice.sent_bytes - before[1]) / 1_000 < 415


def test_a_finished_stream_takes_no_more():
    network = Network()
    alice, bob = linked(network)
    link = alice.ups[0]
    link.write(5, b"all of it")
    link.finish(5)
    with pytest.raises(LocalProtocolError):
        link.write(5, b"more")
    network.run(1)
    assert bob.text(bob.ups[0], 5) == b"all of it"
    assert bob.ups[0].ended(5)


def test_numbers_of_streams_are_bounded():
    network = Network()
    alice, _ = linked(network)
    for number in (-1, 65_536):
        with pytest.raises(LocalProtocolError):
            alice.ups[0].write(number, b"x")


@pytest.mark.parametrize("rate", [9_600.0, 100e6])
def test_slow_and_fast_paths_are_filled(rate):
    network = Network()
    network.default = Wire(latency=0.01, rate=rate, queue=int(max(rate / 8 * 0.2, 6_000)))
    alice, bob = linked(network)
    seconds = 60 if rate < 1e6 else 3
    alice.ups[0].write(3, bytes(int(rate / 8 * seconds)))
    network.run(seconds)
    assert len(bob.text(bob.ups[0], 3)) > 0.6 * rate / 8 * seconds
    assert alice.downs == []


def test_a_path_that_declares_to_be_slow_is_filled_and_not_flooded():
    network = Network()
    network.default = Wire(latency=0.5, rate=9_600, queue=4_000)
    alice, bob = network.node("alice"), network.node("bob")
    traits = Traits(payload_limit=508, rate=9_600.0)
    alice.endpoint.traits_of = bob.endpoint.traits_of = lambda _: traits
    alice.connect(bob)
    assert network.run(10, lambda: bool(alice.ups and bob.ups))
    alice.ups[0].write(3, bytes(72_000))
    network.run(60)
    assert len(bob.text(bob.ups[0], 3)) > 0.8 * 72_000
    assert alice.ups[0].lost_packets < 10


def seconds_for(network, alice, bob, size):
    """How long it takes to bring so many bytes over."""
    start, before = network.now, len(bob.text(bob.ups[0], 3))
    alice.ups[0].write(3, bytes(size))
    assert network.run(60, lambda: len(bob.text(bob.ups[0], 3)) == before + size)
    return network.now - start


def test_a_link_that_was_idle_or_said_little_is_as_fast_as_a_busy_one():
    network = Network()
    network.default = Wire(latency=0.01, rate=50e6, queue=200_000)
    alice, bob = linked(network)
    fresh = seconds_for(network, alice, bob, 2_000_000)
    network.run(1_800)
    assert seconds_for(network, alice, bob, 2_000_000) < 1.2 * fresh
    for number in range(500):
        alice.ups[0].write(0, bytes(number % 100))
        network.run(0.05)
    assert seconds_for(network, alice, bob, 2_000_000) < 1.2 * fresh
