"""Mutated packets into a live peer: no fault, no growth, no write, and its links go on."""

import os
import sqlite3
from contextlib import ExitStack, closing
from functools import partial
from random import Random

import pytest

from meshpeer.core.formats.beacon import Beacon
from meshpeer.core.identity.idtext import decode
from meshpeer.core.link import frames
from meshpeer.core.sync.varint import varint
from tests.namespaces import inside
from tests.system.daemon import LOOPBACK
from tests.system.fuzz import WHOLE, Tap, signed, spoil, udp
from tests.system.intruder import Intruder
from tests.vectors.build import bundles

pytestmark = pytest.mark.system
MUTATIONS = int(os.environ.get("MESHPEER_MUTATIONS", "5000"))
UDP_PORT, BEACON_PORT = 6374, 6375
TARGET, NEAR = "192.0.2.1", "192.0.2.2"
SOURCES = [f"192.0.2.{number}" for number in range(10, 30)]
"""Addresses of the attacker: what one host may say to the beacon port is limited."""
AT_ONCE = 40
"""Packets between two questions to the API, so that none is lost for lack of room."""
GROWTH = 8 << 20
"""Bytes that memory may grow in the second half, after the first filled what is bounded."""
OBJECTS_A_LINK = 10
"""Bad manners close a link sooner or later; so each has few objects to say."""
SMALL_QUEUE = 1 << 20
SMALL = f"[queue]\nbytes = {SMALL_QUEUE}\n"


@pytest.fixture
def siege(bridge, daemon):
    """A peer that finds others by itself, a friend linked with it by a tap, and the tap."""
    home, away = bridge.add_host(f"{TARGET}/24"), bridge.add_host(f"{NEAR}/24")
    for source in SOURCES:
        bridge.ip(away, "address", "add", f"{source}/24", "dev", "eth0")
    ann = daemon("ann", namespace=home, settings=SMALL).start()
    bob = daemon("bob", namespace=away, settings=LOOPBACK).start()
    ann.knows(bob)
    bob.knows(ann)
    tap = Tap(away, NEAR, (TARGET, UDP_PORT))
    try:
        bob.api.post("peers", body={"peer": ann.peer, "address": tap.address})
        ann.linked_with(bob)
        for one, other in ((ann, bob), (bob, ann)):
            talk(one, other)
        yield ann, bob, tap, away
    finally:
        tap.close()


def talk(one, other):
    """A message with its receipt."""
    (message,) = one.send(other, "are you there?")
    one.hear("state", id=message, state="arrived")


def content(database):
    """What is in each table, but for the index, which is made of the others."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        tables = [
            name
            for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
            if not name.startswith("search_")
        ]
        return {name: db.execute(f"SELECT * FROM {name}").fetchall() for name in tables}  # noqa: S608


def resident(pid):
    """Bytes of memory that a process holds."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def counted(peer, *parts):
    """How much was dropped, refused or heard as a beacon by these parts."""
    counters = peer.status()["counters"]
    return sum(
        count
        for name, count in counters.items()
        if name.startswith(parts) and name != "lan.sent"
    )


