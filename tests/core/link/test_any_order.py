"""Any verb at any time: no exception, and once the network is well again one usable link."""

from hypothesis import given, settings
from hypothesis import strategies as st

from meshpeer.core.link.config import LinkConfig
from meshpeer.core.link.path import Path
from tests.core.link.pair import Network, Node, Wire

CONFIG = LinkConfig(renew_packets=50, stream_window=20_000, link_window=30_000)


def connect(network: Network, node: Node, other: Node) -> None:
    node.connect(other)


def begin_elsewhere(network: Network, node: Node, other: Node) -> None:
    path = Path("sim", "nowhere")
    node.endpoint.connect(other.endpoint.peer_id, path, network.now)


def write(network: Network, node: Node, other: Node) -> None:
    for link in list(node.endpoint.links.values()):
        link.write(network.random.randrange(20), network.random.randbytes(3_000))
    node.flush()


def finish(network: Network, node: Node, other: Node) -> None:
    for link in list(node.endpoint.links.values()):
        link.write(40, b"end")
        link.close("enough")
    node.flush()


def stop_reading(network: Network, node: Node, other: Node) -> None:
    node.reads = not node.reads


def lose_path(network: Network, node: Node, other: Node) -> None:
    node.endpoint.path_lost(other.path, network.now)
    node.flush()


def restart(network: Network, node: Node, other: Node) -> None:
    node.restart()


def move(network: Network, node: Node, other: Node) -> None:
    node.address = node.name if node.address != node.name else f"{node.name} away"


def cut(network: Network, node: Node, other: Node) -> None:
    network.wire(node.address, other.address).cut ^= True


def make_worse(network: Network, node: Node, other: Node) -> None:
    wire = network.wire(node.address, other.address)
    wire.loss, wire.jitter, wire.duplicate = 0.3, 0.05, 0.3


def wait_a_little(network: Network, node: Node, other: Node) -> None:
    network.run(0.003)


def wait(network: Network, node: Node, other: Node) -> None:
    network.run(1)


def wait_long(network: Network, node: Node, other: Node) -> None:
    network.run(35)


def jump(network: Network, node: Node, other: Node) -> None:
    network.now += 10_000


VERBS = [
    *(connect, begin_elsewhere, write, finish, stop_reading, lose_path, restart),
    *(move, cut, make_worse, wait_a_little, wait, wait_long, jump),
]


STEPS = st.lists(st.tuples(st.sampled_from(VERBS), st.booleans()), max_size=40)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**16), STEPS)
def test_one_usable_link_whatever_happened_before(seed, steps):
    network = Network(seed)
    alice, bob = network.node("alice", CONFIG), network.node("bob", CONFIG)
    for verb, first in steps:
        verb(network, *((alice, bob) if first else (bob, alice)))
    network.wires.clear()
    network.default = Wire()
    alice.reads = bob.reads = True
    network.run(100)
    for _ in range(3):
        alice.connect(bob)
        bob.connect(alice)
        network.run(3)
    ours, theirs = alice.link_to(bob), bob.link_to(alice)
    assert ours.binding == theirs.binding
    assert alice.endpoint.pending == bob.endpoint.pending == 0 or network.run(7) is False
    before = len(bob.text(theirs, 9)), len(alice.text(ours, 9))
    ours.write(9, b"to bob")
    theirs.write(9, b"to alice")
    network.run(5)
    assert bob.text(theirs, 9)[before[0] :] == b"to bob"
    assert alice.text(ours, 9)[before[1] :] == b"to alice"
