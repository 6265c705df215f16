"""Noise: the published vectors, and what a handshake does with what an attacker sends."""

import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_scalarmult
from nacl.exceptions import CryptoError

from meshpeer.core.identity.noise import Handshake, KeyPair, Pattern, check_public
from meshpeer.errors import LocalProtocolError, RemoteProtocolError

VECTORS = Path(__file__).parents[4] / "shared" / "vectors" / "noise.json"
LOW_ORDER = [
    bytes(32),
    (1).to_bytes(32, "little"),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    (2**255 - 20).to_bytes(32, "little"),
]
NOT_CANONICAL = [
    (2**255 - 19).to_bytes(32, "little"),
    (2**255 - 18).to_bytes(32, "little"),
    (2**255 - 1).to_bytes(32, "little"),
    (2**255 + 9).to_bytes(32, "little"),
    b"\xff" * 32,
]


def vector(name):
    if not VECTORS.exists():
        pytest.skip(f"the published Noise vectors are not at {VECTORS}")
    vectors = json.loads(VECTORS.read_text())["vectors"]
    (found,) = [v for v in vectors if v["protocol_name"] == name]
    return found


def pair_from(vector, name):
    return KeyPair(bytes.fromhex(vector[name])) if name in vector else None


def from_vector(pattern, vector, *, initiator):
    side = "init" if initiator else "resp"
    return Handshake(
        pattern,
        initiator=initiator,
        prologue=bytes.fromhex(vector[f"{side}_prologue"]),
        static=pair_from(vector, f"{side}_static"),
        remote_static=bytes.fromhex(vector["init_remote_static"]) if initiator else None,
        ephemeral=pair_from(vector, f"{side}_ephemeral"),
    )


def make_two(pattern, prologue=b"p"):
    static, ephemeral = KeyPair(b"\x01" * 32), KeyPair(b"\x02" * 32)
    remote, remote_ephemeral = KeyPair(b"\x03" * 32), KeyPair(b"\x04" * 32)
    alice = Handshake(
        pattern,
        initiator=True,
        prologue=prologue,
        static=static,
        remote_static=remote.public,
        ephemeral=ephemeral,
    )
    bob = Handshake(
        pattern,
        initiator=False,
        prologue=prologue,
        static=remote,
        ephemeral=remote_ephemeral,
    )
    return alice, bob


@pytest.mark.parametrize("pattern", Pattern)
def test_the_published_vectors(pattern):
    case = vector(pattern.protocol_name.decode())
    alice = from_vector(pattern, case, initiator=True)
    bob = from_vector(pattern, case, initiator=False)
    messages = [
        (bytes.fromhex(m["payload"]), bytes.fromhex(m["ciphertext"]))
        for m in case["messages"]
    ]
    writer, reader = alice, bob
    while not alice.finished:
        payload, ciphertext = messages.pop(0)
        assert writer.write(payload) == ciphertext
        assert reader.read(ciphertext) == payload
        writer, reader = reader, writer
    assert alice.hash == bob.hash == bytes.fromhex(case["handshake_hash"])
    assert bob.remote_static == pair_from(case, "init_static").public
    assert alice.split() == bob.split()
    check_transport(pattern, alice.split(), messages)


def check_transport(pattern, keys, messages):
    nonces = [0, 0]
    for number, (payload, ciphertext) in enumerate(messages):
        side = 0 if pattern is Pattern.X else number % 2
        nonce = bytes(4) + nonces[side].to_bytes(8, "little")
        assert ChaCha20Poly1305(keys[side]).encrypt(nonce, payload, b"") == ciphertext
        nonces[side] += 1


def test_two_sides_with_different_prologues_do_not_understand_each_other():
    alice, _ = make_two(Pattern.IK, b"one")
    _, bob = make_two(Pattern.IK, b"other")
    with pytest.raises(RemoteProtocolError, match="noise"):
        bob.read(alice.write(b""))


