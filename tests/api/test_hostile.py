"""Every route, with what no sensible program would send but of the right types: never a fault."""

import json
import re
import socket
from http.client import HTTPConnection
from urllib.parse import quote, urlencode

import msgspec
import pytest

from meshpeer.api.routes import ROUTES
from tests.api.running import running

ODD = (
    "",
    "x",
    "~",
    "-",
    "0",
    "²",
    "9" * 18,
    "9" * 40,
    "9" * 30 + ".1",
    "1." + "9" * 30,
    "٣.٣",
    "f" * 32,
    "a" * 56,
    "aaaa-" * 13 + "aaaa",
    "\0",
    "/nowhere/at all",
    "/\0",
    "/dev/null",
    "..",
    "\x1b[2J",
    "\ud7ff\u202e",
    "é" * 300,
    '"',
    "NEAR(a b)",
    "a* -b",
)
NUMBERS = (0, -1, 2**31, 2**63 - 1, -(2**63))


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    with running(tmp_path_factory.mktemp("hostile") / "state") as peer:
        yield peer


def answer(peer, method, target, body=None):
    connection = HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(20)
    with peer.state.socket_address() as address:
        connection.sock.connect(address)
    headers = {"Content-Type": "application/json"} if body is not None else {}
    connection.request(method, target, body=body, headers=headers)
    found = connection.getresponse()
    try:
        return found.status, found.read()
    finally:
        connection.close()


def odd(kind, text, number, lean):
    """Give a value of this type that nobody would choose; where it may be None, so if `lean`."""
    match kind:
        case msgspec.inspect.UnionType(types=types) if lean and any(
            isinstance(each, msgspec.inspect.NoneType) for each in types
        ):
            return None
        case msgspec.inspect.StrType():
            return text
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            return number
        case msgspec.inspect.BoolType():
            return number > 0
        case msgspec.inspect.LiteralType(values=values):
            return values[number % len(values)]
        case msgspec.inspect.ListType(item_type=item):
            return [odd(item, text, number, lean)]
        case msgspec.inspect.UnionType(types=types):
            return odd(types[0], text, number, lean)
        case msgspec.inspect.StructType(fields=fields):
            return {
                field.encode_name: odd(field.type, text, number, lean) for field in fields
            }
        case _:
            return None


def path_of(route, text):
    return re.sub(r"{\w+}", quote(text, safe=""), route.path)


@pytest.mark.parametrize("lean", [False, True])
@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.path}")
def test_odd_values_of_the_right_types_are_done_or_refused(peer, route, lean):
    for index, text in enumerate(ODD):
        number = NUMBERS[index % len(NUMBERS)]
        target, body = path_of(route, text), None
        if route.query is not None:
            asked = odd(msgspec.inspect.type_info(route.query), text, number, lean)
            given = {name: value for name, value in asked.items() if value is not None}
            target += "?" + urlencode(given)
        if route.body is not None:
            shape = msgspec.inspect.type_info(route.body)
            body = json.dumps(odd(shape, text, number, lean))
        status, said = answer(peer, route.method, target, body)
        assert status < 500, (route.path, text, number, said)


@pytest.mark.parametrize("text", [text for text in ODD if text])
def test_odd_names_of_files_have_no_content(peer, text):
    status, said = answer(peer, "GET", f"/files/{quote(text, safe='')}/content")
    assert 400 <= status < 500, said
