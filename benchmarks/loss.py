"""Goodput on a path that loses at random: 20 Mbit/s, 50 ms, the real core on a simulated path.

Time is virtual, so the figures are the same on every machine; each is the worse of two seeds. The
bottleneck's queue holds twice what fills the path. `fairness` is the smaller over the larger
goodput of two flows through one bottleneck without random loss, the second starting two seconds
later.
"""

from tests.core.link.pair import Network, Node, Wire

RATE = 20e6
ONE_WAY = 0.025
QUEUE = int(2 * RATE / 8 * 2 * ONE_WAY)
SECONDS = 15.0
SEEDS = (1, 2)
LOSSES = (0.0, 0.02, 0.1, 0.2)
CHUNK = 262_144


def network(seed: int, loss: float) -> Network:
    """A network whose wires all have that loss."""
    made = Network(seed)
    made.default = Wire(latency=ONE_WAY, rate=RATE, queue=QUEUE, loss=loss)
    return made


def flow(net: Network, sender: Node, receiver: Node) -> None:
    """Link the two and keep the sender's stream full from now on."""
    before = len(receiver.ups)
    sender.connect(receiver)
    assert net.run(10, lambda: len(receiver.ups) > before and bool(sender.endpoint.links))

    def feed(event: object = None) -> None:
        for link in sender.endpoint.links.values():
            while link.buffered(3) <= CHUNK:
                link.write(3, bytes(CHUNK))

    sender.on_event = feed
    feed()


def came(node: Node) -> int:
    """Bytes that this node has read."""
    return sum(len(data) for data in node.received.values())


def share(loss: float, seed: int) -> float:
    """Goodput over the link's rate, from a cold start."""
    net = network(seed, loss)
    alice, bob = net.node("alice"), net.node("bob")
    flow(net, alice, bob)
    net.run(SECONDS)
    return came(bob) * 8 / SECONDS / RATE


def fairness(seed: int) -> float:
    """Two flows of different ages through one bottleneck."""
    net = network(seed, 0.0)
    alice, bob, carol, dave = (net.node(name) for name in ("alice", "bob", "carol", "dave"))
    net.wires["carol", "dave"] = net.wire("alice", "bob")
    flow(net, alice, bob)
    net.run(2)
    flow(net, carol, dave)
    before = came(bob), came(dave)
    net.run(SECONDS)
    gained = came(bob) - before[0], came(dave) - before[1]
    return min(gained) / max(gained)


def main() -> dict[str, float]:
    """Give the worst share at each loss, and the worst fairness."""
    figures = {}
    print(f"{'loss':>10} {'worst':>7} {'best':>7}")
    for loss in LOSSES:
        shares = [share(loss, seed) for seed in SEEDS]
        print(f"{loss:>10.0%} {min(shares):>7.3f} {max(shares):>7.3f}", flush=True)
        figures[f"share_{loss * 100:.0f}"] = round(min(shares), 3)
    found = [fairness(seed) for seed in SEEDS]
    print(f"{'fairness':>10} {min(found):>7.3f} {max(found):>7.3f}")
    figures["fairness"] = round(min(found), 3)
    return figures
