"""What a new device shows to the device that has the person's key, to be put on its list.

    [1, certificate, signature]      deterministic CBOR, as `meshpeer-device:` and base64url

The certificate holds the device key, the sealing key and the peer id (identity/certificate.py).
The device key signs it under the purpose below, so nobody can ask for a key of somebody else's.
Nothing in it is secret, and nothing proves who sent it: whoever adds the device compares its id
text on both screens, as with a contact.
"""

from dataclasses import dataclass
from typing import Final

from meshpeer.core.formats.cbor import decode, encode
from meshpeer.core.formats.uri import from_uri, to_uri
from meshpeer.core.identity.certificate import Certificate
from meshpeer.core.identity.keys import SIGNATURE_SIZE, DeviceKey, verify
from meshpeer.errors import RemoteProtocolError, UsageError

VERSION: Final = 1
SCHEME: Final = "meshpeer-device:"
MAX_REQUEST: Final = 256
"""Bytes; a request has 166."""

_PURPOSE: Final = b"meshpeer/device-request/1"


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """A device that asks to be listed; parsed, whoever made it holds the device key."""

    certificate: Certificate
    signature: bytes

    @classmethod
    def sign(cls, device: DeviceKey, certificate: Certificate) -> "DeviceRequest":
        """Make the request of a device here."""
        return cls(certificate, device.sign(_PURPOSE, _signed(certificate)))

    @classmethod
    def parse(cls, data: bytes) -> "DeviceRequest":
        """Read a request and verify it, or raise RemoteProtocolError and nothing else."""
        if len(data) > MAX_REQUEST:
            raise RemoteProtocolError(
                "device request", f"{len(data)} bytes, limit {MAX_REQUEST}"
            )
        match decode(data, "device request"):
            case [int(version), bytes(packed), bytes(signature)] if version is not True:
                pass
            case _:
                raise RemoteProtocolError("device request", "not its three parts")
        if version != VERSION:
            raise RemoteProtocolError(
                "device request", f"version {version}, known is {VERSION}"
            )
        if len(signature) != SIGNATURE_SIZE:
            raise RemoteProtocolError("signature", f"{len(signature)} bytes")
        certificate = Certificate.unpack(packed)
        certificate.check()
        if len(set(certificate)) != len(certificate):
            raise RemoteProtocolError("certificate", "a key comes twice")
        verify(certificate.device, _PURPOSE, _signed(certificate), signature)
        return cls(certificate, signature)

    def to_bytes(self) -> bytes:
        """Give the one encoding of the request."""
        return encode([VERSION, self.certificate.pack(), self.signature])

    def to_uri(self) -> str:
        """Give the request as a `meshpeer-device:` URI."""
        return to_uri(SCHEME, self.to_bytes())

    @classmethod
    def read(cls, text: str) -> "DeviceRequest":
        """Read a URI that a person gave us; UsageError says what is wrong with it."""
        try:
            data = from_uri(text, SCHEME, "device request")
            if data is None:
                raise UsageError(
                    f"that is no request of a device, which starts with {SCHEME}: "
                    "run `meshpeer device request` on the new device"
                )
            return cls.parse(data)
        except RemoteProtocolError as error:
            raise UsageError(
                f"that request is damaged, or not copied whole ({error})"
            ) from error


def _signed(certificate: Certificate) -> bytes:
    return encode([VERSION, certificate.pack()])
