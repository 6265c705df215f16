"""The layers read what peers really send, wherever it lies, and break at nothing.

MESHPEER_MUTATIONS says how many broken packets are tried; scapy takes a third of a millisecond
for each.
"""

import os
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dot11 import RadioTap
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from meshpeer.core.broadcast import symbol
from meshpeer.core.formats.beacon import Beacon
from meshpeer.core.identity import idtext
from meshpeer.core.link import frames, packet
from meshpeer.dissect import (
    MeshAck,
    MeshAckRange,
    MeshAir,
    MeshBeacon,
    MeshBroadcast,
    MeshClose,
    MeshCookie,
    MeshData,
    MeshFrame,
    MeshFramedBeacon,
    MeshFrames,
    MeshInitiation,
    MeshKiss,
    MeshMaxStream,
    MeshPacket,
    MeshPadding,
    MeshPing,
    MeshResponse,
    MeshShort,
    MeshStream,
    MeshVersions,
)
from meshpeer.dissect.packets import split
from meshpeer.dissect.reading import LAYERS, Seen, Sorting
from meshpeer.dissect.telling import Teller, line
from tests.core.link.pair import Network
from tests.dissect.heard import ANN, ANSWER, BEACON_HEAD, BOB, DATA, FIRST, HEAD, ON_AIR
from transports.adhoc import kiss
from transports.adhoc.cell import encapsulate

MUTATIONS = int(os.environ.get("MESHPEER_MUTATIONS", "2000"))


def test_every_field_of_a_first_packet():
    read = MeshPacket(FIRST)
    assert type(read) is MeshInitiation
    true = packet.parse_initiation(FIRST, key_of(FIRST))
    noise = read.ephemeral + read.sealed_static + read.sealed_payload
    assert (read.type, read.version) == (packet.INITIATION, true.version)
    assert read.sender.to_bytes(4) == true.sender
    assert noise == true.noise
    assert (read.mac1, read.mac2) == (true.mac1, true.mac2)
    assert bytes(read) == FIRST


def key_of(data):
    """The key under which a packet's mac1 is right: that of one of the two."""
    network = Network()
    nodes = network.node("alice"), network.node("bob")
    keys = [packet.mac1_key(node.endpoint.peer_id) for node in nodes]
    return next(key for key in keys if packet.mac(key, data[:-32]) == data[-32:-16])


def test_every_field_of_an_answer():
    read = MeshPacket(ANSWER)
    true = packet.parse_response(ANSWER, key_of(ANSWER))
    assert type(read) is MeshResponse
    assert read.sender.to_bytes(4) == true.sender
    assert read.receiver.to_bytes(4) == true.receiver
    assert read.ephemeral + read.sealed_payload == true.noise
    assert (read.version, read.mac2) == (true.version, bytes(16))
    assert bytes(read) == ANSWER


@pytest.mark.parametrize("data", DATA[:20], ids=len)
def test_every_field_of_data(data):
    read = MeshPacket(data)
    kind, receiver, counter = packet.DATA_HEADER.unpack_from(data)
    assert type(read) is MeshData
    assert (read.phase, read.ack_now) == (kind & 1, kind >> 1 & 1)
    assert (read.receiver.to_bytes(4), read.counter) == (receiver, counter)
    assert read.sealed == data[9:]
    assert bytes(read) == data
    short = MeshPacket(packet.shorten(data))
    assert type(short) is MeshShort
    assert (short.phase, short.ack_now) == (read.phase, read.ack_now)
    assert (short.receiver, short.counter) == (receiver[0], counter & 0xFFFF)
    assert short.sealed == read.sealed


def test_the_rare_packets():
    cookie = packet.cookie(b"\1\2\3\4", bytes(range(24)), bytes(range(32)))
    read = MeshPacket(cookie)
    assert type(read) is MeshCookie
    assert (read.receiver, read.nonce) == (0x01020304, bytes(range(24)))
    assert read.sealed_cookie == bytes(range(32))
    versions = MeshPacket(packet.versions(b"\0\0\0\1", b"\1\2"))
    assert type(versions) is MeshVersions
    assert (versions.receiver, versions.versions) == (1, [1, 2])
    head = bytes((packet.BROADCAST,)) + b"\0\0\0\7\0\3"
    read = MeshPacket(head + bytes(60))
    assert type(read) is MeshBroadcast
    assert symbol.parse(head + bytes(60)) == (read.transfer.to_bytes(4), read.number)


