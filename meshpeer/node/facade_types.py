"""What every part of the facade shares: pages of lists, and persons as screens show them."""

from typing import Final, Generic, TypeVar

import msgspec

T = TypeVar("T")

PAGE_LIMIT: Final = 1_000
"""Items of a page."""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A part of a list; `next` is the cursor for what follows, None at the end."""

    items: list[T]
    next: str | None = None


class Who(msgspec.Struct, frozen=True):
    """A person as screens show it: the petname is ours, the nickname is theirs."""

    id: str
    petname: str | None
    nickname: str
