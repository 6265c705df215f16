"""Mutated packets into a live peer: no fault, no growth, no write, and its links go on."""

import os
import sqlite3
from contextlib import ExitStack, closing
from random import Random

import pytest

from meshpeer.core.formats.beacon import Beacon
from meshpeer.core.identity.idtext import decode
from tests.namespaces import inside
from tests.system.fuzz import WHOLE, Tap, signed, spoil, udp

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
ALONE = "[lan]\non = false\n[udp]\nlisten = ['127.0.0.1']\nport = 0\n"


@pytest.fixture
def siege(bridge, daemon):
    """A peer with the default configuration, a friend linked with it by a tap, and the tap."""
    home, away = bridge.add_host(f"{TARGET}/24"), bridge.add_host(f"{NEAR}/24")
    for source in SOURCES:
        bridge.ip(away, "address", "add", f"{source}/24", "dev", "eth0")
    ann = daemon("ann", namespace=home).start()
    bob = daemon("bob", namespace=away, settings=ALONE).start()
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
    """What is in each table."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        tables = [
            name
            for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        ]
        return {name: db.execute(f"SELECT * FROM {name}").fetchall() for name in tables}  # noqa: S608


def resident(pid):
    """Bytes of memory that a process holds."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def counted(peer):
    """How many packets were dropped, refused or heard as beacons."""
    counters = peer.status()["counters"]
    return sum(
        count
        for name, count in counters.items()
        if name.startswith(("link.", "lan.")) and name != "lan.sent"
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

        before, held = content(ann.state.database), counted(ann)
        throw(MUTATIONS // 2)
        full = resident(ann.status()["pid"])
        throw(MUTATIONS - MUTATIONS // 2)
        assert resident(ann.status()["pid"]) < full + GROWTH
        assert counted(ann) - held > MUTATIONS * 0.9
    assert content(ann.state.database) == before
    ups = [event for event in ann.history() if event.kind == "link"]
    assert len(ups) == 1, "the friend's link never broke"
    talk(bob, ann)
    talk(ann, bob)
    bob.stop()
    ann.stop()
