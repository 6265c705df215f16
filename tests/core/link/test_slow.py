"""Links over a path that takes seconds for a packet: 240 bit/s, shared by both directions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.link import packet
from meshpeer.core.link.events import Writable
from meshpeer.core.link.path import Path, Traits
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


def test_of_two_that_hear_of_each_other_at_once_one_begins():
    network, alice, bob = radio()
    alice.connect(bob)
    bob.connect(alice)
    assert network.run(60, lambda: bool(alice.ups and bob.ups))
    network.run(200)
    assert kinds(network).count(packet.INITIATION) == 1
    assert kinds(network).count(packet.RESPONSE) == 1
    assert len(alice.ups) == len(bob.ups) == 1
    assert not alice.downs


def test_whoever_alone_has_heard_of_the_other_begins_in_the_end():
    network, alice, bob = radio()
    higher, lower = sorted((alice, bob), key=lambda node: node.endpoint.peer_id)[::-1]
    higher.connect(lower)
    assert not network.run(20, lambda: bool(network.said))
    assert network.run(60, lambda: bool(alice.ups and bob.ups))


def test_who_holds_back_by_a_slow_path_calls_by_a_fast_one_at_once():
    network, alice, bob = radio()
    higher, lower = sorted((alice, bob), key=lambda node: node.endpoint.peer_id)[::-1]
    higher.endpoint.traits_of = lambda path: SLOW if path == lower.path else Traits()
    higher.connect(lower)
    cable = lower.path._replace(address="cable")
    higher.endpoint.connect(lower.endpoint.peer_id, cable, network.now)
    assert [each.path for each in higher.endpoint.outgoing(network.now)] == [cable]


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


def linked_by_radio(rate=RATE, **options):
    network, alice, bob = radio(rate, **options)
    alice.connect(bob)
    assert network.run(100, lambda: bool(alice.ups and bob.ups))
    network.run(60)
    network.said.clear()
    return network, alice, bob


def test_packets_go_with_short_headers_and_small_acknowledgements():
    network, alice, bob = linked_by_radio()
    alice.link_to(bob).write(1, b"x" * 400)
    alice.flush()
    assert network.run(60, lambda: bob.text(bob.link_to(alice), 1) == b"x" * 400)
    network.run(60)
    assert [(name, len(data)) for name, data in network.said] == [
        ("alice", 400 + 7 + 20),
        ("bob", 10 + 20),
    ]
    assert set(kinds(network)) == {packet.SHORT}


def test_an_answer_within_a_second_carries_the_acknowledgement():
    network, alice, bob = linked_by_radio()
    alice.link_to(bob).write(1, b"x" * 400)
    alice.flush()
    assert network.run(60, lambda: bob.text(bob.link_to(alice), 1) == b"x" * 400)
    network.run(0.3)
    bob.link_to(alice).write(0, b"done")
    bob.flush()
    network.run(60)
    assert [name for name, _ in network.said] == ["alice", "bob", "alice"]


def test_much_crosses_with_little_overhead():
    network, alice, bob = linked_by_radio()
    text = bytes(range(256)) * 40
    alice.link_to(bob).write(2, text)
    alice.flush()
    begun = network.now
    assert network.run(600, lambda: bob.text(bob.link_to(alice), 2) == text)
    assert network.now - begun < 1.25 * len(text) * 8 / RATE
    assert sum(len(data) for _, data in network.said) < 1.15 * len(text)
    assert alice.link_to(bob).lost_packets == 0


def test_what_is_urgent_waits_for_two_packets_at_most():
    network, alice, bob = linked_by_radio()
    alice.link_to(bob).write(3, bytes(20_000))
    alice.flush()
    network.run(100)
    alice.link_to(bob).write(1, b"help")
    alice.flush()
    begun = network.now
    assert network.run(100, lambda: bob.text(bob.link_to(alice), 1) == b"help")
    assert network.now - begun < 3.2 * 499 * 8 / RATE


def test_both_sides_may_say_much_at_once():
    network, alice, bob = linked_by_radio()
    text = bytes(4_000)
    alice.link_to(bob).write(2, text)
    bob.link_to(alice).write(2, text)
    alice.flush()
    bob.flush()
    there, back = bob.link_to(alice), alice.link_to(bob)
    assert network.run(
        600, lambda: bob.text(there, 2) == text and alice.text(back, 2) == text
    )
    assert not alice.downs
    assert sum(len(data) for _, data in network.said) < 1.3 * 2 * len(text)


def test_what_is_lost_is_sent_again_and_the_link_stays():
    network, alice, bob = linked_by_radio(loss=0.2)
    text = bytes(range(250)) * 20
    alice.link_to(bob).write(2, text)
    alice.flush()
    assert network.run(2_000, lambda: bob.text(bob.link_to(alice), 2) == text)
    assert not alice.downs
    assert not bob.downs
    assert sum(len(data) for _, data in network.said) < 2.5 * len(text)


def test_an_idle_link_takes_a_hundredth_of_the_air():
    network, alice, bob = linked_by_radio()
    hours = 4
    network.run(hours * 3_600)
    assert alice.endpoint.links
    assert bob.endpoint.links
    assert network.said
    framed = sum(len(data) + 8 for _, data in network.said)
    assert framed * 8 / RATE < 0.011 * hours * 3_600


def test_a_peer_that_falls_silent_is_noticed_all_the_same():
    network, alice, bob = linked_by_radio()
    network.wires["alice", "bob"].cut = True
    network.run(3_600)
    assert alice.downs
    assert bob.downs
    assert sum(len(data) for _, data in network.said) < 500


@pytest.mark.parametrize("rate", [300.0, 1_200.0, 9_600.0, 50_000.0])
def test_any_slow_rate_works(rate):
    network, alice, bob = linked_by_radio(rate)
    text = bytes(3_000)
    alice.link_to(bob).write(2, text)
    alice.flush()
    begun = network.now
    assert network.run(600, lambda: bob.text(bob.link_to(alice), 2) == text)
    assert network.now - begun < 1.3 * len(text) * 8 / rate + 1
    network.run(3_600)
    assert not alice.downs


def test_a_better_path_ends_short_headers_and_whoever_goes_by_the_rate_is_told():
    network, alice, bob = linked_by_radio()
    cable = {"alice": Path("lan", "alice"), "bob": Path("lan", "bob")}
    for node in (alice, bob):
        node.endpoint.traits_of = lambda path: SLOW if path.transport == "sim" else Traits()
    told = []
    alice.on_event = told.append

    def carry(sender, to, data):
        network.said.append((sender.name, data))
        if to.transport == "lan":
            receiver = bob if to.address == "bob" else alice
            network.inject(network.now + 0.001, cable[sender.name], receiver, data)

    network.watch = carry
    assert alice.link_to(bob).rate == RATE
    alice.endpoint.connect(bob.endpoint.peer_id, cable["bob"], network.now)
    alice.flush()
    assert network.run(5, lambda: alice.link_to(bob).path == cable["bob"])
    network.run(1)
    assert alice.link_to(bob).rate is None
    assert Writable(alice.link_to(bob), 1) in told
    network.said.clear()
    alice.link_to(bob).write(1, b"quick")
    alice.flush()
    assert network.run(1, lambda: bob.text(bob.link_to(alice), 1) == b"quick")
    assert packet.SHORT not in kinds(network)


def test_a_cable_that_was_cut_does_not_make_a_modem_fast():
    """What has failed is still proved; it counts no more towards what the link carries."""
    network, alice, bob = linked_by_radio()
    link = alice.link_to(bob)
    lan = Path("lan", "bob")
    alice.endpoint.connect(bob.endpoint.peer_id, lan, network.now)
    way = link._paths.ways[lan]
    way.learn(Traits())
    way.proved = True
    assert link.rate is None
    assert not link.narrow
    way.failed = True
    assert link.rate == RATE
    assert link.narrow
