"""Seals: Noise X from the sender's certified sealing key to the receiver's device.

    0..32   ephemeral key
    32..80  the sender's sealing key, encrypted
    80..    message id (16), body, padding; encrypted in one AEAD message

The prologue is the bundle's immutable header, so a seal opens under no other header. The header
carries h = H(H(r)), and r comes from the chaining key, which doesn't depend on the prologue: so
a seal is made in two steps, first its receipt, then, once the header stands, its closing.

    r = BLAKE2s("r" + final chaining key + message id)[:16]

Sender and receiver alone know r; the receiver refuses a seal whose r does not give h, for its
receipt would purge nothing. The message id stands in front of the body because r needs it and
this layer knows nothing of what a body is.

A body ends with 0x80 and zeros (ISO 7816-4), up to steps of 32 bytes, and of Padmé's size above
1 KiB: at most 12 % more, and a length that tells little. Any other padding is refused, so there
is one form. One AEAD message may exceed Noise's 65,535 bytes: our only departure from Noise.
"""

from hashlib import blake2s
from typing import Final, NamedTuple

from meshpeer.core.identity.noise import (
    KEY_SIZE,
    TAG_SIZE,
    Handshake,
    KeyPair,
    Pattern,
    SymmetricState,
    hkdf,
)
from meshpeer.core.identity.preimage import VALUE_SIZE, one_way
from meshpeer.errors import LocalProtocolError, RemoteProtocolError

MESSAGE_ID_SIZE: Final = 16
SEAL_OVERHEAD: Final = KEY_SIZE + KEY_SIZE + TAG_SIZE + TAG_SIZE

_PADDING_STEP: Final = 32
_PADME_ABOVE: Final = 1024


def destination_tag(sealing_public: bytes) -> bytes:
    """Give the 16-byte tag under which bundles for this sealing key travel."""
    return blake2s(b"meshpeer/tag/1" + sealing_public).digest()[:16]


def padded_size(size: int) -> int:
    """Give the smallest allowed size that holds `size` bytes."""
    if size <= _PADME_ABOVE:
        step = _PADDING_STEP
    else:
        exponent = size.bit_length() - 1
        step = 1 << (exponent - exponent.bit_length())
    return -(-size // step) * step


def pad(body: bytes) -> bytes:
    """Add 0x80 and zeros up to an allowed size."""
    return (body + b"\x80").ljust(padded_size(len(body) + 1), b"\0")


def unpad(padded: bytes) -> bytes:
    """Undo `pad`, or raise RemoteProtocolError."""
    body = padded.rstrip(b"\0")
    if body[-1:] != b"\x80" or len(padded) != padded_size(len(body)):
        raise RemoteProtocolError(
            "padding", f"not that of any body, in {len(padded)} bytes"
        )
    return body[:-1]


class Seal:
    """A seal in the making, to one device: its receipt is known before its header."""

    def __init__(
        self, *, sender: KeyPair, receiver: bytes, message_id: bytes, ephemeral: KeyPair
    ) -> None:
        """RemoteProtocolError if the receiver's key is a bad one; `ephemeral` is used once only."""
        if len(message_id) != MESSAGE_ID_SIZE:
            raise LocalProtocolError(f"a message id of {len(message_id)} bytes")
        self._sender = sender.public
        self._receiver = receiver
        self._ephemeral = ephemeral.public
        self._message_id = message_id
        chaining_key = SymmetricState(Pattern.X.protocol_name).chaining_key
        chaining_key, self._sender_key = hkdf(chaining_key, ephemeral.exchange(receiver))
        chaining_key, self._body_key = hkdf(chaining_key, sender.exchange_static(receiver))
        self.receipt = _receipt(chaining_key, message_id)
        """r: whoever shows it has opened the seal, or made it."""
        self.receipt_hash = one_way(one_way(self.receipt))
        """h, for the header."""

    def close(self, immutable: bytes, body: bytes) -> bytes:
        """Give the payload that goes under this immutable header."""
        state = SymmetricState(Pattern.X.protocol_name)
        for public in (immutable, self._receiver, self._ephemeral):
            state.mix_hash(public)
        state.set_key(self._sender_key)
        sender = state.encrypt_and_hash(self._sender)
        state.set_key(self._body_key)
        return (
            self._ephemeral + sender + state.encrypt_and_hash(pad(self._message_id + body))
        )


class Opened(NamedTuple):
    """What a seal held, and who is proven to have made it."""

    message_id: bytes
    body: bytes
    sender: bytes
    """The sender's sealing key: a device certificate says whose it is."""
    receipt: bytes
    """r, to be shown once what was opened is durable."""


def open_seal(
    payload: bytes, *, immutable: bytes, receipt_hash: bytes, key: KeyPair
) -> Opened:
    """Open a payload under its header, or raise RemoteProtocolError and nothing else."""
    handshake = Handshake(Pattern.X, initiator=False, prologue=immutable, static=key)
    plaintext = unpad(handshake.read(payload))
    if len(plaintext) < MESSAGE_ID_SIZE:
        raise RemoteProtocolError(
            "seal", f"{len(plaintext)} bytes, too short for a message id"
        )
    message_id, body = plaintext[:MESSAGE_ID_SIZE], plaintext[MESSAGE_ID_SIZE:]
    receipt = _receipt(handshake.chaining_key, message_id)
    if one_way(one_way(receipt)) != receipt_hash:
        raise RemoteProtocolError("receipt hash", "not that of this seal's receipt")
    assert handshake.remote_static is not None
    return Opened(message_id, body, handshake.remote_static, receipt)


def _receipt(chaining_key: bytes, message_id: bytes) -> bytes:
    return blake2s(b"r" + chaining_key + message_id).digest()[:VALUE_SIZE]