def test_spoilt_packets_do_nothing(siege):
    ann, bob, tap, away = siege
    ann_id, bob_id = decode(ann.peer), decode(bob.peer)
    random = Random(7)
    packets = list(tap.heard)
    beacons = [
        Beacon.of(peer, nonce=random.randbytes(8), port=port, hidden=hidden).encode()
        for peer in (ann_id, bob_id, random.randbytes(32))
        for port in (UDP_PORT, 9)
        for hidden in (True, False)
    ]
    with ExitStack() as stack:
        with inside(away):
            sources = [stack.enter_context(udp(source)) for source in SOURCES]

        def throw(count):
            """Send so many spoilt packets, from the friend's own address too."""
            for number in range(count):
                if random.random() < 0.2:
                    data, port = random.choice(beacons), BEACON_PORT
                    source = random.choice(sources)
                else:
                    data, port = random.choice(packets), UDP_PORT
                    source = random.choice((tap.outer, *sources))
                if random.random() > WHOLE:
                    data = spoil(data, packets, random)
                if random.random() < 0.5:
                    data = signed(data, ann_id)
                source.sendto(data, (TARGET, port))
                if number % AT_ONCE == 0:
                    ann.status()

        before, held = content(ann.state.database), counted(ann, "link.", "lan.")
        throw(MUTATIONS // 2)
        full = resident(ann.status()["pid"])
        throw(MUTATIONS - MUTATIONS // 2)
        assert resident(ann.status()["pid"]) < full + GROWTH
        assert counted(ann, "link.", "lan.") - held > MUTATIONS * 0.9
    assert content(ann.state.database) == before
    ups = [event for event in ann.history() if event.kind == "link"]
    assert len(ups) == 1, "the friend's link never broke"
    talk(bob, ann)
    talk(ann, bob)
    bob.stop()
    ann.stop()


@pytest.fixture
def intruder(siege):
    """A neighbour of Ann's that has gone bad."""
    ann, _, _, away = siege
    with inside(away):
        sock = udp(SOURCES[0])
    with sock:
        yield Intruder(sock, decode(ann.peer), (TARGET, UDP_PORT))


def survives(ann, bob, attack):
    """Both halves of the attack leave its memory, and its link with Bob, as they were."""
    attack(MUTATIONS // 2)
    full = resident(ann.status()["pid"])
    attack(MUTATIONS // 2)
    assert resident(ann.status()["pid"]) < full + GROWTH
    assert ann.status()["queue_bytes"] <= SMALL_QUEUE
    assert bob.peer in ann.neighbours()
    talk(bob, ann)
    talk(ann, bob)
    bob.stop()
    ann.stop()


def test_spoilt_frames_from_a_neighbour_gone_bad_do_no_harm(siege, intruder):
    """Each bad one closes its link, so few are said over one."""
    ann, bob, *_ = siege
    random = Random(9)

    def attack(count):
        for _ in range(count // FRAMES_A_LINK):
            intruder.say()
            for _ in range(FRAMES_A_LINK):
                intruder.seal(spoil(random.choice(FRAMES), FRAMES, random))
            ann.status()
            intruder.leave()
        assert counted(ann, "link.malformed") > count // (2 * FRAMES_A_LINK)

    survives(ann, bob, attack)


FRAMES_A_LINK = 5
FRAMES = [
    bytes((frames.PING,)),
    bytes((frames.PADDING,)) * 20 + bytes((frames.PING,)),
    frames.ack([(0, 1)], 0.001),
    frames.ack([(5, 9), (2, 3), (0, 1)], 0.1),
    frames.NONCE.pack(frames.PATH_CHALLENGE, bytes(8)),
    frames.NONCE.pack(frames.PATH_RESPONSE, bytes(8)),
    frames.LIMIT.pack(frames.MAX_DATA, 1 << 30),
    frames.STREAM_LIMIT.pack(frames.MAX_STREAM, 1, 1 << 30),
    frames.stream(0, 0, b"\x0a\x00", fin=False, sized=True),
    frames.stream(3, 1 << 16, bytes(500), fin=True, sized=False),
    frames.stream(17, 1 << 33, b"wide", fin=True, sized=True),
]


def test_spoilt_objects_from_a_neighbour_gone_bad_do_no_harm(siege, intruder):
    """They come over a link that is real, so what is in form is taken in, within bounds."""
    ann, bob, *_ = siege
    random = Random(8)
    good, heard = list(objects(random)), intruder.listen()
    others = [heard, *(body for _, _, body in good)]

    def spoilt():
        """An object whose body is spoilt and whose form is good, or all of it."""
        stream, form, body = random.choice(good)
        if random.random() < 0.7:
            return stream, form(spoil(body, others, random))
        if random.random() < 0.9:
            return stream, spoil(form(body), others, random)
        return 0, spoil(heard, others, random)

    def attack(count):
        for _ in range(count // OBJECTS_A_LINK):
            intruder.say(*(spoilt() for _ in range(OBJECTS_A_LINK)))
            ann.status()
            intruder.leave()
        assert counted(ann, "sync.") > count // 10

    survives(ann, bob, attack)


def objects(random):
    """Everything that sync says: the stream it belongs on, what gives it its form, its body."""
    ids = [random.randbytes(32) for _ in range(3)]
    wires = [case["wire"] for case in bundles()["bundles"]]
    control = {
        1: b"\x01\x00" + random.randbytes(32),
        2: b"\x01\x61\x00\x00\x02\x02" + ids[0] + ids[1],
        3: ids[0] + b"\x00" + ids[1] + b"\x81\x00",
        4: ids[0] + b"\xa0\x00" + wires[0][:49],
        5: b"\x01\x00\x01\x00" + b"\x02\x03\x81\x00\x03",
        6: random.randbytes(16) + b"\x00\xa8" + random.randbytes(16) + b"\x03\x48",
        7: random.randbytes(32),
        8: b"".join(ids),
        9: random.randbytes(16),
        10: b"",
        11: b"",
    }
    for kind, body in control.items():
        yield 0, partial(message, kind), body
    for stream, wire in enumerate(wires, 1):
        yield stream, partial(transfer, b""), wire
        yield stream, partial(transfer, ids[0] + b"\x00"), wire


def message(kind, body):
    return bytes((kind,)) + varint(len(body)) + body


def transfer(name, piece):
    return varint(2 * len(piece) + bool(name)) + name + piece
