"""The erasure code and the packet around a symbol: laws, vector, noise, false symbols."""

import json
from functools import reduce
from itertools import combinations
from operator import xor
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from meshpeer.core.broadcast import symbol
from meshpeer.core.broadcast.code import Decoder, Encoder, count_of, repair_mask
from meshpeer.core.sync import messages
from meshpeer.core.sync.messages import Frames
from meshpeer.errors import RemoteProtocolError

SEED = b"seed"


def decoded(data, symbol_size, numbers):
    """Feed symbols until it is enough; give the decoder and how many it took."""
    encoder, decoder = (
        Encoder(data, symbol_size, SEED),
        Decoder(len(data), symbol_size, SEED),
    )
    taken = 0
    for number in numbers:
        if not decoder.missing:
            break
        decoder.add(number, encoder.symbol(number))
        taken += 1
    return decoder, taken


@given(st.binary(min_size=1, max_size=600), st.integers(1, 40), st.randoms())
@settings(max_examples=150)
def test_symbols_in_any_order_with_any_lost_give_the_bytes_back(data, symbol_size, random):
    count = count_of(len(data), symbol_size)
    numbers = random.sample(range(3 * count + 60), 2 * count + 50)
    decoder, _ = decoded(data, symbol_size, numbers)
    assert decoder.missing == 0
    assert decoder.data() == data


def test_about_two_more_than_the_sources_are_enough():
    random, extra = Random(1), []
    for _ in range(60):
        data = random.randbytes(40_000)
        numbers = random.sample(range(400), 400)
        decoder, taken = decoded(data, 400, numbers)
        assert decoder.data() == data
        extra.append(taken - decoder.count)
    assert sum(extra) / len(extra) < 2
    assert max(extra) < 16


def test_the_first_symbols_are_the_bytes_themselves():
    encoder = Encoder(b"abcdefgh12", 4, SEED)
    assert [encoder.symbol(n) for n in range(3)] == [b"abcd", b"efgh", b"12\0\0"]


def test_a_symbol_that_came_before_says_nothing_new():
    encoder, decoder = Encoder(bytes(range(100)), 10, SEED), Decoder(100, 10, SEED)
    for number in (3, 12):
        assert decoder.add(number, encoder.symbol(number))
        assert not decoder.add(number, encoder.symbol(number))


@given(st.integers(1, 300), st.integers(0, 65_535))
def test_every_repair_symbol_has_some_source(count, number):
    assert 0 < repair_mask(SEED, number, count) < 1 << count


@given(st.lists(st.tuples(st.integers(0, 60), st.binary(min_size=8, max_size=8))))
def test_false_symbols_give_false_bytes_and_nothing_worse(false):
    decoder = Decoder(77, 8, SEED)
    for number, data in false:
        decoder.add(number, data)
    if not decoder.missing:
        assert len(decoder.data()) == 77


@given(
    st.binary(min_size=4, max_size=4),
    st.integers(0, 65_535),
    st.integers(0, 65_535),
    st.binary(min_size=1, max_size=100),
)
def test_a_packet_comes_back_as_it_was(transfer, number, left, data):
    cipher = ChaCha20Poly1305(bytes(32))
    packet = symbol.pack(cipher, transfer, number, left, data)
    assert len(packet) == len(data) + symbol.OVERHEAD
    assert symbol.parse(packet) == (transfer, number)
    assert symbol.unseal(cipher, packet, number) == (left, data)


@given(st.integers(0, 60), st.integers(1, 255))
def test_a_packet_that_was_altered_anywhere_does_not_open(at, change):
    cipher = ChaCha20Poly1305(bytes(32))
    packet = bytearray(symbol.pack(cipher, b"abcd", 7, 3, bytes(36)))
    packet[at] ^= change
    try:
        _, number = symbol.parse(bytes(packet))
    except RemoteProtocolError:
        return
    assert symbol.unseal(cipher, bytes(packet), number) is None


@given(st.binary(max_size=80))
def test_noise_is_a_packet_or_refused(noise):
    try:
        transfer, number = symbol.parse(b"\x05" + noise)
    except RemoteProtocolError:
        assert len(noise) < symbol.OVERHEAD
        return
    assert noise.startswith(transfer + number.to_bytes(2))


def test_the_published_vector_is_read_as_it_says():
    vectors = Path(__file__).parents[2] / "vectors"
    case = json.loads((vectors / "broadcast.json").read_text())
    told, raw = case["announced"], bytes.fromhex
    cipher, wire = ChaCha20Poly1305(raw(told["key"])), raw(case["wire"])
    opened = {}
    for shown in case["symbols"]:
        packet = raw(shown["packet"])
        assert symbol.parse(packet) == (raw(told["transfer"]), shown["number"])
        found = symbol.unseal(cipher, packet, shown["number"])
        assert found == (shown["left"], raw(shown["symbol"]))
        opened[shown["number"]] = found.data
        parts = [int.from_bytes(opened[n]) for n in shown.get("sources", [])]
        assert not parts or int.from_bytes(found.data) == reduce(xor, parts)
    whole = 0
    for numbers in combinations(opened, 8):
        decoder = Decoder(told["size"], told["symbol_size"], raw(told["transfer"]))
        for number in numbers:
            decoder.add(number, opened[number])
        if not decoder.missing:
            assert decoder.data() == wire
            whole += 1
    assert whole >= 5
    heard = Frames().feed(b"".join(map(raw, case["frames"])))
    said, missing, ended, result = (messages.unpack(*frame) for frame in heard)
    assert said.id.hex() == told["id"]
    assert said.elapsed == told["elapsed"]
    assert (missing.symbols, missing.through) == (2, 9)
    assert ended.transfer == missing.transfer == said.transfer
    assert result.runs[0].stream == 4


@pytest.mark.parametrize("data", [b"", b"\x05", b"\x40" + bytes(60), bytes(60)])
def test_what_is_no_broadcast_is_refused(data):
    with pytest.raises(RemoteProtocolError):
        symbol.parse(data)
