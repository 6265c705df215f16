"""The API's operations on search."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from meshpeer.api.route import Call, Checked, Done, Route
from meshpeer.node.chain_facade import Record
from meshpeer.node.search_facade import (
    Found,
    Heeded,
    SearchRequest,
    Standing,
)


class Also(Checked, frozen=True):
    """How many."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class Records(msgspec.Struct, frozen=True):
    """Some records."""

    items: list[Record]


class Standings(msgspec.Struct, frozen=True):
    """Searches that go on."""

    items: list[Standing]


class HeededPersons(msgspec.Struct, frozen=True):
    """Whose labels count, and whose were said not to."""

    items: list[Heeded]


async def search(call: Call) -> Found:
    """Search all records here, and at the neighbours if asked."""
    return await call.facade.search(call.body)


async def list_standings(call: Call) -> Standings:
    """List the searches that go on."""
    return Standings(await call.facade.standings())


async def add_standing(call: Call) -> Standing:
    """Tell from now on when something like this turns up."""
    return await call.facade.add_standing(call.body)


async def remove_standing(call: Call) -> Done:
    """Look for it no more."""
    await call.facade.remove_standing(call.path["name"])
    return Done()


async def list_heeded(call: Call) -> HeededPersons:
    """List whose labels count here, and whose were said not to."""
    return HeededPersons(await call.facade.heeded())


async def heed(call: Call) -> Heeded:
    """Let a person's labels rate and warn here; told to nobody."""
    return await call.facade.heed(call.path["who"], heeded=True)


async def unheed(call: Call) -> Heeded:
    """Let a person's labels have no effect here; told to nobody."""
    return await call.facade.heed(call.path["who"], heeded=False)


async def also(call: Call) -> Records:
    """List what else is published by those who published or liked this."""
    return Records(await call.facade.also(call.path["what"], call.query.limit))


SEARCH_ROUTES: Final = (
    Route("POST", "/search", search, Found, body=SearchRequest),
    Route("GET", "/searches", list_standings, Standings),
    Route("POST", "/searches", add_standing, Standing, body=Standing),
    Route("DELETE", "/searches/{name}", remove_standing, Done),
    Route("GET", "/heeded", list_heeded, HeededPersons),
    Route("PUT", "/heeded/{who}", heed, Heeded, body=Checked),
    Route("DELETE", "/heeded/{who}", unheed, Heeded),
    Route("GET", "/also/{what}", also, Records, query=Also),
)
