"""What a stranger, a thief of packets, or a neighbour gone bad can do: nothing lasting."""

import os
import sys
from random import Random

import pytest

from meshpeer.core.link import frames, packet
from meshpeer.core.link.config import LinkConfig
from meshpeer.core.link.congestion import WINDOW_LIMIT
from meshpeer.core.link.cookie import CookieJar
from meshpeer.core.link.endpoint import PATHS_TRIED
from meshpeer.core.link.path import Datagram, Path
from meshpeer.core.link.streams import PIECES_LIMIT
from tests.core.link.pair import Network, Wire, linked

MUTATIONS = int(os.environ.get("MESHPEER_MUTATIONS", "10000"))


def mutated(data: bytes, random: Random) -> bytes:
    """The packet with a bit flipped, cut, stretched, spliced, or replaced."""
    body = bytearray(data)
    match random.randrange(5):
        case 0:
            body[random.randrange(len(body))] ^= 1 << random.randrange(8)
        case 1:
            del body[random.randrange(len(body)) :]
        case 2:
            body += random.randbytes(random.randrange(1, 50))
        case 3:
            at = random.randrange(len(body))
            body[at : at + 8] = random.randbytes(8)
        case _:
            body[1:] = random.randbytes(random.randrange(1_500))
    return bytes(body)


def size_of(thing: object, seen: set[int]) -> int:
    """Bytes that an object and all it refers to occupy."""
    if id(thing) in seen or isinstance(thing, type) or callable(thing):
        return 0
    seen.add(id(thing))
    size = sys.getsizeof(thing)
    if isinstance(thing, dict):
        return size + sum(size_of(k, seen) + size_of(v, seen) for k, v in thing.items())
    if isinstance(thing, list | tuple | set | frozenset):
        return size + sum(size_of(each, seen) for each in thing)
    names = [*getattr(thing, "__dict__", ())]
    for cls in type(thing).__mro__:
        names += getattr(cls, "__slots__", ())
    return size + sum(size_of(getattr(thing, name, None), seen) for name in names)


