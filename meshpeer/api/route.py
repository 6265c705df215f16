"""What a row of the API's table is, and the words that all tables share."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta

from meshpeer.node.facade import PAGE_LIMIT, Facade

MAX_BODY: Final = 32 * 1024 * 1024


class Checked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client sends: a name we don't know is refused, for it would do nothing."""


class Listing(Checked, frozen=True):
    """A part of a list."""

    after: Annotated[str | None, Meta(description="`next` of the page before")] = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_LIMIT, description="items a page")] = 100


class Done(msgspec.Struct, frozen=True):
    """It is done and durable."""

    done: bool = True


class Call(NamedTuple):
    """One request, checked."""

    facade: Facade
    path: Mapping[str, str]
    query: Any
    body: Any


class Route(NamedTuple):
    """One operation."""

    method: str
    path: str
    run: Callable[[Call], Awaitable[object]]
    reply: Any
    query: type[Checked] | None = None
    body: type[msgspec.Struct] | None = None

    @property
    def summary(self) -> str:
        """What it does, in one sentence."""
        return (self.run.__doc__ or "").strip()
