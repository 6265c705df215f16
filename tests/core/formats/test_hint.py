"""Hints: one form for each, addresses packed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.formats.hint import MAX_HINT, pack_hint, unpack_hint
from meshpeer.errors import LocalProtocolError, RemoteProtocolError

ADDRESSES = st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(lambda a: f"[{a}]")
HINTS = st.builds("udp:{}:{}".format, ADDRESSES, st.integers(1, 0xFFFF)) | st.sampled_from(
    ["udp:node.example.org:4711", "memory:a", "adhoc:wlan0/7", "udp:a1.b:1"]
)


@given(HINTS)
def test_a_hint_survives_its_card(hint):
    assert unpack_hint(pack_hint(hint)) == hint


@given(st.binary(max_size=20) | st.text(max_size=30) | HINTS)
def test_noise_gives_a_hint_or_a_protocol_error(noise):
    try:
        hint = unpack_hint(noise)
    except RemoteProtocolError:
        return
    assert pack_hint(hint) == noise


def test_addresses_are_packed_whatever_their_spelling():
    assert pack_hint("udp:203.0.113.7:4711") == bytes.fromhex("cb0071071267")
    assert len(pack_hint("udp:[2001:DB8:0::7]:4711")) == 18
    assert unpack_hint(pack_hint("udp:[2001:DB8:0::7]:1")) == "udp:[2001:db8::7]:1"


@pytest.mark.parametrize(
    "hint",
    [
        "",
        "udp",
        "udp:",
        ":4711",
        "udp:203.0.113.7",
        "udp:203.0.113.7:0",
        "udp:203.0.113.7:65536",
        "udp:203.0.113.7:04711",
        "udp:203.0.113.07:4711",
        "udp:1:4711",
        "udp:[fe80::1%eth0]:4711",
        "udp:[203.0.113.7]x:4711",
        "udp:a b:4711",
        "udp:a\n:4711",
        "udp:\u202ea:4711",
        "UDP:a:4711",
        "memory:" + "a" * MAX_HINT,
    ],
)
def test_what_is_no_hint(hint):
    with pytest.raises(LocalProtocolError):
        pack_hint(hint)
    with pytest.raises(RemoteProtocolError, match="hint"):
        unpack_hint(hint)


@pytest.mark.parametrize(
    "packed", ["udp:203.0.113.7:4711", bytes(6), bytes(7), 5, None, [1]]
)
def test_what_is_no_hint_in_a_card(packed):
    with pytest.raises(RemoteProtocolError, match="hint"):
        unpack_hint(packed)
