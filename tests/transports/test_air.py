"""Radiotap, 802.11 and the kernel's filter: what scapy builds we read and the other way round,
and nothing that the air may bring raises or stays. MESHPEER_MUTATIONS says how much is tried."""

import os
import socket
import tracemalloc
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dot11 import Dot11, Dot11FCS, Dot11QoS, RadioTap
from scapy.layers.l2 import LLC, SNAP
from scapy.packet import Raw

from meshpeer.errors import ConfigError, RemoteProtocolError
from transports.adhoc import air_filter, dot11, frame, radiotap
from transports.adhoc.frame import ETHERTYPE, EVERYBODY

MUTATIONS = int(os.environ.get("MESHPEER_MUTATIONS", "20000"))
BSSID = dot11.bssid_of("meshpeer")
ANN, BOB, CARLA = (bytes((2, 0, 0, 0, 0, number)) for number in (1, 2, 3))
addresses = st.binary(min_size=6, max_size=6)
frames = st.binary(max_size=1_453)


def text(address):
    return address.hex(":")


def built(
    payload, *, tap=None, fc=0, to=BOB, station=ANN, bssid=BSSID, qos=None, cls=Dot11
):
    """What another program would send: scapy's, field by field."""
    tap = RadioTap(present=0) if tap is None else tap
    head = cls(
        type=2,
        subtype=8 if qos is not None else 0,
        FCfield=fc,
        addr1=text(to),
        addr2=text(station),
        addr3=text(bssid),
    )
    if qos is not None:
        head = head / qos
    body = LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=0, code=ETHERTYPE)
    return bytes(tap / head / body / Raw(len(payload).to_bytes(2) + payload))


@given(addresses, addresses, addresses, st.integers(0, 4_095), frames)
def test_what_is_written_can_be_read(to, station, bssid, sequence, payload):
    wire = dot11.encode(to, station, bssid, sequence, payload)
    assert len(wire) == dot11.OVERHEAD + len(payload)
    assert dot11.parse(wire, 0, len(wire), bssid) == (to, station, payload)


@given(addresses, addresses, st.integers(0, 4_095), frames)
def test_scapy_reads_what_we_write(to, station, sequence, payload):
    wire = radiotap.sent_header(6_000_000) + dot11.encode(
        to, station, BSSID, sequence, payload
    )
    read = RadioTap(wire)
    assert read.Rate == 6
    assert read.TXFlags == "NOACK"
    assert read.notdecoded == b"\0"  # no retries: scapy has no name for them
    assert (read.len, read.type, read.subtype, int(read.FCfield)) == (13, 2, 0, 0)
    assert (read.addr1, read.addr2, read.addr3) == (text(to), text(station), text(BSSID))
    assert sequence << 4 == read.SC
    assert read[SNAP].code == 0x88B5
    assert bytes(read[SNAP].payload) == len(payload).to_bytes(2) + payload


@given(frames, addresses, st.booleans())
def test_we_read_what_scapy_builds(payload, station, qos):
    packet = built(payload, station=station, qos=Dot11QoS() if qos else None)
    tap, air = dot11.read(packet, BSSID)
    assert (tap.flags, tap.signal) == (0, None)
    assert air == (BOB, station, payload)


@given(
    st.sets(
        st.sampled_from(
            [
                "TSFT",
                "Flags",
                "Rate",
                "Channel",
                "dBm_AntSignal",
                "dBm_AntNoise",
                "Antenna",
                "RXFlags",
                "MCS",
                "timestamp",
            ]
        )
    ),
    st.integers(-128, 127),
    st.booleans(),
    frames,
)
def test_the_signal_is_found_behind_whatever_a_driver_says(said, dbm, more, payload):
    fields = "+".join(sorted(said))
    tap = RadioTap(present=fields or 0, dBm_AntSignal=dbm)
    plain = built(payload, tap=tap)
    header = bytearray(plain[: int.from_bytes(plain[2:4], "little")])
    assert header[4:8] == RadioTap(plain).present.value.to_bytes(4, "little")
    found, air = dot11.read(plain, BSSID)
    assert found.signal == (dbm if "dBm_AntSignal" in said else None)
    assert air.frame == payload
    if more:  # two words, so that what is aligned stays so
        header[7] |= 0x80
        header[8:8] = (1 << 31).to_bytes(4, "little") + bytes(4)
        header[2:4] = len(header).to_bytes(2, "little")
        found, air = dot11.read(bytes(header) + plain[len(header) - 8 :], BSSID)
        assert found.signal == (dbm if "dBm_AntSignal" in said else None)
        assert air.frame == payload


def test_a_checksum_at_the_end_is_left_away_and_a_bad_one_drops():
    fine = built(b"hello", tap=RadioTap(present="Flags", Flags="FCS"), cls=Dot11FCS)
    assert dot11.read(fine, BSSID)[1].frame == b"hello"
    bad = built(b"hello", tap=RadioTap(present="Flags", Flags="badFCS"))
    assert dot11.read(bad, BSSID) is None


def test_padding_behind_the_header_is_left_away():
    tap = RadioTap(present="Flags", Flags="pad")
    packet = built(b"hello", tap=tap, qos=Dot11QoS())
    at = int.from_bytes(packet[2:4], "little") + 26
    assert dot11.read(packet[:at] + bytes(2) + packet[at:], BSSID)[1].frame == b"hello"
    whole = built(b"hello", tap=tap)
    assert dot11.read(whole, BSSID)[1].frame == b"hello"


