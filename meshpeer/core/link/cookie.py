"""Cookies: under load, an address is proved by echo before any Diffie-Hellman (as WireGuard's).

The cookie is a MAC of the path under a secret of ours that changes every two minutes, so giving
one out stores nothing. It travels sealed to the packet that asked for it, under a key that only
those know who know our peer id.
"""

from collections.abc import Callable
from hashlib import blake2s
from hmac import compare_digest
from typing import Final

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt as unseal,
)
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_encrypt as seal,
)
from nacl.exceptions import CryptoError

from meshpeer.core.link import packet
from meshpeer.core.link.path import Path
from meshpeer.errors import RemoteProtocolError

LIFETIME: Final = 120.0
"""Seconds for which a cookie's secret serves."""
NONCE_SIZE: Final = 24


def _cookie_key(peer_id: bytes) -> bytes:
    """The key that seals this peer's cookies."""
    return blake2s(b"meshpeer cookie" + peer_id).digest()


def open_cookie(reply: packet.Cookie, peer_id: bytes, mac1: bytes) -> bytes:
    """Give the 16-byte cookie sealed to our packet with this mac1, or raise RemoteProtocolError."""
    try:
        opened: bytes = unseal(reply.sealed, mac1, reply.nonce, _cookie_key(peer_id))
    except CryptoError as error:
        raise RemoteProtocolError("cookie", "does not open") from error
    return opened


class CookieJar:
    """Gives out and checks cookies; keeps one secret, whatever the number of strangers."""

    def __init__(self, peer_id: bytes, *, now: float, rng: Callable[[int], bytes]) -> None:
        self._key = _cookie_key(peer_id)
        self._rng = rng
        self._secret = rng(32)
        self._until = now + LIFETIME

    def reply(self, first: packet.Initiation, path: Path, now: float) -> bytes:
        """Write the COOKIE packet that answers this initiation."""
        nonce = self._rng(NONCE_SIZE)
        sealed: bytes = seal(self._cookie(path, now), first.mac1, nonce, self._key)
        return packet.cookie(first.sender, nonce, sealed)

    def valid(self, first: packet.Initiation, path: Path, now: float) -> bool:
        """Whether this initiation shows the cookie that was given to its path."""
        expected = packet.mac(self._cookie(path, now), first.signed + first.mac1)
        return compare_digest(expected, first.mac2)

    def _cookie(self, path: Path, now: float) -> bytes:
        if now >= self._until:
            self._secret, self._until = self._rng(32), now + LIFETIME
        return packet.mac(self._secret, repr(path).encode())
