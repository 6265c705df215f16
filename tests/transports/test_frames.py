"""The formats below a datagram on a cell: our frame, what carries it on Ethernet, and how a path is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.l2 import Ether
from scapy.packet import Padding, Raw

from meshpeer.errors import ConfigError, RemoteProtocolError
from transports.adhoc.address import label_of, path_of, read_path
from transports.adhoc.cell import decapsulate, encapsulate
from transports.adhoc.frame import ETHERTYPE, HEADS, Kind, parse

addresses = st.binary(min_size=6, max_size=6)
frames = st.binary(min_size=1, max_size=1_498)
labels = st.text("abcdefghijklmnopqrstuvwxyz0123456789-/.", min_size=1, max_size=15)


@given(st.sampled_from(Kind), st.binary(min_size=1, max_size=1_497))
def test_a_frame_gives_back_its_kind_and_payload(kind, payload):
    assert parse(HEADS[kind] + payload) == (kind, payload)


@given(st.binary(max_size=100))
def test_noise_gives_a_frame_or_a_protocol_error(noise):
    try:
        kind, payload = parse(noise)
    except RemoteProtocolError:
        return
    assert HEADS[kind] + payload == noise


@given(addresses, addresses, frames, st.integers(0, 46))
def test_a_cell_gives_back_the_frame_and_its_station_whatever_pads_it(
    destination, source, frame, padding
):
    sent = encapsulate(destination, source, frame) + bytes(padding)
    assert decapsulate(sent) == (source, frame)


@given(st.binary(max_size=1_600))
def test_noise_on_a_cell_is_a_frame_or_nothing(noise):
    heard = decapsulate(noise)
    if heard is not None:
        again = encapsulate(noise[:6], heard.station, heard.frame)
        assert noise.startswith(again[:12])
        assert noise[14:].startswith(again[14:])


@given(addresses, addresses, frames)
def test_scapy_reads_what_we_send(destination, source, frame):
    read = Ether(encapsulate(destination, source, frame))
    assert (read.dst, read.src) == (destination.hex(":"), source.hex(":"))
    assert read.type == ETHERTYPE
    assert bytes(read.payload) == len(frame).to_bytes(2) + frame


@given(addresses, addresses, frames)
def test_we_read_what_scapy_sends(destination, source, frame):
    ether = Ether(dst=destination.hex(":"), src=source.hex(":"), type=ETHERTYPE)
    sent = ether / Raw(len(frame).to_bytes(2) + frame)
    padding = Padding(bytes(max(60 - len(sent), 0)))
    assert decapsulate(bytes(sent / padding)) == (source, frame)


@given(labels, st.binary(min_size=6, max_size=6) | st.binary(min_size=2, max_size=2))
def test_a_path_is_read_as_it_is_written(label, station):
    path = path_of(label, station)
    assert read_path(str(path.address)) == (label, station)
    assert path_of(*read_path(str(path.address))) == path


def test_a_path_has_one_form_however_it_is_typed():
    assert path_of(*read_path(" mesh0/02:CA:fe:00:00:01 ")).address == (
        "mesh0/02:ca:fe:00:00:01"
    )
    assert path_of("ttyUSB0", b"\x1a\x2b").address == "ttyUSB0/1a2b"
    assert label_of("/dev/serial/by-id/tnc") == "serial/by-id/tnc"


@pytest.mark.parametrize(
    "text", ["", "mesh0", "mesh0/", "/1a2b", "mesh0/1g", "mesh0/1a2b3", "m/é"]
)
def test_what_names_no_station_is_refused(text):
    with pytest.raises(ConfigError, match="02:ca:fe"):
        read_path(text)
