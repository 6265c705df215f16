"""The API's operations on files; their bytes are served by content.py."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from meshpeer.api.route import Call, Checked, Done, Listing, Route
from meshpeer.node.facade_types import Page
from meshpeer.node.file_facade import (
    Fetch,
    FetchChange,
    FileInfo,
    Gathering,
    HeldFile,
    Mirror,
    NewFetch,
    NewMirror,
    Publication,
    Published,
    Reading,
    Watched,
)


class Directory(Checked, frozen=True):
    """A folder of this machine."""

    directory: Annotated[str, Meta(description="its absolute path")]


class ReadPath(Checked, frozen=True):
    """What is being read."""

    path: Annotated[str, Meta(description="its absolute path")]


class Readings(msgspec.Struct, frozen=True):
    """What is being read, so that it can be published or sent."""

    items: list[Reading]


class WatchedFolders(msgspec.Struct, frozen=True):
    """Folders that are published when they change."""

    items: list[Watched]


class Fetches(msgspec.Struct, frozen=True):
    """What is being fetched."""

    items: list[Fetch]


class Mirrors(msgspec.Struct, frozen=True):
    """Folders that are kept equal to collections."""

    items: list[Mirror]


async def publish(call: Call) -> Published:
    """Publish a file or a folder where it lies."""
    return await call.facade.publish(call.body)


async def list_readings(call: Call) -> Readings:
    """Say how far those are that are being read, to be published or sent."""
    return Readings(await call.facade.readings())


async def call_off(call: Call) -> Done:
    """Read something no more; it is not published."""
    await call.facade.call_off(call.query.path)
    return Done()


async def gather(call: Call) -> Published:
    """Publish the files of some records as a collection."""
    return await call.facade.gather(call.body)


async def list_watched(call: Call) -> WatchedFolders:
    """List folders that are published when they change."""
    return WatchedFolders(await call.facade.watched())


async def unwatch(call: Call) -> Done:
    """Publish a folder no more when it changes."""
    await call.facade.unwatch(call.query.directory)
    return Done()


async def list_files(call: Call) -> Page[HeldFile]:
    """List files held here."""
    return await call.facade.files(call.query.after, call.query.limit)


async def get_file(call: Call) -> FileInfo:
    """Say what is known of a file and how many neighbours hold it."""
    return await call.facade.file(call.path["what"])


async def fetch(call: Call) -> Fetches:
    """Begin to fetch a file, or all files of a collection or a post."""
    return Fetches(await call.facade.fetch(call.body))


async def list_fetches(call: Call) -> Page[Fetch]:
    """List what was asked for and how far it is."""
    return await call.facade.fetches(call.query.after, call.query.limit)


async def get_fetch(call: Call) -> Fetch:
    """Say how far a fetch is."""
    return await call.facade.one_fetch(call.path["file"])


async def change_fetch(call: Call) -> Fetch:
    """Pause a fetch, let it go on, or change its priority."""
    return await call.facade.change_fetch(call.path["file"], call.body)


async def cancel_fetch(call: Call) -> Done:
    """Ask for a file no more."""
    await call.facade.cancel_fetch(call.path["file"])
    return Done()


async def list_mirrors(call: Call) -> Mirrors:
    """List the mirrors."""
    return Mirrors(await call.facade.mirrors())


async def add_mirror(call: Call) -> Mirror:
    """Keep a folder equal to a collection."""
    return await call.facade.mirror(call.body)


async def remove_mirror(call: Call) -> Done:
    """Leave a folder as it is."""
    await call.facade.unmirror(call.query.directory)
    return Done()


FILE_ROUTES: Final = (
    Route("POST", "/files", publish, Published, body=Publication),
    Route("POST", "/collections", gather, Published, body=Gathering),
    Route("GET", "/files", list_files, Page[HeldFile], query=Listing),
    Route("GET", "/files/{what}", get_file, FileInfo),
    Route("GET", "/readings", list_readings, Readings),
    Route("DELETE", "/readings", call_off, Done, query=ReadPath),
    Route("GET", "/watched", list_watched, WatchedFolders),
    Route("DELETE", "/watched", unwatch, Done, query=Directory),
    Route("POST", "/fetches", fetch, Fetches, body=NewFetch),
    Route("GET", "/fetches", list_fetches, Page[Fetch], query=Listing),
    Route("GET", "/fetches/{file}", get_fetch, Fetch),
    Route("PATCH", "/fetches/{file}", change_fetch, Fetch, body=FetchChange),
    Route("DELETE", "/fetches/{file}", cancel_fetch, Done),
    Route("GET", "/mirrors", list_mirrors, Mirrors),
    Route("POST", "/mirrors", add_mirror, Mirror, body=NewMirror),
    Route("DELETE", "/mirrors", remove_mirror, Done, query=Directory),
)