def test_what_the_kernel_joined_is_parted():
    large = [each for each in DATA if len(each) == max(map(len, DATA))]
    joined = b"".join([*large[:3], large[0][:500]])
    assert split(joined) == [*large[:3], large[0][:500]]
    read = MeshPacket(joined)
    layers = [read.getlayer(MeshData, number) for number in (1, 2, 3, 4)]
    assert [each.sealed for each in layers] == [each[9:] for each in split(joined)]
    assert split(large[0]) == [large[0]]
    assert split(b"") == [b""]


PEER = bytes(range(32))
BEACON = Beacon.of(PEER, nonce=b"nonce...", port=6374, hidden=False, answer=True).encode()
HIDDEN = Beacon.of(PEER, nonce=b"nonce...", port=6374, hidden=True).encode()
CONTAINERS = {
    "cell": Ether(encapsulate(BOB, ANN, HEAD + FIRST)),
    "padded": Ether(encapsulate(BOB, ANN, HEAD + FIRST) + bytes(9)),
    "vlan": Ether(
        bytes(Ether() / Dot1Q(type=0x88B5)) + encapsulate(BOB, ANN, HEAD + FIRST)[14:]
    ),
    "monitor": RadioTap(ON_AIR),
    "serial": MeshKiss.of_line(kiss.encode(b"\xff\xff\0\1" + HEAD + FIRST))[0],
    "udp": IP(bytes(IP(dst="10.0.0.1") / UDP(sport=999, dport=6374) / Raw(FIRST))),
    "udp6": IPv6(bytes(IPv6(dst="::1") / UDP(sport=6374, dport=999) / Raw(FIRST))),
}


@pytest.mark.parametrize("way", CONTAINERS)
def test_a_packet_is_found_wherever_it_lies(way):
    read = CONTAINERS[way][MeshInitiation]
    assert (read.version, read.sender) == (1, int.from_bytes(FIRST[2:6]))
    assert bytes(read)[: len(FIRST)] == FIRST
    assert read.mac2 == FIRST[-16:]


@pytest.mark.parametrize("wire", [BEACON, HIDDEN])
def test_beacons(wire):
    lan = Ether(bytes(Ether() / IP(dst="10.0.0.1") / UDP(dport=6375) / Raw(wire)))
    framed = wire[5:6] + wire[8:]
    cell = Ether(encapsulate(BOB, ANN, BEACON_HEAD + framed))
    read = lan[MeshBeacon]
    assert (read.magic, read.version, read.port) == (b"mshp", 1, 6374)
    assert bytes(read) == wire
    assert bytes(cell[MeshFramedBeacon]) == framed
    for read in (lan[MeshBeacon], cell[MeshFramedBeacon]):
        tells_who(read, wire)


def tells_who(read, wire):
    assert read.nonce == b"nonce..."
    if wire is BEACON:
        assert str(read.flags) == "ANSWER"
        assert read.peer_id == PEER
        assert idtext.encode(PEER) in read.summary(), "as all commands write it"
    else:
        assert str(read.flags) == "HIDDEN"
        assert read.mark == HIDDEN[-8:]


def test_an_answer_to_any_port_is_known_by_its_beginning():
    raw = bytes(Ether() / IP(dst="10.0.0.1") / UDP(sport=1, dport=2) / Raw(BEACON))
    (told,) = Teller().tell(Seen(0.0, "eth0", Ether, raw))
    assert told.fields["packet"] == "BEACON"
    assert told.fields["to"] == "10.0.0.1:2"


def test_what_scapy_builds_is_what_peers_send():
    built = Ether(dst=BOB.hex(":"), src=ANN.hex(":")) / MeshAir() / MeshFrame()
    versions = packet.versions(b"\0\0\0\1", b"\1\2")
    built = built / MeshVersions(receiver=1, versions=[1, 2])
    assert bytes(built) == encapsulate(BOB, ANN, HEAD + versions)
    line = MeshKiss(destination=2, source=1) / MeshFrame() / Raw(versions)
    assert line.on_line() == kiss.encode(b"\0\2\0\1" + HEAD + versions)


PLAIN = b"".join(
    (
        frames.ack([(10, 20), (5, 8), (1, 3)], 0.1),
        frames.STREAM_LIMIT.pack(frames.MAX_STREAM, 4, 1 << 33),
        b"\1\0\0\0",
        frames.close("bye"),
        frames.stream(3, 5, b"abc", fin=True, sized=True),
        frames.stream(4, 1 << 40, b"the rest", fin=False, sized=False),
    )
)


