"""A file's bytes over HTTP, with ranges (RFC 9110 section 14), while it may still be arriving.

A player asks for the part that it wants to show; that part is fetched first, in order. A file of
others is never given a type that a browser would run: what isn't known to be sound, picture,
film, plain text or PDF comes as an attachment of octets.
"""

import logging
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final
from urllib.parse import quote

from aiohttp.typedefs import Handler
from aiohttp.web_request import Request
from aiohttp.web_response import Response, StreamResponse

from meshpeer.errors import MeshpeerError, NotReachedError, UsageError
from meshpeer.node.facade import Facade

log = logging.getLogger(__name__)

SHOWN: Final = re.compile(
    r"(audio|video)/[a-z0-9.+-]+|image/(png|jpeg|gif|webp|avif)|text/plain|application/pdf"
)
OCTETS: Final = "application/octet-stream"
RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
HEADERS: Final = {
    "Accept-Ranges": "bytes",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def serve(facade: Facade) -> Handler:
    """Make the handler of `GET /files/{what}/content`."""

    async def content(request: Request) -> StreamResponse:
        what = request.match_info["what"]
        size = (await facade.file(what, probe=False)).size
        if size < 0:
            raise NotReachedError("nobody near knows yet how long that file is")
        try:
            part = wanted(request.headers.get("Range"), size)
        except UsageError:
            headers = {**HEADERS, "Content-Range": f"bytes */{size}"}
            return Response(status=416, headers=headers)
        first, last = part or (0, size - 1)
        found = await facade.content(what, first, last)
        response = StreamResponse(
            status=206 if part else 200,
            headers=_headers(found.media_type, found.name),
        )
        response.content_length = last - first + 1
        if part:
            response.headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        with suppress(ConnectionResetError):
            await response.prepare(request)
            if request.method != "HEAD":
                await _send(request, response, found.chunks)
        return response

    return content


async def _send(
    request: Request, response: StreamResponse, chunks: AsyncIterator[bytes]
) -> None:
    """What ends early is cut, so that nobody takes it for the whole: its length was promised."""
    try:
        async for part in chunks:
            await response.write(part)
    except MeshpeerError as error:
        log.warning("a file could not be given to its end", extra={"reason": str(error)})
        if request.transport is not None:
            request.transport.abort()


def wanted(asked: str | None, size: int) -> tuple[int, int] | None:
    """Give first and last byte of the part that was asked for; UsageError where there is none.

    None is the whole. Several ranges, or another unit than bytes, are answered with the whole, as
    RFC 9110 section 14.2 allows.
    """
    found = RANGE.fullmatch(asked) if asked else None
    if found is None or found.group(0) == "bytes=-":
        return None
    first, last = found.groups()
    if not first:
        length = min(int(last), size)
        if length == 0:
            raise UsageError("a range of nothing")
        return size - length, size - 1
    begin, end = int(first), min(int(last), size - 1) if last else size - 1
    if begin >= size or end < begin:
        raise UsageError(f"the file has {size} bytes")
    return begin, end


def _headers(media_type: str, name: str) -> dict[str, str]:
    shown = SHOWN.fullmatch(media_type) is not None
    way = "inline" if shown else "attachment"
    return {
        **HEADERS,
        "Content-Type": media_type if shown else OCTETS,
        "Content-Disposition": f"{way}; filename*=UTF-8''{quote(name, safe='')}",
    }
