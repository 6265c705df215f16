"""The beacon's form: one for each meaning, and all else refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.formats.beacon import FIXED, FRAMED, Beacon, mark, parse, parse_frame
from meshpeer.errors import LocalProtocolError, RemoteProtocolError

PEER, OTHER, NONCE = bytes(range(32)), bytes(32), b"nonce..."

beacons = st.builds(
    Beacon.of,
    st.binary(min_size=32, max_size=32),
    nonce=st.binary(min_size=8, max_size=8),
    port=st.integers(1, 65_535),
    hidden=st.booleans(),
    answer=st.booleans(),
)
framed = beacons.map(lambda beacon: replace(beacon, port=0))


@given(beacons)
def test_what_is_encoded_is_read_back(beacon):
    assert parse(beacon.encode()) == beacon


@given(framed)
def test_what_is_encoded_for_a_frame_is_read_back(beacon):
    assert parse_frame(beacon.encode_frame()) == beacon


@given(
    st.binary(max_size=60)
    | st.builds(
        bytes.__add__, st.sampled_from([b"\0", b"\1", b"\2", b"\3"]), st.binary(max_size=50)
    )
)
def test_noise_in_a_frame_gives_a_beacon_or_a_protocol_error(noise):
    try:
        beacon = parse_frame(noise)
    except RemoteProtocolError:
        return
    assert beacon.encode_frame() == noise


@given(framed, st.data())
def test_one_changed_byte_in_a_frame_never_passes_for_the_same_beacon(beacon, data):
    wire = bytearray(beacon.encode_frame())
    place = data.draw(st.integers(0, len(wire) - 1))
    wire[place] ^= data.draw(st.integers(1, 255))
    try:
        assert parse_frame(bytes(wire)) != beacon
    except RemoteProtocolError:
        assert place < FRAMED.size


@given(
    st.binary(max_size=80)
    | st.builds(bytes.__add__, st.just(b"mshp\x01"), st.binary(max_size=60))
)
def test_noise_gives_a_beacon_or_a_protocol_error(noise):
    try:
        beacon = parse(noise)
    except RemoteProtocolError:
        return
    assert beacon.encode() == noise


@given(beacons, st.data())
def test_one_changed_byte_never_passes_for_the_same_beacon(beacon, data):
    wire = bytearray(beacon.encode())
    place = data.draw(st.integers(0, len(wire) - 1))
    wire[place] ^= data.draw(st.integers(1, 255))
    try:
        assert parse(bytes(wire)) != beacon
    except RemoteProtocolError:
        assert place < FIXED.size


def test_a_hidden_peer_is_known_only_to_who_knows_its_id():
    hidden = Beacon.of(PEER, nonce=NONCE, port=6374, hidden=True)
    assert PEER not in hidden.encode()
    assert len(hidden.encode()) == 24
    assert hidden.is_of(PEER)
    assert not hidden.is_of(OTHER)
    assert mark(NONCE, PEER) != mark(b"another.", PEER)


def test_a_visible_peer_is_named():
    shown = Beacon.of(PEER, nonce=NONCE, port=6374, hidden=False)
    assert len(shown.encode()) == 48
    assert shown.is_of(PEER)
    assert not shown.is_of(OTHER)


def test_the_form_is_as_in_protocol_md():
    shown = Beacon.of(PEER, nonce=NONCE, port=6374, hidden=False, answer=True)
    assert shown.encode().hex() == (
        "6d736870010218e66e6f6e63652e2e2e" + bytes(range(32)).hex()
    )
    hidden = Beacon.of(PEER, nonce=NONCE, port=6374, hidden=True)
    assert hidden.encode().hex() == "6d736870010118e66e6f6e63652e2e2e" + hidden.mark.hex()
    framed = replace(shown, port=0).encode_frame()
    assert framed.hex() == "026e6f6e63652e2e2e" + bytes(range(32)).hex()
    framed = replace(hidden, port=0).encode_frame()
    assert framed.hex() == "016e6f6e63652e2e2e" + hidden.mark.hex()


@pytest.mark.parametrize(
    ("wire", "field"),
    [
        (b"", "beacon"),
        (b"mshq" + bytes(44), "magic"),
        (b"mshp\x02" + bytes(43), "version"),
        (b"mshp\x01\x04\x00\x01" + bytes(40), "flags"),
        (b"mshp\x01\x00\x00\x00" + bytes(40), "port"),
        (b"mshp\x01\x00\x00\x01" + bytes(39), "beacon"),
        (b"mshp\x01\x01\x00\x01" + bytes(40), "beacon"),
    ],
)
def test_what_is_wrong_is_named(wire, field):
    with pytest.raises(RemoteProtocolError) as caught:
        parse(wire)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (b"", "beacon"),
        (b"\x04" + bytes(40), "flags"),
        (bytes(40), "beacon"),
        (b"\x01" + bytes(40), "beacon"),
    ],
)
def test_what_is_wrong_in_a_frame_is_named(payload, field):
    with pytest.raises(RemoteProtocolError) as caught:
        parse_frame(payload)
    assert caught.value.field == field


def test_a_beacon_of_a_lan_has_a_port_and_one_in_a_frame_has_none():
    with pytest.raises(LocalProtocolError):
        Beacon(NONCE, 0, PEER).encode()
    with pytest.raises(LocalProtocolError):
        Beacon(NONCE, 6374, PEER).encode_frame()


@pytest.mark.parametrize(
    "wrong",
    [
        {"nonce": b"short", "port": 1, "peer_id": PEER},
        {"nonce": NONCE, "port": 65_536, "peer_id": PEER},
        {"nonce": NONCE, "port": 1},
        {"nonce": NONCE, "port": 1, "peer_id": PEER, "mark": bytes(8)},
        {"nonce": NONCE, "port": 1, "peer_id": b"short"},
    ],
)
def test_we_never_make_a_beacon_that_we_would_refuse(wrong):
    with pytest.raises(LocalProtocolError):
        Beacon(**wrong)
