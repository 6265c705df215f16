"""The running peer as commands see it: HTTP over the Unix socket, nothing but the standard library.

`meshpeer status` should feel instant on a Raspberry Pi, so no HTTP package is imported here:
http.client costs 27 ms, aiohttp 180.
"""

import http.client
import json
import shlex
import socket
import time
from collections.abc import Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import meshpeer.errors as errors
from meshpeer.errors import MeshpeerError, NotReachedError, NotRunningError
from meshpeer.node.state import State

Json = Any

ANSWER_S: Final = 120.0
"""A peer that is silent for so long hangs or was suspended; ten thousand messages take less."""


class Event(NamedTuple):
    """One step of the peer's history."""

    cursor: str
    kind: str
    body: dict[str, Json]


class Api:
    """Calls a running peer; refusals are raised as the errors that the peer names."""

    def __init__(self, state: State) -> None:
        self._state = state

    def get(self, *path: str, **query: object) -> Json:
        """Read something; query parameters that are None are left out."""
        return self._call("GET", path, query=query)

    def post(self, *path: str, body: dict[str, Json], patient: bool = False) -> Json:
        """Make or do something; `patient` if a whole disk may have to be read for it."""
        return self._call("POST", path, body=body, patient=patient)

    def put(self, *path: str, body: dict[str, Json]) -> Json:
        """Set something."""
        return self._call("PUT", path, body=body)

    def patch(self, *path: str, body: dict[str, Json]) -> Json:
        """Change a part of something."""
        return self._call("PATCH", path, body=body)

    def delete(self, *path: str, **query: object) -> Json:
        """Remove something."""
        return self._call("DELETE", path, query=query)

    def all(
        self, *path: str, at_once: int = 1_000, **query: object
    ) -> Iterator[dict[str, Json]]:
        """Give every item of a list, page by page."""
        after: str | None = None
        while True:
            page = self.get(*path, after=after, limit=at_once, **query)
            yield from page["items"]
            after = page["next"]
            if after is None:
                return

    def events(self, after: str, within: float | None = None) -> Iterator[Event]:
        """Follow the history after a cursor; NotReachedError once `within` seconds are over."""
        deadline = None if within is None else time.monotonic() + within
        connection, answer = self._request("GET", ("events",), query={"after": after})
        if connection.sock is not None:
            connection.sock.settimeout(None)
        try:
            yield from _parse_events(_lines_until(deadline, connection, answer))
        except TimeoutError:
            raise NotReachedError(f"it did not come within {within:g} s") from None
        finally:
            connection.close()
        raise NotRunningError("the peer stopped while we listened")

    def _call(
        self,
        method: str,
        path: tuple[str, ...],
        query: dict[str, object] | None = None,
        body: dict[str, Json] | None = None,
        patient: bool = False,
    ) -> Json:
        connection, answer = self._request(method, path, query, body, patient)
        try:
            return json.loads(answer.read())
        finally:
            connection.close()

    def _request(
        self,
        method: str,
        path: tuple[str, ...],
        query: dict[str, object] | None = None,
        body: dict[str, Json] | None = None,
        patient: bool = False,
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        target = "/" + "/".join(quote(part, safe="") for part in path)
        if given := {name: _text(v) for name, v in (query or {}).items() if v is not None}:
            target += "?" + urlencode(given)
        connection = _UnixConnection(self._state, None if patient else ANSWER_S)
        payload = json.dumps(body) if body is not None else None
        headers = {"Content-Type": "application/json"} if payload is not None else {}
        try:
            connection.request(method, target, body=payload, headers=headers)
            answer = connection.getresponse()
        except TimeoutError as error:
            connection.close()
            raise NotRunningError(
                f"the peer on {self._state.root} did not answer within {ANSWER_S:g} s"
            ) from error
        except PermissionError as error:
            connection.close()
            raise MeshpeerError(
                f"{self._state.socket} may not be opened: the peer is another user's"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            root = self._state.root
            named = (
                ""
                if root == State.find(None).root
                else f" --state {shlex.quote(str(root))}"
            )
            raise NotRunningError(
                f"no peer runs on {root}: start one with `meshpeer{named} run`"
            ) from error
        if answer.status != http.client.OK:
            problem = answer.read()
            connection.close()
            raise _error_from(json.loads(problem))
        return connection, answer


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, state: State, timeout: float | None) -> None:
        super().__init__("localhost")
        self._state = state
        self._answers_within = timeout

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self._answers_within)
        with self._state.socket_address() as address:
            self.sock.connect(address)


def _lines_until(
    deadline: float | None,
    connection: http.client.HTTPConnection,
    answer: http.client.HTTPResponse,
) -> Iterator[bytes]:
    while True:
        if deadline is not None and connection.sock is not None:
            connection.sock.settimeout(max(0.001, deadline - time.monotonic()))
        line = answer.readline()
        if not line:
            return
        yield line


def _parse_events(lines: Iterator[bytes]) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for raw in lines:
        line = raw.decode().rstrip("\n")
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            body = json.loads(fields["data"])
            if fields["event"] == "problem":
                raise _error_from(body)
            yield Event(fields.get("id", ""), fields["event"], body)
            fields = {}


def _error_from(problem: dict[str, Json]) -> MeshpeerError:
    """Give the error that a problem tells of, as its own class so that exit codes are the same."""
    kind = getattr(errors, problem["error"], MeshpeerError)
    if issubclass(kind, errors.RemoteProtocolError):
        field, _, reason = problem["detail"].partition(": ")
        return kind(field, reason)
    return kind(problem["detail"]) if issubclass(kind, MeshpeerError) else MeshpeerError()


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
