"""One link over several paths at once: what is gained, and that nothing is lost by it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshpeer.core.link.path import Datagram, Path, Traits
from meshpeer.core.link.paths import PATHS_LIMIT
from tests.core.link.pair import Network, Node, Wire, linked

MB = 1_000_000


def medium(path: Path) -> Traits:
    """Each cable is a medium of its own; what has no cable is the first."""
    return Traits(medium=str(path.address).partition("@")[2])


def joined(
    network: Network, *further: Wire, traits_of=medium, both: bool = False
) -> tuple[Node, Node]:
    """Two nodes, linked by a first cable and then by further ones, that one or both know of."""
    alice, bob = network.node("alice"), network.node("bob")
    alice.endpoint.traits_of = bob.endpoint.traits_of = traits_of
    alice.connect(bob)
    assert network.run(20, lambda: bool(alice.ups and bob.ups))
    for number, wire in enumerate(further, 2):
        cable = str(number)
        for one, other in ((alice, bob), (bob, alice)):
            one.plug(cable)
            network.wires[f"{one.name}@{cable}", f"{other.name}@{cable}"] = Wire(
                **vars(wire)
            )
        alice.endpoint.connect(bob.endpoint.peer_id, to(bob, cable), network.now)
        if both:
            bob.endpoint.connect(alice.endpoint.peer_id, to(alice, cable), network.now)
    network.run(2)
    return alice, bob


def to(node: Node, cable: str) -> Path:
    return Path("sim", node.cables[cable])


def seconds_for(network: Network, sender: Node, receiver: Node, size: int) -> float:
    """How long so many bytes take, written as fast as the link asks for them."""
    start, link, left = network.now, sender.ups[0], size
    before = came(receiver)

    def feed(event: object = None) -> None:
        nonlocal left
        while left and link.buffered(6) <= 262_144:
            link.write(6, bytes(min(left, 65_536)))
            left -= min(left, 65_536)

    sender.on_event = feed
    feed()
    assert network.run(120, lambda: came(receiver) == before + size)
    return network.now - start


def came(receiver: Node) -> int:
    """Bytes that came on the stream for bulk."""
    return len(receiver.received.get((receiver.ups[0], 6), b""))


def carried(network: Network, sender: Node, receiver: Node, cable: str = "") -> int:
    """Bytes that one cable brought in one direction."""
    if cable:
        return network.wire(sender.cables[cable], receiver.cables[cable]).carried
    return network.wire(sender.address, receiver.address).carried


def lan(rate: float = 100e6, latency: float = 0.0005, **more) -> Wire:
    return Wire(latency=latency, rate=rate, queue=int(rate / 8 * 0.05) + 10_000, **more)


def test_two_cables_carry_nearly_twice_as_much_in_both_directions():
    network = Network()
    network.default = lan()
    alice, bob = joined(network, lan())
    for sender, receiver in ((alice, bob), (bob, alice)):
        seconds = seconds_for(network, sender, receiver, 20 * MB)
        assert 20 * MB * 8 / seconds > 0.85 * 200e6
        assert carried(network, sender, receiver, "2") > 5 * MB
        assert carried(network, sender, receiver) > 5 * MB
    assert alice.downs == bob.downs == []


def test_two_paths_over_one_medium_are_not_used_at_once():
    network = Network()
    network.default = lan()
    alice, bob = joined(network, lan(), traits_of=lambda path: Traits(medium="eth0"))
    seconds_for(network, alice, bob, 5 * MB)
    assert carried(network, alice, bob, "2") < 10_000
    assert len(alice.ups[0].paths) == len(bob.ups[0].paths) == 2


def test_a_dearer_path_carries_no_bulk():
    network = Network()
    network.default = lan()
    dear = lambda path: medium(path)._replace(cost=len(str(path.address)) // 5)  # noqa: E731
    alice, bob = joined(network, lan(), traits_of=dear)
    seconds_for(network, alice, bob, 5 * MB)
    assert carried(network, alice, bob, "2") < 10_000


@pytest.mark.parametrize("latency", [0.005, 0.03])
def test_a_slower_path_helps_as_much_as_it_can_and_never_harms(latency):
    alone = Network()
    alone.default = lan(40e6, 0.005)
    expected = seconds_for(alone, *joined(alone), 20 * MB)
    network = Network()
    network.default = lan(40e6, 0.005)
    alice, bob = joined(network, lan(20e6, latency))
    seconds = seconds_for(network, alice, bob, 20 * MB)
    assert seconds < 0.85 * expected
    assert carried(network, alice, bob, "2") > 2 * MB


def test_a_modem_beside_a_cable_gets_nothing_and_holds_nothing_up():
    alone = Network()
    alone.default = lan()
    expected = seconds_for(alone, *joined(alone), 10 * MB)
    network = Network()
    network.default = lan()

    def traits(path):
        slow = str(path.address).endswith("@2")
        return (
            medium(path)._replace(rate=1_200.0, payload_limit=508) if slow else medium(path)
        )

    alice, bob = joined(network, Wire(latency=0.3, rate=1_200.0), traits_of=traits)
    network.run(30)
    assert len(alice.ups[0].paths) == 2
    assert seconds_for(network, alice, bob, 10 * MB) < 1.05 * expected
    assert carried(network, alice, bob, "2") < 1_000


def test_paths_of_different_delay_look_neither_lossy_nor_urgent():
    alone = Network()
    alone.default = lan(50e6, 0.004)
    one, other = joined(alone)
    seconds_for(alone, one, other, 10 * MB)
    network = Network()
    network.default = lan(50e6, 0.004)
    alice, bob = joined(network, lan(50e6, 0.012))
    before = bob.sent_packets
    seconds_for(network, alice, bob, 10 * MB)
    assert carried(network, alice, bob, "2") > 2 * MB
    assert bob.sent_packets - before < 2 * other.sent_packets
    assert bob.sent_packets - before < 10 * MB / 1_400 / 8
    dropped = alice.ups[0].lost_packets
    assert dropped < 0.02 * 10 * MB / 1_400


def test_messages_go_by_the_quicker_path():
    network = Network()
    network.default = lan(latency=0.02)
    alice, bob = joined(network, lan(latency=0.001))
    assert alice.ups[0].path == to(bob, "2")
    before = carried(network, alice, bob)
    for _ in range(20):
        alice.ups[0].write(0, b"a few words")
        network.run(0.2)
    assert carried(network, alice, bob) == before


def set_cut(network: Network, alice: Node, bob: Node, cable: str, cut: bool) -> None:
    if cable:
        ends = alice.cables[cable], bob.cables[cable]
    else:
        ends = alice.address, bob.address
    for pair in (ends, ends[::-1]):
        network.wire(*pair).cut = cut


@pytest.mark.parametrize("cable", ["", "2"])
def test_a_cable_that_is_cut_costs_a_moment_and_is_used_again_once_it_is_back(cable):
    network = Network()
    network.default = lan()
    alice, bob = joined(network, lan())
    link = alice.ups[0]
    data = network.random.randbytes(12 * MB)
    link.write(6, data)
    network.run(0.1)
    set_cut(network, alice, bob, cable, True)
    before = came(bob)
    network.run(0.5)
    assert came(bob) - before > 0.6 * 0.5 * 100e6 / 8
    set_cut(network, alice, bob, cable, False)
    assert network.run(10, lambda: came(bob) == len(data))
    assert bob.text(bob.ups[0], 6) == data
    network.run(10)
    before = carried(network, alice, bob, cable)
    seconds_for(network, alice, bob, 8 * MB)
    assert carried(network, alice, bob, cable) - before > 2 * MB
    assert alice.downs == bob.downs == []


def test_what_only_comes_is_answered_by_the_path_that_works():
    """Bob sends nothing but acknowledgements, and the path that he likes best is cut."""
    network = Network()
    network.default = lan(10e6)
    alice, bob = joined(network, lan(10e6), both=True)
    for ends in (("bob", "alice"), ("alice", "bob")):
        network.wire(*ends).cut = True
    assert seconds_for(network, alice, bob, 2 * MB) < 3.5
    assert alice.downs == bob.downs == []


def test_a_path_that_the_transport_calls_gone_is_left_with_all_that_was_under_way():
    network = Network()
    network.default = lan()
    alice, bob = joined(network, lan())
    data = network.random.randbytes(4 * MB)
    alice.ups[0].write(6, data)
    network.run(0.05)
    set_cut(network, alice, bob, "2", True)
    alice.endpoint.path_lost(to(bob, "2"), network.now)
    alice.flush()
    assert alice.ups[0].paths == [bob.path]
    assert network.run(2, lambda: bob.text(bob.ups[0], 6) == data)


def test_an_idle_link_keeps_no_second_path_warm():
    network = Network()
    alice, bob = joined(network, lan())
    network.run(60)
    before = alice.sent_packets + bob.sent_packets
    network.run(600)
    assert alice.sent_packets + bob.sent_packets - before <= 42


def test_copies_from_elsewhere_bring_no_bulk_there():
    network = Network()
    network.default = lan(20e6)
    alice, bob = joined(network, lan(20e6))
    mallory, spoofed, to_mallory = Path("sim", "mallory@3"), [], []

    def watch(sender, path, data):
        if sender is alice and bob.name in str(path.address):
            network.inject(network.now, mallory, bob, data)
            spoofed.append(len(data))
        if path == mallory:
            to_mallory.append(len(data))

    network.watch = watch
    alice.ups[0].write(6, bytes(MB))
    bob.ups[0].write(6, bytes(MB))
    assert network.run(
        20,
        lambda: came(bob) == came(alice) == MB,
    )
    assert sum(spoofed) > MB
    assert sum(to_mallory) < 5_000
    assert mallory not in bob.ups[0].paths


def test_a_neighbour_can_not_make_us_keep_many_paths():
    network = Network()
    alice, bob = linked(network)
    seal = alice.ups[0]._sealer.seal
    for number in range(100):
        source = Path("sim", f"alice@{number}")
        bob.endpoint.receive([Datagram(source, seal(b"\x04" + bytes(8)))], network.now)
        bob.flush()
    assert len(bob.ups[0]._paths.ways) == PATHS_LIMIT
    assert bob.ups[0].path == alice.path


WIRES = st.builds(
    Wire,
    latency=st.floats(0.0005, 0.2),
    rate=st.floats(2e5, 5e7),
    queue=st.integers(10_000, 200_000),
    loss=st.sampled_from([0.0, 0.0, 0.02, 0.2]),
    jitter=st.sampled_from([0.0, 0.0, 0.01]),
    duplicate=st.sampled_from([0.0, 0.1]),
)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**16),
    WIRES,
    st.lists(WIRES, min_size=1, max_size=3),
    st.lists(st.tuples(st.floats(0.0, 3.0), st.integers(1, 4), st.booleans()), max_size=6),
)
def test_all_arrives_in_order_once_whatever_the_paths_do(seed, first, further, cuts):
    network = Network(seed)
    network.default = first
    alice, bob = joined(network, *further, both=bool(seed & 1))
    link, other = alice.link_to(bob), bob.link_to(alice)
    sent = {number: network.random.randbytes(60_000) for number in (0, 3, 6, 16, 17)}
    for number, data in sent.items():
        link.write(number, data)
        other.write(number, data[::-1])
    for pause, cable, cut in cuts:
        network.run(pause)
        if 2 <= cable <= len(further) + 1:
            set_cut(network, alice, bob, str(cable), cut)
    assert network.run(
        90,
        lambda: all(
            bob.text(other, number) == data and alice.text(link, number) == data[::-1]
            for number, data in sent.items()
        ),
    )
    assert alice.downs == bob.downs == []
