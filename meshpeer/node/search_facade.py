"""What programs may ask of search: here, at the neighbours, and for as long as they like.

A part of the facade (see facade.py for how things are named).
"""

from typing import Protocol

import msgspec

from meshpeer.node.chain_facade import Record
from meshpeer.node.facade_types import Who


class SearchQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to look for; each filter that is set must fit."""

    words: str = ""
    """All must be there: `water pump`, `wat*`, `"the old well"`, `-sea`."""
    kinds: list[str] = []
    who: list[str] = []
    tags: list[str] = []
    languages: list[str] = []
    media_types: list[str] = []
    smallest: int | None = None
    """Bytes of the file, or of all files of a collection or post."""
    largest: int | None = None
    since: int | None = None
    """Wall seconds by the authors' clocks: a hint."""
    until: int | None = None
    held: bool = False
    """Only what is here whole, or at a neighbour now."""


class SearchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One search."""

    query: SearchQuery
    after: str | None = None
    """The cursor that the page before gave as `next`."""
    limit: int = 20
    near: bool = False
    """Ask the neighbours, too."""
    facets: bool = True


class Hit(msgspec.Struct, frozen=True):
    """Something found."""

    record: Record
    marked: str
    """A part of its text around what was found, with « and » around the words."""
    rating: float | None
    """What those whose labels one heeds think of it, -2 to 2."""
    warnings: list[str]
    near: bool
    """Told by a neighbour, and not kept here."""


class Facet(msgspec.Struct, frozen=True):
    """How many hits have this value."""

    value: str
    count: int


class Found(msgspec.Struct, frozen=True):
    """The answer to a search."""

    hits: list[Hit]
    total: int
    """How many were counted, on all pages."""
    more: bool
    """There are more than were counted: the screen says `10,000+`."""
    cut: bool
    """Time ran out: not all was looked at."""
    instead: dict[str, str]
    """Words that were found nowhere or hardly, and what was searched for as well."""
    facets: dict[str, list[Facet]]
    """By what is counted: kinds, tags, authors, languages, media_types, sizes."""
    next: str | None
    """The cursor of the next page; None after the last."""


class Standing(msgspec.Struct, frozen=True):
    """A search that goes on."""

    name: str
    query: SearchQuery


class Heeded(msgspec.Struct, frozen=True):
    """Somebody whose labels count here, or were said not to."""

    person: Who
    heeded: bool
    chosen: bool
    """It was said so here, and doesn't follow from whom one follows."""
    labels: int
    """Labels of theirs that are held."""


class SearchFacade(Protocol):
    """Search in a running peer."""

    async def search(self, request: SearchRequest) -> Found:
        """Search all records that are here; with `near`, at the neighbours too."""
        ...

    async def standings(self) -> list[Standing]:
        """List the searches that go on."""
        ...

    async def add_standing(self, standing: Standing) -> Standing:
        """Tell, by `found` events, when something like this turns up."""
        ...

    async def remove_standing(self, name: str) -> None:
        """Look for it no more."""
        ...

    async def heeded(self) -> list[Heeded]:
        """List whose labels count, and whose were said not to."""
        ...

    async def heed(self, who: str, *, heeded: bool) -> Heeded:
        """Let this person's labels rate and warn here, or not; told to nobody."""
        ...

    async def also(self, what: str, limit: int) -> list[Record]:
        """What else is published by those who have this, too."""
        ...
