"""Deterministic CBOR: RFC 8949's examples, one form of each value, and bounds."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.formats.cbor import MAX_DEPTH, MAX_ITEMS, decode, encode
from meshpeer.errors import LocalProtocolError, RemoteProtocolError

KEYS = st.integers(-(2**64), 2**64 - 1) | st.text(max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.binary() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)
EXAMPLES = [
    (0, "00"),
    (23, "17"),
    (24, "1818"),
    (1000, "1903e8"),
    (1000000, "1a000f4240"),
    (18446744073709551615, "1bffffffffffffffff"),
    (-18446744073709551616, "3bffffffffffffffff"),
    (-1, "20"),
    (-1000, "3903e7"),
    (False, "f4"),
    (True, "f5"),
    (None, "f6"),
    (b"\x01\x02\x03\x04", "4401020304"),
    ("", "60"),
    ("\u6c34", "63e6b0b4"),
    ([1, [2, 3], [4, 5]], "8301820203820405"),
    ({1: 2, 3: 4}, "a201020304"),
    ({"a": 1, "b": [2, 3]}, "a26161016162820203"),
    ({10: 0, 100: 0, -1: 0, "z": 0, "aa": 0}, "a50a001864002000617a0062616100"),
]
REFUSED = [
    "",  # nothing
    "0000",  # something after the end
    "1817",  # 23 in two bytes
    "1900ff",
    "1a0000ffff",
    "1b00000000ffffffff",
    "5801" + "00",  # a length in more bytes than it needs
    "5fff",  # indefinite
    "9fff",
    "bfff",
    "ff",
    "1c",  # reserved
    "f7",  # undefined
    "f0",  # unassigned simple value
    "f8ff",
    "f814",  # false in two bytes
    "f93c00",  # a float
    "fb3ff0000000000000",
    "c000",  # a tag
    "d9d9f700",
    "61ff",  # not UTF-8
    "63eda080",  # a surrogate
    "a2010201",  # cut short
    "a203040102",  # keys out of order
    "a201020103",  # a key twice
    "a22000186400",  # -1 before 100
    "a1f500",  # a key that is true
    "a14000",  # a key of bytes
    "a18000",  # a key that is a list
    "5bffffffffffffffff00",  # longer than the world
    "9bffffffffffffffff00",
    "bbffffffffffffffff00",
]


@pytest.mark.parametrize(("value", "encoded"), EXAMPLES)
def test_the_examples_of_rfc_8949(value, encoded):
    assert encode(value).hex() == encoded
    assert decode(bytes.fromhex(encoded)) == value


@pytest.mark.parametrize("encoded", REFUSED)
def test_any_other_form_is_refused(encoded):
    with pytest.raises(RemoteProtocolError, match="card"):
        decode(bytes.fromhex(encoded), "card")


@given(VALUES)
def test_decode_undoes_encode_and_another_library_agrees(value):
    encoded = encode(value)
    assert encode(decode(encoded)) == encoded
    assert decode(encoded) == cbor2.loads(encoded) == value


@given(st.binary(max_size=60) | VALUES.map(cbor2.dumps))
def test_noise_gives_a_value_or_a_protocol_error(noise):
    try:
        value = decode(noise)
    except RemoteProtocolError:
        return
    assert encode(value) == noise


def test_depth_and_number_are_bounded():
    assert decode(b"\x81" * MAX_DEPTH + b"\x00")
    for nested in (b"\x81", b"\xa1\x00"):
        with pytest.raises(RemoteProtocolError, match="depth"):
            decode(nested * (MAX_DEPTH + 1) + b"\x00")
    with pytest.raises(RemoteProtocolError, match="depth"):
        decode(b"\x81" * 300_000)
    with pytest.raises(RemoteProtocolError, match="items"):
        decode(encode([0] * MAX_ITEMS))


@pytest.mark.parametrize(
    "value", [1.5, 2**64, -(2**64) - 1, {True: 1}, {None: 1}, {1}, "\ud800"]
)
def test_what_has_no_encoding_is_our_own_bug(value):
    with pytest.raises(LocalProtocolError):
        encode(value)


@pytest.mark.parametrize(
    "tagged",
    ["c100", "d81c81d81d00", "c5821b00ffffffffffffff03", "d8236161", "da0001ffff00"],
    ids=["time", "cycle", "bigfloat", "pattern", "unknown"],
)
def test_a_tag_is_refused_before_anything_acts_on_it(tagged):
    with pytest.raises(RemoteProtocolError, match="tag"):
        decode(bytes.fromhex(tagged))
