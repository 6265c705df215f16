"""What makes a device a person's: three keys that the person's signature binds together.

    0..32   device key: Ed25519, signs
    32..64  sealing key: X25519, receives
    64..96  peer id: X25519, the peer that the device lives on

The signature stands once, under the numbered list of all devices (formats/card.py), so that a
card of one device fits a QR code. No key serves two purposes: a list in which any key comes
twice, or is the person id, is refused.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from meshpeer.core.identity.keys import check_signing_public
from meshpeer.core.identity.noise import KEY_SIZE, check_public
from meshpeer.errors import RemoteProtocolError

CERTIFICATE_SIZE: Final = 3 * KEY_SIZE


class Certificate(NamedTuple):
    """One device of a person; certified by the signature of the list it stands in."""

    device: bytes
    sealing: bytes
    peer: bytes

    def pack(self) -> bytes:
        """Give the 96 bytes that are signed as a part of the list."""
        return self.device + self.sealing + self.peer

    @classmethod
    def unpack(cls, packed: bytes) -> "Certificate":
        """Cut 96 bytes into keys, or raise RemoteProtocolError; `check` judges them."""
        if len(packed) != CERTIFICATE_SIZE:
            raise RemoteProtocolError(
                "certificate", f"{len(packed)} bytes, one has {CERTIFICATE_SIZE}"
            )
        return cls(packed[:32], packed[32:64], packed[64:])

    def check(self) -> None:
        """Raise RemoteProtocolError unless each key is canonical and of full order."""
        check_signing_public(self.device)
        check_public(self.sealing)
        check_public(self.peer)


def check_distinct(person: bytes, certificates: Sequence[Certificate]) -> None:
    """Raise RemoteProtocolError if any key among a person's devices serves two purposes."""
    keys = {person, *(key for certificate in certificates for key in certificate)}
    if len(keys) != 1 + 3 * len(certificates):
        raise RemoteProtocolError("certificate", "a key comes twice")