def test_every_field_of_the_frames_inside():
    read = MeshFrames(PLAIN)
    ack, limit, ping, padding, close, sized, rest = read.frames
    assert (type(ack), ack.largest, ack.delay, ack.n, ack.first) == (
        *(MeshAck, 19, 6_250, 2),
        9,
    )
    assert [(each.gap, each.length) for each in ack.ranges] == [(1, 2), (1, 1)]
    assert (type(limit), limit.stream, limit.limit) == (MeshMaxStream, 4, 1 << 33)
    assert (type(ping), type(padding), padding.zeros) == (MeshPing, MeshPadding, bytes(3))
    assert (type(close), close.reason) == (MeshClose, b"bye")
    assert (type(sized), sized.stream, sized.offset, sized.data) == (
        MeshStream,
        3,
        5,
        b"abc",
    )
    assert (sized.fin, sized.n) == (1, 3)
    assert (rest.stream, rest.offset, rest.data) == (4, 1 << 40, b"the rest")
    assert bytes(read) == PLAIN
    assert read.mysummary().startswith("ACK 10-19 5-7 1-2, MAX_STREAM 4 8589934592, PING")


def test_frames_that_scapy_builds():
    built = MeshFrames(
        frames=[
            MeshAck(largest=9, first=2, ranges=[MeshAckRange(gap=1, length=3)]),
            MeshStream(stream=2, offset=7, sized=1, data=b"abc"),
        ]
    )
    wire = bytes(built)
    ranges, _, at = frames.parse_ack(wire, 0, 10)
    assert ranges == [(7, 10), (1, 5)]
    assert frames.parse_stream(wire, at)[:3] == (2, 7, b"abc")


@given(
    st.integers(0, 65_535), st.integers(0, 2**64 - 1), st.binary(max_size=50), st.booleans()
)
def test_streams_of_any_kind(number, offset, data, sized):
    wire = frames.stream(number, offset, data, fin=False, sized=sized)
    (read,) = MeshFrames(wire).frames
    assert (read.stream, read.offset, read.data) == (number, offset, data)


@given(st.binary(max_size=400))
def test_noise_inside_is_shown(noise):
    read = MeshFrames(noise)
    assert isinstance(read.mysummary(), str)
    assert bytes(read) == noise


def test_no_number_of_frames_is_too_much():
    assert len(MeshFrames(b"\1" * 1_400).frames) == 1_400
    assert MeshFrames(b"\1" * 60_000).mysummary()
    assert MeshFrames(b"\2" + bytes(6) + b"\xff" + bytes(1_300)).mysummary()


def mutated(data, rng):
    data = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(data))
        match rng.randrange(3):
            case 0:
                data[at] = rng.randrange(256)
            case 1 if len(data) > 20:
                del data[at : at + rng.randrange(1, 20)]
            case _:
                data[at:at] = rng.randbytes(rng.randrange(1, 9))
    return bytes(data)


def test_nothing_that_passes_stops_the_telling():
    rng, teller, sorting = Random(3), Teller(), Sorting()
    sound = [
        (type(each), bytes(each)) for each in CONTAINERS.values() if type(each) is not IP
    ]
    sound.append((Ether, bytes(Ether() / IP(dst="10.0.0.1") / UDP(dport=6375) / BEACON)))
    told = 0
    for _ in range(MUTATIONS):
        layer, raw = rng.choice(sound)
        seen = Seen(rng.random(), "eth0", layer, mutated(raw, rng))
        if not sorting.may_be_ours(seen):
            continue
        for each in teller.tell(seen):
            assert line(each)
            told += 1
    assert told > MUTATIONS // 10


def test_what_is_ours_is_never_sorted_out():
    sorting = Sorting(frozenset({7_000}))
    for way, read in CONTAINERS.items():
        assert sorting.may_be_ours(Seen(0.0, "x", type(read), bytes(read))), way
    other = bytes(Ether() / IP(dst="10.0.0.1") / UDP(sport=53, dport=53) / Raw(bytes(40)))
    assert not sorting.may_be_ours(Seen(0.0, "x", Ether, other))
    own = bytes(Ether() / IP(dst="10.0.0.1") / UDP(sport=53, dport=7_000) / Raw(FIRST))
    assert sorting.may_be_ours(Seen(0.0, "x", Ether, own))
    assert LAYERS[803] is RadioTap
