"""Noise handshakes IK (links) and X (seals): 25519, ChaChaPoly, BLAKE2s; revision 34 of the paper.

Written here because the whole of it is shorter than what a general library would need around
it, and because a seal needs the chaining key before the prologue is known (see seal.py).

X25519 is libsodium's, by PyNaCl: 32 us an exchange and 17 us a new key from bytes, where
`cryptography` takes 33 (and 32 more to take in a private key) and 44. ChaCha20Poly1305 is
`cryptography`'s: 1 us a small call against 4. HMAC is written out over hashlib's BLAKE2s: 1 us
against 2 for `hmac.digest`, and a handshake makes six to twelve of them.

Rules of this file:
- A public key is refused unless canonical (below 2^255 - 19) and not of low order, and an exchange
  unless its result is other than zero, which says the same once more.
- The secret of two static keys is remembered, so that one who writes again costs 32 us less. How
  long a failure takes tells nobody who wrote before: asking is what makes the answer yes.
- A read that fails changes nothing, so a forged answer can't spoil a handshake under way.
"""

from collections.abc import Callable
from copy import copy
from enum import Enum
from hashlib import blake2s
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base
from nacl.exceptions import CryptoError

from meshpeer.errors import LocalProtocolError, RemoteProtocolError

KEY_SIZE: Final = 32
TAG_SIZE: Final = 16

_FIELD_PRIME: Final = 2**255 - 19
_LOW_ORDER: Final = frozenset(
    {
        0,
        1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
        _FIELD_PRIME - 1,
    }
)
_MAX_KNOWN: Final = 512
_INNER_PAD: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD: Final = bytes(byte ^ 0x5C for byte in range(256))


def check_public(public: bytes) -> bytes:
    """Give the X25519 public key back if it is a good one, or raise RemoteProtocolError."""
    if len(public) != KEY_SIZE:
        raise RemoteProtocolError(
            "public key", f"{len(public)} bytes, a key has {KEY_SIZE}"
        )
    coordinate = int.from_bytes(public, "little")
    if coordinate >= _FIELD_PRIME:
        raise RemoteProtocolError("public key", "not the canonical form of its point")
    if coordinate in _LOW_ORDER:
        raise RemoteProtocolError("public key", "of low order")
    return public


class KeyPair:
    """An X25519 key pair; shows only its public half."""

    __slots__ = ("_known", "private", "public")

    def __init__(self, private: bytes) -> None:
        if len(private) != KEY_SIZE:
            raise LocalProtocolError(
                f"a private key of {len(private)} bytes, not {KEY_SIZE}"
            )
        self.private = private
        self.public: bytes = crypto_scalarmult_base(private)
        self._known: dict[bytes, bytes] = {}

    @classmethod
    def generate(cls, rng: Callable[[int], bytes]) -> "KeyPair":
        """Make a new pair from 32 random bytes."""
        return cls(rng(KEY_SIZE))

    def exchange(self, public: bytes) -> bytes:
        """Give the 32-byte shared secret, or raise RemoteProtocolError for a bad public key."""
        check_public(public)
        try:
            secret: bytes = crypto_scalarmult(self.private, public)
        except CryptoError as error:
            raise RemoteProtocolError("public key", "of low order") from error
        if not any(secret):
            raise RemoteProtocolError("public key", "of low order")
        return secret

    def exchange_static(self, public: bytes) -> bytes:
        """The same for another's static key, whose secret is remembered: it comes again."""
        secret = self._known.get(public)
        if secret is None:
            secret = self.exchange(public)
            if len(self._known) >= _MAX_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[public] = secret
        return secret

    def __repr__(self) -> str:
        return f"KeyPair(public={self.public.hex()})"


def _hmac(key: bytes, data: bytes) -> bytes:
    padded = key.ljust(64, b"\0")
    inner = blake2s(padded.translate(_INNER_PAD) + data).digest()
    return blake2s(padded.translate(_OUTER_PAD) + inner).digest()


