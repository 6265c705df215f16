"""Seals: who can open them, under which header, and what the receipt proves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.identity.noise import Handshake, KeyPair, Pattern, SymmetricState
from meshpeer.core.identity.preimage import one_way
from meshpeer.core.identity.seal import (
    SEAL_OVERHEAD,
    Seal,
    destination_tag,
    open_seal,
    pad,
    padded_size,
    unpad,
)
from meshpeer.errors import LocalProtocolError, RemoteProtocolError

ALICE, BOB, EVE = KeyPair(b"\xa1" * 32), KeyPair(b"\xb0" * 32), KeyPair(b"\xe0" * 32)
EPHEMERAL = KeyPair(b"\x0e" * 32)
MESSAGE_ID = bytes(range(16))
HEADER = b"immutable header"


def seal_to(receiver, message_id=MESSAGE_ID):
    return Seal(sender=ALICE, receiver=receiver, message_id=message_id, ephemeral=EPHEMERAL)


def test_a_seal_is_opened_by_its_receiver_who_knows_the_sender():
    seal = seal_to(BOB.public)
    payload = seal.close(HEADER, b"meet me")
    assert len(payload) == SEAL_OVERHEAD + 32
    opened = open_seal(payload, immutable=HEADER, receipt_hash=seal.receipt_hash, key=BOB)
    assert opened == (MESSAGE_ID, b"meet me", ALICE.public, seal.receipt)
    assert one_way(one_way(opened.receipt)) == seal.receipt_hash


def test_a_seal_is_noise_x_to_the_byte():
    noise = Handshake(
        Pattern.X,
        initiator=True,
        prologue=HEADER,
        static=ALICE,
        remote_static=BOB.public,
        ephemeral=EPHEMERAL,
    )
    assert seal_to(BOB.public).close(HEADER, b"meet me") == noise.write(
        pad(MESSAGE_ID + b"meet me")
    )


def test_a_seal_opens_for_nobody_else_and_under_no_other_header():
    seal = seal_to(BOB.public)
    payload = seal.close(HEADER, b"meet me")
    for key, header in ((EVE, HEADER), (ALICE, HEADER), (BOB, b"another"), (BOB, b"")):
        with pytest.raises(RemoteProtocolError):
            open_seal(payload, immutable=header, receipt_hash=seal.receipt_hash, key=key)


def test_a_seal_whose_receipt_would_purge_nothing_is_refused():
    payload = seal_to(BOB.public).close(HEADER, b"meet me")
    with pytest.raises(RemoteProtocolError, match="receipt hash"):
        open_seal(payload, immutable=HEADER, receipt_hash=bytes(16), key=BOB)


def test_every_changed_byte_is_noticed():
    seal = seal_to(BOB.public)
    payload = seal.close(HEADER, b"meet me")
    for at in range(len(payload)):
        changed = payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :]
        with pytest.raises(RemoteProtocolError):
            open_seal(changed, immutable=HEADER, receipt_hash=seal.receipt_hash, key=BOB)


def test_each_device_of_a_receiver_has_its_own_receipt_for_the_same_message():
    assert seal_to(BOB.public).receipt != seal_to(EVE.public).receipt
    assert seal_to(BOB.public).receipt != seal_to(BOB.public, bytes(16)).receipt


def sealed_by_hand(plaintext):
    """A seal by a sender who follows Noise but not the rules for what is inside."""
    state = SymmetricState(Pattern.X.protocol_name)
    for public in (HEADER, BOB.public, EPHEMERAL.public):
        state.mix_hash(public)
    state.mix_key(EPHEMERAL.exchange(BOB.public))
    sender = state.encrypt_and_hash(ALICE.public)
    state.mix_key(ALICE.exchange(BOB.public))
    return EPHEMERAL.public + sender + state.encrypt_and_hash(plaintext)


@pytest.mark.parametrize(
    ("field", "plaintext"),
    [
        ("padding", b""),
        ("padding", bytes(32)),
        ("padding", MESSAGE_ID + b"body"),
        ("padding", MESSAGE_ID + b"body\x80"),
        ("padding", pad(MESSAGE_ID + b"body") + bytes(32)),
        ("padding", pad(MESSAGE_ID + b"body")[:-1]),
        ("padding", pad(MESSAGE_ID + b"body")[:-1] + b"\x01"),
        ("seal", pad(b"")),
        ("seal", pad(bytes(15))),
    ],
)
def test_a_sender_who_pads_or_fills_in_another_way_is_refused(field, plaintext):
    with pytest.raises(RemoteProtocolError) as refusal:
        open_seal(
            sealed_by_hand(plaintext), immutable=HEADER, receipt_hash=bytes(16), key=BOB
        )
    assert refusal.value.field == field


def test_a_card_with_a_bad_sealing_key_gets_no_seal():
    with pytest.raises(RemoteProtocolError, match="low order"):
        seal_to(bytes(32))
    with pytest.raises(RemoteProtocolError, match="canonical"):
        seal_to(b"\xff" * 32)
    with pytest.raises(LocalProtocolError):
        seal_to(BOB.public, b"short")


def test_a_tag_belongs_to_one_sealing_key():
    assert len(destination_tag(BOB.public)) == 16
    assert destination_tag(BOB.public) != destination_tag(EVE.public)


def test_sizes_of_seals_tell_little():
    assert [padded_size(n) for n in (1, 32, 33, 1000, 1024)] == [32, 32, 64, 1024, 1024]
    assert [padded_size(n) for n in (1025, 1088, 5000, 131_072)] == [
        1088,
        1088,
        5120,
        131_072,
    ]
    assert all(n <= padded_size(n) <= n * 1.12 for n in range(1024, 330_000, 7))
    sizes = [padded_size(n) for n in range(1, 70_000)]
    assert sizes == sorted(sizes)
    assert all(padded_size(size) == size for size in set(sizes))


@given(st.binary(max_size=3000))
def test_padding_is_undone(body):
    padded = pad(body)
    assert unpad(padded) == body
    assert len(padded) == padded_size(len(body) + 1)


@given(st.binary(max_size=200).map(lambda noise: noise + b"\x80") | st.binary(max_size=200))
def test_noise_gives_a_body_or_a_protocol_error(noise):
    try:
        body = unpad(noise)
    except RemoteProtocolError:
        return
    assert pad(body) == noise


@given(st.binary(max_size=300))
def test_noise_opens_as_nothing(noise):
    with pytest.raises(RemoteProtocolError):
        open_seal(noise, immutable=HEADER, receipt_hash=bytes(16), key=BOB)