@pytest.mark.parametrize("fc", ["to_DS", "from_DS", "MF", "protected"])
def test_frames_of_access_points_fragments_and_ciphers_are_not_ours(fc):
    assert dot11.read(built(b"hello", fc=fc), BSSID) is None


def test_several_frames_in_one_are_not_ours():
    assert dot11.read(built(b"hello", qos=Dot11QoS(A_MSDU_Present=1)), BSSID) is None


def test_other_cells_are_none_of_ours():
    assert dot11.read(built(b"hello", bssid=dot11.bssid_of("other")), BSSID) is None
    assert dot11.bssid_of("other")[0] & 3 == 2


def test_a_length_beyond_the_end_is_refused():
    wire = built(b"hello")
    with pytest.raises(RemoteProtocolError):
        dot11.read(wire[:-1], BSSID)


@pytest.mark.parametrize("rate", [0, 500_000, 6_100_000, 54_500_000, "6"])
def test_only_rates_that_there_are_can_be_set(rate):
    with pytest.raises(ConfigError):
        radiotap.sent_header(rate)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        bytes(7),
        b"\1" + bytes(20),
        b"\0\0\xff\xff" + bytes(30),
        b"\0\0\7\0" + bytes(30),
        b"\0\0\x08\0\x00\x00\x00\x80" + bytes(30),
        b"\0\0\x0c\0" + b"\x00\x00\x00\x80" * 2 + bytes(30),
        b"\0\0\x09\0\x21\x00\x00\x00" + bytes(30),
    ],
    ids=["empty", "short", "version", "long", "small", "unended", "endless", "cramped"],
)
def test_headers_that_lie_are_refused(header):
    with pytest.raises(RemoteProtocolError):
        radiotap.parse(header)


def specimens():
    """Packets from which mutations are made, of each kind that is read."""
    beacon = frame.HEADS[frame.Kind.BEACON] + bytes(24)
    tap = RadioTap(present="TSFT+Flags+Rate+Channel+dBm_AntSignal", dBm_AntSignal=-60)
    yield built(frame.HEADS[frame.Kind.DATAGRAM] + bytes(200))
    yield built(beacon, tap=tap)
    yield built(beacon, tap=RadioTap(present="Flags", Flags="FCS+pad"), qos=Dot11QoS())
    yield radiotap.sent_header(1_000_000) + dot11.encode(BOB, ANN, BSSID, 7, beacon)


def mutated(packet, rng):
    data = bytearray(packet)
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(min(len(data), 64))
        match rng.randrange(4):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                data[at] ^= 1 << rng.randrange(8)
            case 2 if len(data) > 1:
                del data[at : at + rng.randrange(1, 9)]
            case _:
                data[at:at] = rng.randbytes(rng.randrange(1, 9))
        if not data:
            break
    return bytes(data)


def read_all(packet):
    found = dot11.read(packet, BSSID)
    if found is not None:
        frame.parse(found[1].frame)


def test_nothing_from_the_air_raises_or_stays():
    rng, kinds = Random(5), list(specimens())
    outcomes = {True: 0, False: 0}
    tracemalloc.start()
    before = 0
    for number in range(MUTATIONS):
        if number == MUTATIONS // 2:
            before = tracemalloc.get_traced_memory()[0]
        try:
            read_all(mutated(rng.choice(kinds), rng))
            outcomes[True] += 1
        except RemoteProtocolError:
            outcomes[False] += 1
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert min(outcomes.values()) > MUTATIONS // 100
    assert grown < 50_000
    assert len(radiotap._layouts) <= radiotap.LAYOUTS_KEPT


@given(st.binary(max_size=300))
def test_noise_is_read_or_refused(noise):
    try:
        found = dot11.read(noise, BSSID)
    except RemoteProtocolError:
        return
    assert found is None or len(found[1].frame) < len(noise)


@pytest.fixture
def filtered():
    """Two ends of a pipe of the kernel's, of which one has the filter."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ends[1].setblocking(False)
    air_filter.attach(ends[1], BSSID, BOB)
    yield ends
    for end in ends:
        end.close()


def passes(ends, packet):
    ends[0].send(packet)
    try:
        assert ends[1].recv(4_096) == packet
    except BlockingIOError:
        return False
    return True


def test_the_kernel_passes_what_is_for_us_or_all_and_nothing_else(filtered):
    everybody = EVERYBODY
    assert passes(filtered, built(b"hello"))
    assert passes(filtered, built(b"hello", to=everybody))
    assert passes(filtered, built(b"hello", qos=Dot11QoS()))
    tap = RadioTap(present="TSFT+Flags+dBm_AntSignal")
    assert passes(filtered, built(b"hello", tap=tap))
    assert not passes(filtered, built(b"hello", to=CARLA))
    assert not passes(filtered, built(b"hello", station=BOB, to=everybody))
    assert not passes(filtered, built(b"hello", bssid=dot11.bssid_of("other")))
    assert not passes(filtered, built(b"hello", fc="to_DS"))
    assert not passes(filtered, bytes(RadioTap() / Dot11(type=0, subtype=8)))
    assert not passes(filtered, b"\0")


def test_the_kernel_drops_no_more_than_we_would(filtered):
    rng, kinds = Random(6), list(specimens())
    dropped = 0
    for _ in range(MUTATIONS // 10):
        packet = mutated(rng.choice(kinds), rng)
        passed = passes(filtered, packet) if packet else False
        dropped += not passed
        try:
            found = dot11.read(packet, BSSID)
        except RemoteProtocolError:
            continue
        if found and found[1].to in (BOB, EVERYBODY) and found[1].station != BOB:
            assert passed, packet.hex()
    assert 0 < dropped < MUTATIONS // 10