def hkdf(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    """Noise's HKDF with two outputs of 32 bytes (section 4.3)."""
    secret = _hmac(chaining_key, material)
    first = _hmac(secret, b"\x01")
    return first, _hmac(secret, first + b"\x02")


class Pattern(Enum):
    """The two patterns we use: the tokens of each message; the responder's key is known before."""

    IK = (("e", "es", "s", "ss"), ("e", "ee", "se"))
    X = (("e", "es", "s", "ss"),)

    @property
    def protocol_name(self) -> bytes:
        """As it is hashed at the start: names the pattern and all three functions."""
        return f"Noise_{self.name}_25519_ChaChaPoly_BLAKE2s".encode()


class SymmetricState:
    """The running hash, chaining key and cipher of a handshake (section 5.2)."""

    __slots__ = ("_cipher", "_nonce", "chaining_key", "hash")

    def __init__(self, protocol_name: bytes) -> None:
        known = len(protocol_name) <= KEY_SIZE
        start = (
            protocol_name.ljust(KEY_SIZE, b"\0")
            if known
            else blake2s(protocol_name).digest()
        )
        self.hash = self.chaining_key = start
        self._cipher: ChaCha20Poly1305 | None = None
        self._nonce = 0

    def mix_hash(self, data: bytes) -> None:
        """Bind data that both sides see."""
        self.hash = blake2s(self.hash + data).digest()

    def mix_key(self, secret: bytes) -> None:
        """Bind a shared secret: from here on what is written is encrypted."""
        self.chaining_key, key = hkdf(self.chaining_key, secret)
        self.set_key(key)

    def set_key(self, key: bytes) -> None:
        """Encrypt under a key that `hkdf` gave before."""
        self._cipher, self._nonce = ChaCha20Poly1305(key), 0

    @property
    def overhead(self) -> int:
        """Bytes that encryption adds now."""
        return TAG_SIZE if self._cipher else 0

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        """Encrypt under the current key, if there is one, and bind what goes out."""
        ciphertext = plaintext
        if self._cipher:
            ciphertext = self._cipher.encrypt(self._next_nonce(), plaintext, self.hash)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        """Undo `encrypt_and_hash`, or raise RemoteProtocolError."""
        plaintext = ciphertext
        if self._cipher:
            try:
                plaintext = self._cipher.decrypt(self._next_nonce(), ciphertext, self.hash)
            except InvalidTag as error:
                raise RemoteProtocolError("noise", "does not decrypt") from error
        self.mix_hash(ciphertext)
        return plaintext

    def _next_nonce(self) -> bytes:
        nonce = self._nonce.to_bytes(12, "little")
        self._nonce += 1
        return nonce[8:] + nonce[:8]


class Handshake:
    """One side of a handshake: `write` and `read` in turn until `finished`, then `split`."""

    def __init__(
        self,
        pattern: Pattern,
        *,
        initiator: bool,
        prologue: bytes,
        static: KeyPair | None,
        remote_static: bytes | None = None,
        ephemeral: KeyPair | None = None,
    ) -> None:
        self.remote_static = remote_static
        """The other's static key: given to an initiator, proven to a responder by its first read."""
        self._initiator = initiator
        self._static = static
        self._ephemeral = ephemeral
        self._remote_ephemeral: bytes | None = None
        self._messages: tuple[tuple[str, ...], ...] = pattern.value
        self._step = 0
        self._state = SymmetricState(pattern.protocol_name)
        self._state.mix_hash(prologue)
        self._state.mix_hash(
            self._key(remote_static) if initiator else self._pair(static).public
        )

    @property
    def hash(self) -> bytes:
        """The handshake hash: once finished, the same on both sides and on no other link."""
        return self._state.hash

    @property
    def chaining_key(self) -> bytes:
        """The chaining key; it does not depend on the prologue."""
        return self._state.chaining_key

    @property
    def finished(self) -> bool:
        """Whether every message of the pattern has passed."""
        return self._step == len(self._messages)

    def write(self, payload: bytes) -> bytes:
        """Give the next message; LocalProtocolError when it is not ours to write."""
        tokens = self._turn(ours=True)
        parts = [self._write_token(token) for token in tokens]
        self._step += 1
        return b"".join([*parts, self._state.encrypt_and_hash(payload)])

    def read(self, message: bytes) -> bytes:
        """Give the payload of the other's message; RemoteProtocolError leaves all as it was."""
        tokens = self._turn(ours=False)
        before = copy(self._state), self._remote_ephemeral, self.remote_static
        try:
            for token in tokens:
                message = self._read_token(token, message)
            payload = self._state.decrypt_and_hash(message)
        except RemoteProtocolError:
            self._state, self._remote_ephemeral, self.remote_static = before
            raise
        self._step += 1
        return payload

    def split(self) -> tuple[bytes, bytes]:
        """Give the initiator's and the responder's sending key, 32 bytes each."""
        if not self.finished:
            raise LocalProtocolError("the handshake is not finished")
        return hkdf(self._state.chaining_key, b"")

    def _turn(self, *, ours: bool) -> tuple[str, ...]:
        if self.finished or (self._step % 2 == 0) != (self._initiator == ours):
            raise LocalProtocolError(f"message {self._step} is not ours to pass")
        return self._messages[self._step]

    def _write_token(self, token: str) -> bytes:
        match token:
            case "e":
                public = self._pair(self._ephemeral).public
                self._state.mix_hash(public)
                return public
            case "s":
                return self._state.encrypt_and_hash(self._pair(self._static).public)
            case _:
                self._state.mix_key(self._exchange(token))
                return b""

    def _read_token(self, token: str, message: bytes) -> bytes:
        match token:
            case "e":
                public, rest = self._cut(message, KEY_SIZE)
                self._remote_ephemeral = public
                self._state.mix_hash(public)
                return rest
            case "s":
                sealed, rest = self._cut(message, KEY_SIZE + self._state.overhead)
                self.remote_static = self._state.decrypt_and_hash(sealed)
                return rest
            case _:
                self._state.mix_key(self._exchange(token))
                return message

    def _exchange(self, token: str) -> bytes:
        """Do the exchange a token names: the initiator's key first, then the responder's."""
        ours, theirs = tuple(token) if self._initiator else tuple(reversed(token))
        pair = self._ephemeral if ours == "e" else self._static
        public = self._remote_ephemeral if theirs == "e" else self.remote_static
        if token == "ss":
            return self._pair(pair).exchange_static(self._key(public))
        return self._pair(pair).exchange(self._key(public))

    @staticmethod
    def _cut(message: bytes, size: int) -> tuple[bytes, bytes]:
        if len(message) < size:
            raise RemoteProtocolError(
                "noise", f"{len(message)} bytes where {size} are needed"
            )
        return message[:size], message[size:]

    @staticmethod
    def _pair(pair: KeyPair | None) -> KeyPair:
        if pair is None:
            raise LocalProtocolError("the pattern needs a key pair that was not given")
        return pair

    @staticmethod
    def _key(key: bytes | None) -> bytes:
        if key is None:
            raise LocalProtocolError("the pattern needs a key that was not given")
        return key