def test_a_forged_answer_does_not_spoil_the_handshake():
    alice, bob = make_two(Pattern.IK)
    bob.read(alice.write(b"hello"))
    answer = bob.write(b"hi")
    for spoiled in (answer[:-1], answer[:40], b"", answer[:-1] + bytes([answer[-1] ^ 1])):
        with pytest.raises(RemoteProtocolError):
            alice.read(spoiled)
    assert alice.read(answer) == b"hi"
    assert alice.split() == bob.split()


def test_a_spoiled_first_packet_leaves_the_responder_as_it_was():
    alice, bob = make_two(Pattern.IK)
    first = alice.write(b"hello")
    for at in range(len(first)):
        with pytest.raises(RemoteProtocolError):
            bob.read(first[:at] + bytes([first[at] ^ 0x20]) + first[at + 1 :])
        assert bob.remote_static is None
    assert bob.read(first) == b"hello"


def test_a_move_out_of_turn_is_our_own_bug():
    alice, bob = make_two(Pattern.IK)
    for move in (lambda: bob.write(b""), lambda: alice.read(b""), alice.split):
        with pytest.raises(LocalProtocolError):
            move()
    alice, bob = make_two(Pattern.X)
    bob.read(alice.write(b""))
    for move in (lambda: alice.write(b""), lambda: bob.write(b""), lambda: bob.read(b"")):
        with pytest.raises(LocalProtocolError):
            move()


def test_a_pattern_without_its_keys_is_our_own_bug():
    with pytest.raises(LocalProtocolError):
        Handshake(Pattern.X, initiator=True, prologue=b"", static=KeyPair(b"\x01" * 32))
    with pytest.raises(LocalProtocolError):
        Handshake(Pattern.X, initiator=False, prologue=b"", static=None)
    with pytest.raises(LocalProtocolError):
        KeyPair(b"short")


@pytest.mark.parametrize("public", LOW_ORDER + NOT_CANONICAL + [b"", bytes(31), bytes(33)])
def test_bad_public_keys_are_refused(public):
    with pytest.raises(RemoteProtocolError, match="public key"):
        KeyPair(b"\x07" * 32).exchange(public)


@pytest.mark.parametrize("public", LOW_ORDER)
def test_libsodium_refuses_the_low_order_keys_that_we_list(public):
    with pytest.raises(CryptoError):
        crypto_scalarmult(b"\x07" * 32, public)


@pytest.mark.parametrize("public", NOT_CANONICAL)
def test_a_key_that_is_not_canonical_is_refused_unseen(public):
    with pytest.raises(RemoteProtocolError, match="canonical"):
        check_public(public)


@pytest.mark.parametrize("public", LOW_ORDER)
def test_a_first_packet_with_a_low_order_key_is_refused(public):
    _, bob = make_two(Pattern.IK)
    with pytest.raises(RemoteProtocolError, match="low order"):
        bob.read(public + bytes(64))


def test_a_key_pair_does_not_show_its_private_half():
    pair = KeyPair.generate(os.urandom)
    assert pair.private.hex() not in repr(pair)
    assert repr(pair.private) not in repr(pair)


def test_secrets_of_static_keys_are_remembered_for_a_bounded_number_of_others():
    pair = KeyPair(b"\x07" * 32)
    others = [
        KeyPair(number.to_bytes(31) + b"\0").public for number in range(2**40, 2**40 + 600)
    ]
    for public in (*others, *others[-3:]):
        assert pair.exchange_static(public) == pair.exchange(public)
    assert len(pair._known) == 512
    with pytest.raises(RemoteProtocolError):
        pair.exchange_static(bytes(32))


@given(st.binary(max_size=300))
def test_noise_in_gives_a_protocol_error(message):
    _, bob = make_two(Pattern.IK)
    with pytest.raises(RemoteProtocolError):
        bob.read(message)


@given(st.sampled_from(Pattern), st.binary(max_size=100), st.binary(max_size=100))
def test_what_is_written_is_read(pattern, payload, prologue):
    alice, bob = make_two(pattern, prologue)
    assert bob.read(alice.write(payload)) == payload
    if pattern is Pattern.IK:
        assert alice.read(bob.write(payload)) == payload
    assert (alice.hash, alice.chaining_key) == (bob.hash, bob.chaining_key)
