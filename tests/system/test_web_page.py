"""A web page in the user's browser calls the API of a real peer on loopback, and gets nothing."""

import http.client
import json

import pytest

from tests.system.daemon import LOOPBACK

pytestmark = pytest.mark.system
SETTINGS = f"{LOOPBACK}[api]\nloopback = true\nport = 0\n"
PAGE = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
REFUSED = {401, 403, 415}


@pytest.fixture
def peer(daemon):
    return daemon("ann", settings=SETTINGS).start()


def ask(peer, method, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", peer.loopback)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    given = answer.read()
    connection.close()
    return answer.status, answer.headers, given


def attacks(peer):
    """What a page can make a browser send; the last two would need a stolen token."""
    form = {"Content-Type": "text/plain"}
    card = json.dumps({"card": "meshpeer:x"})
    stolen = {"Authorization": f"Bearer {peer.state.read_token()}"}
    yield "a simple GET", ("GET", "/status"), PAGE
    yield "an image", ("GET", "/messages?box=inbox"), {"Sec-Fetch-Site": "cross-site"}
    yield "an event stream", ("GET", "/events"), PAGE
    yield "a simple POST", ("POST", "/contacts", card), {**PAGE, **form}
    yield "a form", ("POST", "/messages", "messages=x"), {**form, "Origin": "null"}
    yield "a preflight", ("OPTIONS", "/messages"), PAGE
    yield "a rebound name", ("GET", "/status"), {"Host": f"evil.example:{peer.loopback}"}
    yield "a stolen token", ("GET", "/status"), {**PAGE, **stolen}
    yield (
        "a stolen token by a rebound name",
        ("GET", "/status"),
        {**stolen, "Host": f"evil.example:{peer.loopback}"},
    )


def test_nothing_that_a_page_sends_is_answered(peer):
    before = peer.status()
    for name, request, headers in attacks(peer):
        status, answered, body = ask(peer, *request, **headers)
        assert status in REFUSED, name
        assert before["peer"].encode() not in body, name
        assert not [h for h in answered if h.lower().startswith("access-control")], name
    after = peer.status()
    assert after["last_event"] == before["last_event"]
    assert after["contacts"] == 0
    token = {"Authorization": f"Bearer {peer.state.read_token()}"}
    assert ask(peer, "GET", "/status", **token)[0] == 200
