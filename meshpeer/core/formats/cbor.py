"""Deterministic CBOR (RFC 8949 section 4.2.1): each value has one encoding, all else is refused.

Integers of 64 bits, byte and text strings, lists, maps, booleans and null; no floats, no tags, no
indefinite lengths, for nothing of ours needs them. Map keys are integers or text, in the order of
their encoded bytes (cbor2's `canonical` sorts by length first, as RFC 7049 had it).

cbor2 reads and writes; here stands what it leaves open: which values are ours, how deep and how
many they may be, and that a value read is refused unless writing it gives the same bytes. Tags
are refused before cbor2 acts on them, for some compute (bigfloats) and some make cycles (shared
values).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NoReturn, TypeAlias

import cbor2

from meshpeer.errors import LocalProtocolError, RemoteProtocolError

Key: TypeAlias = int | str
Value: TypeAlias = (
    int | bytes | str | bool | Sequence["Value"] | Mapping[Key, "Value"] | None
)

MAX_DEPTH: Final = 8
MAX_ITEMS: Final = 4_096

_LARGEST: Final = 2**64 - 1
_LEAVES: Final = frozenset({int, bytes, str, bool, type(None)})


def _refuse(*_: object) -> NoReturn:
    raise ValueError("a tag")


class _NoTags(Mapping[int, Callable[..., NoReturn]]):
    """For each tag there is, a decoder that refuses it."""

    def __getitem__(self, tag: int) -> Callable[..., NoReturn]:
        return _refuse

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __len__(self) -> int:
        return 1


_NO_TAGS: Final = _NoTags()


def encode(value: object) -> bytes:
    """Give the one encoding of a value; LocalProtocolError if it has none."""
    try:
        return _dumps(_sorted(value))
    except (cbor2.CBOREncodeError, UnicodeEncodeError) as error:
        raise LocalProtocolError(f"CBOR of ours can't say this: {error}") from error


def decode(data: bytes, field: str = "cbor") -> Value:
    """Read the one value that `data` is, or raise RemoteProtocolError, which names `field`."""
    try:
        value: Value = cbor2.loads(
            data,
            max_depth=MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            semantic_decoders=_NO_TAGS,
            tag_hook=_refuse,
        )
        same = _count(value) <= MAX_ITEMS and _dumps(value) == data
    except (cbor2.CBORError, LocalProtocolError, ValueError, TypeError) as error:
        raise RemoteProtocolError(field, f"not CBOR as we write it: {error}") from error
    if not same:
        raise RemoteProtocolError(
            field, f"not the one encoding of its value, or above {MAX_ITEMS} items"
        )
    return value


def _dumps(value: object) -> bytes:
    data: bytes = cbor2.dumps(value)
    return data


def _sorted(value: object) -> object:
    """Give the value with its maps in order; LocalProtocolError for what we have no form of."""
    match value:
        case None | bool() | bytes() | str():
            return value
        case int() if -_LARGEST - 1 <= value <= _LARGEST:
            return value
        case list() | tuple():
            return [_sorted(item) for item in value]
        case dict():
            return {key: _sorted(value[key]) for key in sorted(value, key=_encoded_key)}
        case _:
            raise LocalProtocolError(f"CBOR of ours has no {type(value).__name__}")


def _encoded_key(key: object) -> bytes:
    if isinstance(key, bool) or not isinstance(key, int | str):
        raise LocalProtocolError("a map's keys are integers or text")
    return _dumps(key)


def _count(value: object) -> int:
    """Count the items of a value that was read; ValueError for what we have no form of.

    With that, equal bytes when written as it stands mean that it came in its one form: so what is
    read need not be put in order first, which took half of the time."""
    kind = type(value)
    if kind in _LEAVES:
        return 1
    if isinstance(value, list):
        return 1 + sum(map(_count, value))
    if isinstance(value, dict):
        if not _in_order(list(value)):
            raise ValueError("a map's keys out of order")
        return 1 + len(value) + sum(map(_count, value.values()))
    raise ValueError(f"a {kind.__name__}")


def _in_order(keys: list[object]) -> bool:
    numbers = [key for key in keys if type(key) is int and key >= 0]
    if len(numbers) < len(keys):
        return keys == sorted(keys, key=_encoded_key)
    return numbers == sorted(numbers)
