"""What somebody searches for: words and filters, as bytes for neighbours and for the disk.

    0  words       what a person typed, as typed; the search language is the store's
    1  kinds       any of these            2  authors     any of these persons
    3  tags        all of these            4  languages   any of these; 'pt' also means 'pt-BR'
    5  media types any of these; 'image' means all images
    6  smallest    7  largest     bytes    8  since       9  until     wall seconds, both included
    10 held        true: only what is held whole where it is asked

What is empty is left out, so a question has one form. A neighbour runs a stranger's question as it
runs its own, so nothing here can cost more than a search at home: lengths are bounded here, time is
bounded where it runs. A question says nothing of who asks.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final

from meshpeer.core.chain_writes import Item
from meshpeer.core.formats.cbor import decode, encode
from meshpeer.errors import LocalProtocolError, RemoteProtocolError

MAX_QUESTION: Final = 1_024
"""Bytes, as in a QUERY (messages.py)."""
MAX_WORDS: Final = 512
"""Characters that a person may type; search reads no more of them either."""
MAX_CHOICES: Final = 16
"""Of one filter."""
MAX_CHOICE: Final = 128
"""Characters."""
PERSON_SIZE: Final = 32
LARGEST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Question:
    """Words and filters; each filter that is set must fit."""

    words: str = ""
    kinds: tuple[str, ...] = ()
    authors: tuple[bytes, ...] = ()
    tags: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    media_types: tuple[str, ...] = ()
    smallest: int | None = None
    largest: int | None = None
    since: int | None = None
    until: int | None = None
    held: bool = False

    def to_bytes(self) -> bytes:
        """Give the one encoding; LocalProtocolError where a neighbour would refuse it."""
        parts = {key: _plain(getattr(self, name)) for key, name in enumerate(_NAMES)}
        data = encode({key: part for key, part in parts.items() if not _is_empty(part)})
        try:
            Question.parse(data)
        except RemoteProtocolError as error:
            raise LocalProtocolError(
                f"no neighbour would take this question: {error}"
            ) from error
        return data

    @classmethod
    def parse(cls, data: bytes) -> "Question":
        """Read one, or raise RemoteProtocolError and nothing else."""
        if len(data) > MAX_QUESTION:
            raise RemoteProtocolError(
                "question", f"{len(data)} bytes, limit {MAX_QUESTION}"
            )
        value = decode(data, "question")
        if not isinstance(value, dict):
            raise RemoteProtocolError("question", "not a map")
        parts: dict[str, Any] = {}
        for key, part in value.items():
            if not isinstance(key, int) or not 0 <= key < len(_NAMES):
                raise RemoteProtocolError("question", f"has a filter {key!r}, unknown here")
            name = _NAMES[key]
            if not _FITS[name](part) or _is_empty(part):
                raise RemoteProtocolError(name, "not what a question may hold")
            parts[name] = tuple(part) if isinstance(part, list) else part
        return cls(**parts)

    def allows(self, author: bytes, item: Item) -> bool:
        """Whether author, kind, size and date are what was asked for: neighbours may answer what
        they like. Words, tags and the like are the search language's."""
        return (
            (not self.authors or author in self.authors)
            and (not self.kinds or item.kind in self.kinds)
            and (self.smallest is None or item.size >= self.smallest)
            and (self.largest is None or item.size <= self.largest)
            and (self.since is None or item.written >= self.since)
            and (self.until is None or item.written <= self.until)
        )


_NAMES: Final = tuple(field.name for field in fields(Question))


def _is_empty(part: object) -> bool:
    """Nothing is asked; 0 is a number like others."""
    return part is None or part is False or part in ("", [])


def _plain(part: object) -> object:
    return list(part) if isinstance(part, tuple) else part


def _is_words(part: object) -> bool:
    return isinstance(part, str) and len(part) <= MAX_WORDS


def _are_choices(part: object) -> bool:
    return (
        isinstance(part, list)
        and len(part) <= MAX_CHOICES
        and all(isinstance(one, str) and 0 < len(one) <= MAX_CHOICE for one in part)
    )


def _are_persons(part: object) -> bool:
    return (
        isinstance(part, list)
        and len(part) <= MAX_CHOICES
        and all(isinstance(one, bytes) and len(one) == PERSON_SIZE for one in part)
    )


def _is_number(part: object) -> bool:
    return type(part) is int and 0 <= part <= LARGEST


_FITS: Final[dict[str, Callable[[object], bool]]] = {
    "words": _is_words,
    "kinds": _are_choices,
    "authors": _are_persons,
    "tags": _are_choices,
    "languages": _are_choices,
    "media_types": _are_choices,
    "smallest": _is_number,
    "largest": _is_number,
    "since": _is_number,
    "until": _is_number,
    "held": lambda part: part is True,
}
