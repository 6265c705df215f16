"""Deterministic CBOR (RFC 8949 section 4.2.1): each value has one encoding, all else is refused.

Integers of 64 bits, byte and text strings, lists, maps, booleans and null; no floats, no tags, no
indefinite lengths, for nothing of ours needs them. Map keys are integers or text, in the order of
their encoded bytes.

Written here because `cbor2` decodes far more than this (tags run code of its own, keys may come
twice), so what it gave would have to be encoded again to be judged; here the one reading checks
the form. Depth, and the number of items, are bounded: 320 KiB of one-byte items is all a sender
can ask for, and it gets 4,096 of them.
"""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from meshpeer.errors import LocalProtocolError, RemoteProtocolError

Key: TypeAlias = int | str
Value: TypeAlias = (
    int | bytes | str | bool | Sequence["Value"] | Mapping[Key, "Value"] | None
)

MAX_DEPTH: Final = 8
MAX_ITEMS: Final = 4_096

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _LIST, _MAP, _TAG, _SIMPLE = range(8)
_SIMPLES: Final = {20: False, 21: True, 22: None}


def encode(value: object) -> bytes:
    """Give the one encoding of a value; LocalProtocolError if it has none."""
    match value:
        case None:
            return b"\xf6"
        case bool():
            return b"\xf5" if value else b"\xf4"
        case int():
            return _head(_UNSIGNED, value) if value >= 0 else _head(_NEGATIVE, -1 - value)
        case bytes():
            return _head(_BYTES, len(value)) + value
        case str():
            return _encode_text(value)
        case list() | tuple():
            return _head(_LIST, len(value)) + b"".join(map(encode, value))
        case dict():
            return _encode_map(value)
        case _:
            raise LocalProtocolError(f"CBOR of ours has no {type(value).__name__}")


def _encode_text(text: str) -> bytes:
    try:
        raw = text.encode()
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"text that is not Unicode: {error}") from error
    return _head(_TEXT, len(raw)) + raw


def _encode_map(pairs: Mapping[object, object]) -> bytes:
    if not all(isinstance(key, int | str) and not isinstance(key, bool) for key in pairs):
        raise LocalProtocolError("a map's keys are integers or text")
    encoded = sorted((encode(key), encode(value)) for key, value in pairs.items())
    return _head(_MAP, len(pairs)) + b"".join(key + value for key, value in encoded)


def _head(major: int, argument: int) -> bytes:
    major <<= 5
    if argument < 24:
        return bytes((major | argument,))
    for extra, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << 8 * size:
            return bytes((major | extra,)) + argument.to_bytes(size, "big")
    raise LocalProtocolError(f"{argument} does not fit 64 bits")


def decode(data: bytes, field: str = "cbor") -> Value:
    """Read the one value that `data` is, or raise RemoteProtocolError, which names `field`."""
    reader = _Reader(data, field)
    value = reader.value(MAX_DEPTH)
    if reader.at != len(data):
        raise reader.error(f"{len(data) - reader.at} bytes after the end")
    return value


class _Reader:
    """Reads one value after the other; every check of the form stands where it is read."""

    __slots__ = ("_data", "_field", "_items", "at")

    def __init__(self, data: bytes, field: str) -> None:
        self._data = data
        self._field = field
        self._items = 0
        self.at = 0

    def error(self, reason: str) -> RemoteProtocolError:
        return RemoteProtocolError(self._field, f"{reason}, byte {self.at}")

    def value(self, depth: int) -> Value:
        self._items += 1
        if self._items > MAX_ITEMS:
            raise self.error(f"more than {MAX_ITEMS} items")
        major, argument = self._head()
        match major:
            case 0:
                return argument
            case 1:
                return -1 - argument
            case 2:
                return self._take(argument)
            case 3:
                return self._text(argument)
            case 7 if argument in _SIMPLES:
                return _SIMPLES[argument]
            case 4 | 5 if not depth:
                raise self.error(f"deeper than {MAX_DEPTH}")
            case 4:
                return [self.value(depth - 1) for _ in range(argument)]
            case 5:
                return self._map(argument, depth - 1)
            case _:
                raise self.error(f"a kind of item that we don't use ({major}, {argument})")

    def _head(self) -> tuple[int, int]:
        first = self._take(1)[0]
        major, short = first >> 5, first & 0x1F
        if short < 24:
            return major, short
        if short > 27 or major == _SIMPLE:
            raise self.error(f"a kind of item that we don't use (byte {first:#04x})")
        size = 1 << (short - 24)
        argument = int.from_bytes(self._take(size), "big")
        if argument < (24 if size == 1 else 1 << 4 * size):
            raise self.error(f"{argument} in more bytes than it needs")
        return major, argument

    def _take(self, size: int) -> bytes:
        taken = self._data[self.at : self.at + size]
        if len(taken) != size:
            raise self.error(f"ends where {size} bytes are needed")
        self.at += size
        return taken

    def _text(self, size: int) -> str:
        try:
            return self._take(size).decode()
        except UnicodeDecodeError as error:
            raise self.error("text that is not UTF-8") from error

    def _map(self, size: int, depth: int) -> Value:
        pairs: dict[Key, Value] = {}
        last = b""
        for _ in range(size):
            start = self.at
            key = self.value(0)
            if isinstance(key, bool) or not isinstance(key, int | str):
                raise self.error("a map's key that is neither integer nor text")
            raw = self._data[start : self.at]
            if raw <= last:
                raise self.error("a map's keys out of order")
            last, pairs[key] = raw, self.value(depth)
        return pairs
