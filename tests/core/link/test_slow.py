"""Links over a path that takes seconds for a packet: 240 bit/s, shared by both directions."""

from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.link import packet
from meshpeer.core.link.path import Traits
from tests.core.link.pair import Network, Wire

ids = st.binary(min_size=4, max_size=4)
RATE = 240.0
"""What a line of 300 bit/s carries with a start and a stop bit."""
SLOW = Traits(payload_limit=499, rate=RATE, cost=1_000)


def radio(rate=RATE, **options):
    """Two nodes on one frequency: who speaks keeps the other waiting."""
    network = Network()
    nodes = [network.node(name) for name in ("alice", "bob")]
    air = Wire(rate=rate, latency=0.05, **options)
    network.wires["alice", "bob"] = network.wires["bob", "alice"] = air
    for node in nodes:
        node.endpoint.traits_of = lambda path: SLOW._replace(rate=rate)
    network.said = []
    network.watch = lambda sender, to, data: network.said.append((sender.name, data))
    return network, *nodes


def kinds(network):
    """The types of all packets so far, without flags."""
    return [data[0] & ~3 if data[0] & 0x40 else data[0] for _, data in network.said]


def test_a_handshake_takes_three_packets():
    network, alice, bob = radio()
    alice.connect(bob)
    assert network.run(60, lambda: bool(alice.ups and bob.ups))
    assert kinds(network)[:2] == [packet.INITIATION, packet.RESPONSE]
    network.run(100)
    assert kinds(network).count(packet.INITIATION) == 1
    assert kinds(network).count(packet.RESPONSE) == 1


def test_two_that_begin_at_once_send_three_packets_of_a_handshake():
    network, alice, bob = radio()
    alice.connect(bob)
    bob.connect(alice)
    assert network.run(60, lambda: bool(alice.ups and bob.ups))
    network.run(200)
    assert kinds(network).count(packet.INITIATION) <= 3
    assert kinds(network).count(packet.RESPONSE) == 1
    assert len(alice.ups) == len(bob.ups) == 1
    assert not alice.downs


def test_a_peer_that_is_not_there_costs_three_packets():
    network, alice, bob = radio(cut=True)
    alice.connect(bob)
    network.run(3_600)
    assert kinds(network) == [packet.INITIATION] * 3
    assert alice.endpoint.next_wakeup() is None


def test_a_slow_path_beside_a_fast_one_keeps_its_own_pace():
    """Called by both: the fast one is tried often, the slow one seldom, and longer."""
    network, alice, bob = radio()
    alice.endpoint.traits_of = lambda path: SLOW if path == bob.path else Traits()
    nobody = bob.path._replace(address="nobody")
    network.wires["alice", "bob"].cut = True
    alice.connect(bob)
    alice.endpoint.connect(bob.endpoint.peer_id, nobody, network.now)
    network.run(20)
    assert kinds(network) == [packet.INITIATION] * 7
    network.wires["alice", "bob"].cut = False
    assert network.run(60, lambda: bool(alice.ups and bob.ups))


@given(
    st.integers(0, 2**33),
    st.integers(-0x8000, 0x7FFF),
    st.binary(min_size=4, max_size=4),
    st.binary(min_size=17, max_size=80),
    st.integers(0, 3),
)
def test_a_shortened_packet_is_read_whole_again(expected, ahead, connection, sealed, flags):
    """Five bytes are saved, and found again wherever the counter is near the expected one."""
    counter = max(0, expected + ahead)
    header = packet.DATA_HEADER.pack(packet.DATA | flags, connection, counter & 0xFFFFFFFF)
    short = packet.shorten(header + sealed)
    assert len(short) == len(header + sealed) - 5
    assert short[0] & ~3 == packet.SHORT
    assert packet.lengthen(short, connection, expected) == header + sealed


@given(st.binary(min_size=4, max_size=80), ids, st.integers(0, 2**33))
def test_any_short_packet_becomes_one_packet(noise, connection, expected):
    whole = packet.lengthen(bytes((packet.SHORT,)) + noise[1:], connection, expected)
    assert whole[0] == packet.DATA
    assert whole[1:5] == connection
    assert packet.shorten(whole)[2:] == noise[2:]
