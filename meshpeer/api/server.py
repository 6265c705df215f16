"""The HTTP server: sockets, limits and errors around the table of routes.

aiohttp was chosen because it is still when nothing happens (measured: no wakeup in a minute;
uvicorn makes 595). Nothing here sets a timer of its own: event streams send no heartbeats, for on
one machine a client that is gone is noticed at once.

The parts of aiohttp are taken from where they are: `aiohttp.web` has all of them, and brings a
command line and web sockets in, 0.5 MB.

A client that hangs up ends its event stream, but doesn't undo what else it asked for: the work
behind other requests is shielded.
"""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Final

import msgspec
from aiohttp.typedefs import Handler, Middleware
from aiohttp.web_app import Application
from aiohttp.web_exceptions import HTTPException
from aiohttp.web_middlewares import middleware
from aiohttp.web_request import Request
from aiohttp.web_response import Response, StreamResponse
from aiohttp.web_runner import AppRunner, SockSite

from meshpeer.api import content, problems
from meshpeer.api.guard import Guard, Refused, check_body
from meshpeer.api.route import MAX_BODY, Call, Route
from meshpeer.api.routes import ROUTES
from meshpeer.errors import MeshpeerError, UsageError
from meshpeer.node.facade import Event, Facade
from meshpeer.node.state import State

log = logging.getLogger(__name__)
http_log = logging.getLogger(f"{__name__}.http")
http_log.disabled = True
"""aiohttp's, which writes a stack, and what it choked on, for each malformed request of anybody."""

HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
SHUTDOWN_S: Final = 1.0


class Server:
    """The API of one peer, on its Unix socket and, if asked, on loopback."""

    def __init__(self, facade: Facade, state: State) -> None:
        self._facade = facade
        self._state = state
        self._runners: list[AppRunner] = []
        self.loopback_port: int | None = None

    async def start(self, *, loopback_port: int | None = None) -> None:
        """Answer on the Unix socket, and on 127.0.0.1 if a port (0: any) is given."""
        await self._serve(self._unix_socket(), None)
        if loopback_port is not None:
            listener = socket.create_server(("127.0.0.1", loopback_port))
            self.loopback_port = listener.getsockname()[1]
            guard = Guard(token=self._state.read_token(), port=self.loopback_port)
            await self._serve(listener, guard)

    async def close(self) -> None:
        """Stop answering; requests that are under way get a second to end."""
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()
        self._state.socket.unlink(missing_ok=True)

    def _unix_socket(self) -> socket.socket:
        """Bind in the state folder, whose lock says that an old socket there is a dead one."""
        self._state.socket.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        os.fchmod(listener.fileno(), 0o600)
        with self._state.socket_address() as address:
            listener.bind(address)
        return listener

    async def _serve(self, listener: socket.socket, guard: Guard | None) -> None:
        runner = AppRunner(
            application(self._facade, guard),
            access_log=None,
            logger=http_log,
            handler_cancellation=True,
            shutdown_timeout=SHUTDOWN_S,
        )
        await runner.setup()
        self._runners.append(runner)
        await SockSite(runner, listener).start()


def application(facade: Facade, guard: Guard | None) -> Application:
    """Make the application; `guard` is None where the socket's mode guards."""
    app = Application(middlewares=[_gate(guard)], client_max_size=MAX_BODY)
    for route in ROUTES:
        app.router.add_route(route.method, route.path, _handler(route, facade))
    app.router.add_get("/files/{what}/content", content.serve(facade))
    streams: set[asyncio.Task[None]] = set()
    app.router.add_get("/events", _events(facade, streams))
    app.on_shutdown.append(_ender(streams))
    app.router.add_get("/openapi.json", _openapi)
    return app


def _gate(guard: Guard | None) -> Middleware:
    @middleware
    async def gate(request: Request, handler: Handler) -> StreamResponse:
        refused = guard.check(request.headers) if guard is not None else None
        refused = refused or check_body(request.headers, request.body_exists)
        if refused is not None:
            return _refuse(refused)
        try:
            return await handler(request)
        except MeshpeerError as error:
            return _answer(problems.of(error))
        except HTTPException as error:
            return _refuse(Refused(error.status, error.text or error.reason))
        except Exception:
            log.exception(
                "a request failed", extra={"route": str(request.match_info.route)}
            )
            return _answer(problems.FAULT)

    return gate


def _handler(route: Route, facade: Facade) -> Handler:
    decode = msgspec.json.Decoder(route.body).decode if route.body is not None else None
    encode = msgspec.json.Encoder().encode

    async def handle(request: Request) -> StreamResponse:
        try:
            query = (
                msgspec.convert(dict(request.query), route.query, strict=False)
                if route.query is not None
                else None
            )
            body = decode(await request.read() or b"{}") if decode is not None else None
        except msgspec.DecodeError as error:
            raise UsageError(f"{route.method} {route.path}: {error}") from error
        call = Call(facade, request.match_info, query, body)
        reply = await asyncio.shield(asyncio.ensure_future(route.run(call)))
        return Response(
            body=encode(reply), content_type="application/json", headers=HEADERS
        )

    return handle


def _events(facade: Facade, streams: set[asyncio.Task[None]]) -> Handler:
    async def follow(request: Request) -> StreamResponse:
        after = request.headers.get("Last-Event-ID") or request.query.get("after")
        if after is None:
            after = (await facade.status()).last_event
        response = StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        with suppress(ConnectionResetError):
            await response.prepare(request)
            stream = asyncio.ensure_future(_stream(facade.events(after), response))
            streams.add(stream)
            try:
                await asyncio.wait([stream])
                if not stream.cancelled() and (error := stream.exception()):
                    log.error("an event stream failed", exc_info=error)
            finally:
                streams.remove(stream)
                stream.cancel()
        return response

    return follow


async def _stream(events: AsyncIterator[Event], response: StreamResponse) -> None:
    with suppress(ConnectionResetError):
        await response.write(b":\n\n")
        try:
            async for event in events:
                await response.write(_event(event.cursor, event.kind, event.body))
        except MeshpeerError as error:
            body = msgspec.json.encode(problems.of(error))
            await response.write(_event("", "problem", body.decode()))


def _ender(
    streams: set[asyncio.Task[None]],
) -> Callable[[Application], Awaitable[None]]:
    """Make what ends the streams when the peer stops: they would wait for events for ever."""

    async def end(_: Application) -> None:
        for stream in streams:
            stream.cancel()

    return end


def _event(cursor: str, kind: str, body: str) -> bytes:
    place = f"id: {cursor}\n" if cursor else ""
    return f"{place}event: {kind}\ndata: {body}\n\n".encode()


async def _openapi(_: Request) -> StreamResponse:
    from meshpeer.api.openapi import document

    body = msgspec.json.encode(document())
    return Response(body=body, content_type="application/json", headers=HEADERS)


def _refuse(refused: Refused) -> Response:
    return _answer(problems.Problem.of_class("UsageError", refused.status, refused.reason))


def _answer(problem: problems.Problem) -> Response:
    return Response(
        status=problem.status,
        body=msgspec.json.encode(problem),
        content_type=problems.CONTENT_TYPE,
        headers=HEADERS,
    )