def test_mutated_packets_into_a_live_pair_change_nothing():
    network = Network()
    recorded: list[bytes] = []
    network.watch = lambda sender, to, data: recorded.append(data)
    alice, bob = linked(network)
    for number in range(50):
        alice.ups[0].write(number % 4, bytes(number * 20))
        bob.ups[0].write(1, b"answer")
        network.run(0.05)
    network.run(40)
    network.watch = lambda sender, to, data: None
    random = Random(7)
    sources = [alice.path, bob.path, Path("sim", "mallory")]
    before = 0
    link, other = alice.ups[0], bob.ups[0]
    for _ in range(20):
        for _ in range(MUTATIONS // 20):
            data = mutated(random.choice(recorded), random)
            node = random.choice((alice, bob))
            node.endpoint.receive([Datagram(random.choice(sources), data)], network.now)
        network.run(8)
        size = size_of(alice.endpoint, set()) + size_of(bob.endpoint, set())
        before = before or size
    assert size < before + 20_000
    assert (alice.downs, bob.downs, alice.ups, bob.ups) == ([], [], [link], [other])
    link.write(0, b"still here")
    network.run(1)
    assert bob.text(other, 0).endswith(b"still here")
    assert other.paths == [alice.path]


def test_every_packet_repeated_ten_times_is_read_once():
    network = Network()
    alice, bob = linked(network)
    network.watch = lambda sender, to, data: [
        network.inject(network.now + 0.01 * n, sender.path, to_node(to), data)
        for n in range(10)
    ]

    def to_node(path):
        return alice if path == alice.path else bob

    alice.ups[0].write(2, bytes(range(256)) * 100)
    network.run(5)
    assert bob.text(bob.ups[0], 2) == bytes(range(256)) * 100


BAD_FRAMES = {
    "unknown type": b"\x7f",
    "ack of what was never sent": frames.ack([(2**31, 2**31 + 5)], 0.0)[:-2] + b"\xff\xff",
    "short ack": frames.ack([(0, 1)], 0.0)[:5],
    "short stream": frames.stream(1, 0, b"abc", fin=False, sized=True)[:-1],
    "past the window": frames.stream(1, 2**30, b"abc", fin=False, sized=False),
    "past the end": frames.stream(1, 0, b"abc", fin=True, sized=True)
    + frames.stream(1, 5, b"abc", fin=False, sized=False),
    "two ends": frames.stream(1, 0, b"abc", fin=True, sized=True)
    + frames.stream(1, 0, b"ab", fin=True, sized=True),
    "too many streams": b"".join(
        frames.stream(number, 0, b"", fin=False, sized=True) for number in range(300)
    ),
    "short limit": frames.LIMIT.pack(frames.MAX_DATA, 5)[:-1],
    "short stream limit": frames.STREAM_LIMIT.pack(frames.MAX_STREAM, 1, 5)[:-1],
    "short nonce": frames.NONCE.pack(frames.PATH_CHALLENGE, bytes(8))[:-1],
    "short close": frames.close("bye")[:-1],
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_a_bad_frame_from_a_neighbour_closes_its_own_link_and_no_other(name):
    network = Network()
    alice, bob = linked(network)
    carol = network.node("carol")
    carol.connect(bob)
    network.run(1)
    network.send(alice, Datagram(bob.path, alice.ups[0]._sealer.seal(BAD_FRAMES[name])))
    network.run(1)
    assert [link.peer_id for link, _ in bob.downs] == [alice.endpoint.peer_id]
    assert list(bob.endpoint.links) == [carol.endpoint.peer_id]
    assert bob.endpoint.counters["malformed"] == 1
    assert len(alice.downs) == 1


@pytest.mark.parametrize("streams", [1, 100])
def test_a_neighbour_can_not_fill_memory_with_crumbs(streams):
    network = Network()
    alice, bob = linked(network)
    link = alice.ups[0]
    for start in range(0, 2 * PIECES_LIMIT, 100):
        crumbs = b"".join(
            frames.stream(
                (start + n) % streams,
                1 + 2 * ((start + n) // streams),
                b"x",
                fin=False,
                sized=True,
            )
            for n in range(100)
        )
        network.send(alice, Datagram(bob.path, link._sealer.seal(crumbs)))
        network.run(0.002)
    network.run(1)
    assert [reason.partition(":")[0] for _, reason in bob.downs] == ["stream"]


def test_challenges_in_a_flood_are_answered_few_at_a_time():
    network = Network()
    alice, bob = linked(network)
    network.run(1)
    link, before = alice.ups[0], bob.sent_packets
    challenge = frames.NONCE.pack(frames.PATH_CHALLENGE, bytes(8))
    batch = [Datagram(alice.path, link._sealer.seal(challenge * 100)) for _ in range(10)]
    bob.endpoint.receive(batch, network.now)
    bob.flush()
    assert bob.sent_packets - before <= 10


@pytest.mark.parametrize(
    "peer_id", [bytes(32), b"\xff" * 32], ids=["low order", "no point"]
)
def test_a_peer_id_that_is_no_key_is_never_tried(peer_id):
    """A beacon, a card or a person at the keyboard can name it."""
    network = Network()
    alice, _ = linked(network)
    alice.endpoint.connect(peer_id, Path("memory", "nowhere"), network.now)
    assert alice.endpoint.counters["refused peer id"] == 1
    assert not alice.endpoint.outgoing(network.now)


def test_a_crowd_from_one_place_does_not_keep_others_from_linking():
    network = Network()
    bob = network.node("bob", LinkConfig(links_limit=4))
    bob.endpoint.group = lambda peer_id, path: path.address[0]
    crowd = [network.node(f"e{n}") for n in range(6)]
    for one in crowd:
        one.connect(bob)
        network.run(0.2)
    assert {link.path.address for link in bob.endpoint.links.values()} == {
        "e0",
        "e1",
        "e2",
        "e3",
    }
    for name in ("ann", "carol", "dave"):
        network.node(name).connect(bob)
        network.run(0.2)
    network.run(1)
    assert {link.path.address for link in bob.endpoint.links.values()} == {
        "e0",
        "ann",
        "carol",
        "dave",
    }


def test_false_paths_to_a_peer_are_tried_few_at_a_time():
    network = Network()
    alice, bob = network.node("alice"), network.node("bob")
    tried: set[Path] = set()
    network.watch = lambda sender, to, data: tried.add(to)
    for port in range(100):
        path = Path("sim", f"nobody at {port}")
        alice.endpoint.connect(bob.endpoint.peer_id, path, network.now)
    alice.flush()
    network.run(5)
    assert len(tried) == PATHS_TRIED


def test_a_forged_cookie_brings_one_packet_to_where_it_came_from():
    network = Network()
    alice, bob = network.node("alice"), network.node("bob")
    first: list[bytes] = []
    network.watch = lambda sender, to, data: first.append(data)
    for port in range(8):
        path = Path("sim", f"nobody at {port}")
        alice.endpoint.connect(bob.endpoint.peer_id, path, network.now)
    alice.flush()
    mac1_key = packet.mac1_key(bob.endpoint.peer_id)
    jar = CookieJar(bob.endpoint.peer_id, now=0.0, rng=Random(1).randbytes)
    asked = packet.parse_initiation(first[0], mac1_key)
    said = len(first)
    for place in ("nobody at 3", "elsewhere"):
        cookie = jar.reply(asked, Path("sim", place), 0.0)
        alice.endpoint.receive([Datagram(Path("sim", place), cookie)], network.now)
    alice.flush()
    assert len(first) - said == 1


def test_links_that_crossed_ours_are_parked_one_for_each_peer():
    network = Network()
    alice, bob = linked(network)
    alice, bob = sorted((alice, bob), key=lambda node: node.endpoint.peer_id)
    network = Network()
    low, high = network.node(alice.name), network.node(bob.name)
    low.connect(high)
    network.run(0.5)
    for _ in range(5):
        link = high.endpoint._links.pop(low.endpoint.peer_id)
        high.connect(low)
        network.run(0.004)
        assert len(low.endpoint._parked) <= 1
        high.endpoint._links[low.endpoint.peer_id] = link
    assert low.endpoint._parked


def test_a_neighbour_with_a_huge_window_that_answers_late_makes_us_hold_little():
    network = Network()
    network.default = Wire(latency=0.5)
    greedy = LinkConfig(link_window=2**32 - 1, stream_window=2**32 - 1)
    alice, mallory = network.node("alice"), network.node("mallory", greedy)
    alice.connect(mallory)
    assert network.run(5, lambda: bool(alice.ups and mallory.ups))
    link, most = alice.ups[0], 0

    def feed(event: object = None) -> None:
        nonlocal most
        most = max(most, link._sender.recovery.in_flight)
        while link.buffered(6) <= 262_144:
            link.write(6, bytes(65_536))

    alice.on_event = feed
    feed()
    assert network.run(25, lambda: most > WINDOW_LIMIT // 2)
    network.run(3)
    assert most <= 1.1 * WINDOW_LIMIT
