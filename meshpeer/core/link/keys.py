"""The keys of a link's packets, renewed by a ratchet as in RFC 9001 section 6.

Each direction has a secret; its packet key is BLAKE2s(secret, "key"), the next secret
BLAKE2s(secret, "next"). The packet's phase bit tells which of two neighbouring keys sealed it.
Either side may move on when its last move was acknowledged; the other follows when the first
packet of the new phase opens. The old receiving key stays for what is still on its way.
"""

from hashlib import blake2s
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305


def packet_key(secret: bytes) -> ChaCha20Poly1305:
    """The AEAD of one phase."""
    return ChaCha20Poly1305(blake2s(b"key", key=secret).digest())


def next_secret(secret: bytes) -> bytes:
    """The secret of the phase after."""
    return blake2s(b"next", key=secret).digest()


class Secrets(NamedTuple):
    """What opens one direction of a link from now on, and nothing that was sealed before."""

    connection: bytes
    """The connection id that the packets bear."""
    secret: bytes
    phase: int
    counter: int
    """Of the next packet."""


class Keys:
    """The sending and receiving keys of one link."""

    __slots__ = (
        "_next",
        "_old",
        "_receive_secret",
        "_send_secret",
        "phase_start",
        "receive",
        "receive_phase",
        "send",
        "send_phase",
    )

    def __init__(self, send_secret: bytes, receive_secret: bytes) -> None:
        self._send_secret, self._receive_secret = send_secret, receive_secret
        self.send, self.receive = packet_key(send_secret), packet_key(receive_secret)
        self._next = packet_key(next_secret(receive_secret))
        self._old: ChaCha20Poly1305 | None = None
        self.send_phase = self.receive_phase = 0
        self.phase_start = 0
        """The lowest counter that came in the receiving phase."""

    @property
    def secrets(self) -> tuple[bytes, bytes]:
        """The sending and the receiving secret of the current phases."""
        return self._send_secret, self._receive_secret

    def renew(self) -> None:
        """Seal what is sent from now on with the next key."""
        self._send_secret = next_secret(self._send_secret)
        self.send = packet_key(self._send_secret)
        self.send_phase ^= 1

    def open_other(self, nonce: bytes, counter: int, sealed: bytes, header: bytes) -> bytes:
        """Open a packet whose phase is not the current one; InvalidTag if neither key fits.

        One of a phase not met before moves the receiving key, and the sending key with it.
        """
        if counter < self.phase_start:
            if self._old is None:
                raise InvalidTag
            return self._old.decrypt(nonce, sealed, header)
        plain = self._next.decrypt(nonce, sealed, header)
        self._old, self.receive = self.receive, self._next
        self._receive_secret = next_secret(self._receive_secret)
        self._next = packet_key(next_secret(self._receive_secret))
        self.receive_phase ^= 1
        self.phase_start = counter
        if self.send_phase != self.receive_phase:
            self.renew()
        return plain

    def opened(self, counter: int) -> None:
        """A packet of the current phase came: the phase starts no later than there."""
        self.phase_start = min(self.phase_start, counter)
