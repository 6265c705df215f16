"""Links over a path that loses nothing."""

from tests.core.link.pair import Network, linked


def test_two_peers_link_and_talk():
    network = Network()
    alice, bob = network.node("alice"), network.node("bob")
    alice.connect(bob)
    assert network.run(1, lambda: bool(alice.ups and bob.ups))
    link, other = alice.ups[0], bob.ups[0]
    assert link.binding == other.binding
    assert link.initiator
    assert not other.initiator
    link.write(0, b"hello")
    other.write(2, b"hello to you")
    assert network.run(1, lambda: bool(bob.received and alice.received))
    assert bob.text(other, 0) == b"hello"
    assert alice.text(link, 2) == b"hello to you"


def test_much_arrives_whole_and_in_order():
    network = Network()
    alice, bob = linked(network)
    data = network.random.randbytes(5_000_000)
    alice.ups[0].write(3, data)
    assert network.run(60, lambda: len(bob.text(bob.ups[0], 3)) == len(data))
    assert bob.text(bob.ups[0], 3) == data
