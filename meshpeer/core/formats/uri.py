"""Bytes as a URI that people can copy: a scheme, and base64url (RFC 4648) without padding.

Each text has one form: what is not the encoding of its own bytes is refused, so that two URIs that
differ are two things.
"""

from base64 import b64decode, urlsafe_b64encode
from binascii import Error as Base64Error

from meshpeer.errors import RemoteProtocolError


def to_uri(scheme: str, data: bytes) -> str:
    """Give the URI of these bytes; the scheme ends with its colon."""
    return scheme + _letters(data)


def from_uri(text: str, scheme: str, field: str) -> bytes | None:
    """Give the bytes of a URI that may have been wrapped into lines; None for another scheme.

    RemoteProtocolError about `field` if it was damaged."""
    text = "".join(text.split())
    if not text.lower().startswith(scheme):
        return None
    letters = text[len(scheme) :]
    try:
        data = b64decode(letters + "=" * (-len(letters) % 4), altchars=b"-_", validate=True)
    except (Base64Error, ValueError) as error:
        raise RemoteProtocolError(field, f"not base64: {error}") from error
    if _letters(data) != letters:
        raise RemoteProtocolError(field, "not the one base64 form of its bytes")
    return data


def _letters(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")
