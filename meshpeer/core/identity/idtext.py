"""Ids as people see them, read them aloud and type them: 14 groups of 4 letters and digits.

    abcd-efgh-...    base32 (RFC 4648 alphabet, lower case) of the 32 bytes and their CRC-24

A CRC of 24 bits catches for sure every error within 24 neighbouring bits: a wrong character
(5 bits), two neighbours swapped (10), four wrong ones in a row (20); of all others it misses one
in 16 million. 256 + 24 bits are 56 characters with no bit to spare, so each id has one text. A
hash would catch a swap only probably, and two check characters over GF(32) catch less. The CRC is
OpenPGP's (RFC 9580 section 6.1), which others have written already.
"""

from base64 import b32decode, b32encode
from functools import lru_cache
from typing import Final

from meshpeer.errors import LocalProtocolError, UsageError

ID_SIZE: Final = 32
ID_CHARACTERS: Final = 56
REMEMBERED: Final = 1_024
"""Texts kept: each event that clients follow names somebody, and a text takes 60 us to make."""

_GROUP: Final = 4
_ALPHABET: Final = frozenset("abcdefghijklmnopqrstuvwxyz234567")
_LOOKALIKES: Final = {"0": "o", "1": "l or i", "8": "b", "9": "g"}
_CRC_START: Final = 0xB704CE
_CRC_POLYNOMIAL: Final = 0x1864CFB


@lru_cache(REMEMBERED)
def encode(identity: bytes) -> str:
    """Give the text of a 32-byte id."""
    if len(identity) != ID_SIZE:
        raise LocalProtocolError(f"an id of {len(identity)} bytes, not {ID_SIZE}")
    letters = b32encode(identity + _crc24(identity)).decode().lower()
    groups = (letters[at : at + _GROUP] for at in range(0, ID_CHARACTERS, _GROUP))
    return "-".join(groups)


def decode(text: str) -> bytes:
    """Give the id that was typed, forgiving case, spaces and dashes; UsageError says what is wrong."""
    letters = "".join(text.split()).replace("-", "").lower()
    for place, letter in enumerate(letters, 1):
        if letter not in _ALPHABET:
            hint = _LOOKALIKES.get(letter)
            meant = f"; did you mean {hint}?" if hint else ""
            raise UsageError(f"{letter!r}, character {place} of the id, is in no id{meant}")
    if len(letters) != ID_CHARACTERS:
        raise UsageError(
            f"the id has {len(letters)} characters, every id has {ID_CHARACTERS}"
        )
    raw = b32decode(letters.upper())
    identity = raw[:ID_SIZE]
    if raw[ID_SIZE:] != _crc24(identity):
        raise UsageError("the id has a typing error: its check characters don't fit")
    return identity


def _crc24(data: bytes) -> bytes:
    crc = _CRC_START
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= _CRC_POLYNOMIAL
    return crc.to_bytes(3)
