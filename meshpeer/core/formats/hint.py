"""Hints where a peer may be found, as a card carries them: `transport:address`.

    udp:203.0.113.7:4711          byte string of 6:  address, port
    udp:[2001:db8::7]:4711        byte string of 18: address, port
    udp:node.example.org:4711     text, as is every other transport

Addresses are packed, for a card must fit a QR code, and have no second form as text. A hint is
not signed and grants nothing: whoever answers there must still prove to be the peer.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from meshpeer.errors import LocalProtocolError, RemoteProtocolError

MAX_HINT: Final = 80

_FORM: Final = re.compile(r"[a-z][a-z0-9-]*:[!-~]+")
_UDP: Final = re.compile(r"udp:(?:\[([0-9a-fA-F:.]+)\]|([a-zA-Z0-9.-]+)):([1-9][0-9]{0,4})")


def pack_hint(hint: str) -> bytes | str:
    """Give what stands in a card for this hint; LocalProtocolError if nothing can."""
    try:
        return _packed(hint)
    except ValueError as error:
        raise LocalProtocolError(f"{hint!r} is no hint: {error}") from error


def unpack_hint(packed: object) -> str:
    """Give the text of a hint from a card, or raise RemoteProtocolError."""
    match packed:
        case bytes() if len(packed) == 6:
            host = str(IPv4Address(packed[:4]))
        case bytes() if len(packed) == 18:
            host = f"[{IPv6Address(packed[:16])}]"
        case str():
            host = ""
        case _:
            raise RemoteProtocolError("hint", "neither text nor 6 or 18 bytes")
    hint = (
        packed if isinstance(packed, str) else f"udp:{host}:{int.from_bytes(packed[-2:])}"
    )
    try:
        same = _packed(hint) == packed
    except ValueError as error:
        raise RemoteProtocolError("hint", str(error)) from error
    if not same:
        raise RemoteProtocolError("hint", "an address as text")
    return hint


def _packed(hint: str) -> bytes | str:
    if len(hint) > MAX_HINT or not _FORM.fullmatch(hint):
        raise ValueError(f"not transport:address in at most {MAX_HINT} characters")
    if not hint.startswith("udp:"):
        return hint
    parts = _UDP.fullmatch(hint)
    if parts is None or int(parts[3]) > 0xFFFF:
        raise ValueError("not udp:host:port or udp:[address]:port")
    if parts[2] and re.search(r"[a-zA-Z]", parts[2]):
        return hint
    return ip_address(parts[1] or parts[2]).packed + int(parts[3]).to_bytes(2)
