"""The API as programs use it: lists, batches, events that resume, errors with reasons."""

import http.client
import json
import os
import socket
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshpeer.api.openapi import document
from meshpeer.api.route import MAX_BODY
from meshpeer.api.routes import ROUTES
from meshpeer.cli.client import Api
from meshpeer.errors import NotFoundError, NotReachedError, NotRunningError, UsageError
from meshpeer.node.state import State
from tests.api.running import running


@pytest.fixture
def peer(tmp_path):
    with running(tmp_path) as peer:
        yield peer


@pytest.fixture
def api(peer):
    return Api(peer.state)


@pytest.fixture
def bob(peer, api):
    bob = peer.mesh.settle("bob")
    api.post("contacts", body={"card": bob.card.uri, "petname": "bob"})
    return bob


def draft(text, to="bob"):
    return {"to": to, "text": text}


def raw(state, method, path, body=None, headers=None):
    """Send a request exactly as given; give status, type and parsed body."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    with state.socket_address() as address:
        connection.sock.connect(address)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers["Content-Type"], json.loads(content)


def test_the_socket_is_for_its_owner_only(peer):
    assert stat.S_IMODE(os.stat(peer.state.socket).st_mode) == 0o600


def test_nobody_answers_where_no_peer_runs(tmp_path):
    with pytest.raises(NotRunningError, match=r"`meshpeer --state .* run`"):
        Api(State(tmp_path)).get("status")


def test_a_message_goes_its_way_and_every_state_is_told(peer, api, bob):
    carol = peer.mesh.settle("carol")
    cursor = api.get("status")["last_event"]
    (sent,) = api.post("messages", body={"messages": [draft("hello")]})["sent"]
    assert sent["state"] == "queued"
    with peer.meets(carol):
        peer.hears("state", id=sent["id"], state="carried")
    with carol.meets(bob), carol.meets(peer):
        peer.hears("state", id=sent["id"], state="arrived")
    states = []
    for event in api.events(cursor, within=10):
        if event.kind == "state":
            assert event.body["id"] == sent["id"]
            states.append(event.body["state"])
            if states[-1] == "arrived":
                break
    assert states == ["carried", "arrived"]
    message = api.get("messages", sent["id"])
    assert message["delivery"]["state"] == "arrived"
    assert message["delivery"]["carriers"][0]["peer"] == carol.peer_id
    assert bob.texts("requests") == ["hello"]


def test_a_batch_of_2000_messages_of_200_characters_is_one_request(api, bob):
    batch = [draft("ü" * 200) for _ in range(2_000)]
    sent = api.post("messages", body={"messages": batch})["sent"]
    assert len({one["id"] for one in sent}) == 2_000


def test_a_batch_with_one_bad_receiver_queues_nothing(api, bob):
    with pytest.raises(NotFoundError, match="no contact named 'bobby'"):
        api.post("messages", body={"messages": [draft("1"), draft("2", "bobby")]})
    assert api.get("messages", box="outbox")["items"] == []


def test_a_list_is_read_in_parts_without_gap_or_repeat(api, bob):
    api.post("messages", body={"messages": [draft(str(n)) for n in range(7)]})
    seen, after = [], None
    while True:
        page = api.get("messages", box="outbox", limit=3, after=after)
        seen += [message["text"] for message in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert seen == [str(n) for n in range(7)]


def test_events_resume_after_the_last_one_seen(peer, api, bob):
    for n in range(5):
        api.post("messages", body={"messages": [draft(str(n))]})
    first = []
    for event in api.events("0", within=10):
        first.append(event)
        if len(first) == 3:
            break
    rest = []
    for event in api.events(first[-1].cursor, within=10):
        rest.append(event)
        if len(first) + len(rest) == 6:
            break
    cursors = [int(event.cursor) for event in first + rest]
    assert cursors == list(range(1, 7))


def test_a_browser_s_resume_header_wins(peer, api, bob):
    api.post("messages", body={"messages": [draft("1"), draft("2")]})
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(peer.state.socket))
    connection.request("GET", "/events?after=0", headers={"Last-Event-ID": "2"})
    answer = connection.getresponse()
    assert answer.headers["Content-Type"] == "text/event-stream"
    lines = [answer.readline() for _ in range(3)]
    connection.close()
    assert lines[2] == b"id: 3\n"


def test_waiting_for_events_ends_in_time(api):
    with pytest.raises(NotReachedError):
        list(api.events("0", within=0.05))


def test_a_cursor_that_never_was_is_refused_in_the_stream(api):
    with pytest.raises(UsageError, match="no cursor"):
        list(api.events("yesterday", within=10))


def test_a_contact_changes_in_several_ways_at_once(api, bob):
    change = {"petname": None, "verified": True, "blocked": True}
    contact = api.patch("contacts", "bob", body=change)
    assert (contact["petname"], contact["verified"]) == (None, True)
    assert contact["status"] == "blocked"
    assert api.get("contacts", "~bob")["id"] == bob.id
    api.delete("contacts", "~bob")
    with pytest.raises(NotFoundError):
        api.get("contacts", "~bob")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "/nothing", None, 404, ""),
        ("DELETE", "/status", None, 405, ""),
        ("GET", "/messages?limit=0", None, 400, "limit"),
        ("GET", "/messages?limit=x", None, 400, "limit"),
        ("GET", "/messages?box=attic", None, 400, "box"),
        ("GET", "/messages?befor=1", None, 400, "befor"),
        ("GET", "/messages/99", None, 404, "99"),
        ("POST", "/messages", "{", 400, "truncated"),
        ("POST", "/messages", "\udcff", 400, ""),
        ("POST", "/messages", '{"messages": []}', 400, "messages"),
        ("POST", "/messages", '{"messages": [{"to": 1}]}', 400, "$.messages[0].to"),
        ("POST", "/contacts", "{}", 400, "neither"),
        ("PUT", "/online", '{"online": 1}', 400, "online"),
    ],
)
def test_what_is_refused_is_a_problem_with_its_reason(
    peer, method, path, body, status, words
):
    payload = body.encode("utf-8", "surrogateescape") if body else None
    got, kind, problem = raw(
        peer.state, method, path, payload, {"Content-Type": "application/json"}
    )
    assert (got, kind) == (status, "application/problem+json")
    assert problem["status"] == status
    assert problem["title"] == problem["error"]
    assert words in problem["detail"]


def test_a_body_beyond_the_bound_is_refused(peer):
    headers = {"Content-Type": "application/json"}
    status, _, problem = raw(
        peer.state, "POST", "/messages", b" " * (MAX_BODY + 1), headers
    )
    assert status == 413
    assert problem["error"] == "UsageError"


def test_a_fault_is_told_without_its_inside(peer, api, monkeypatch):
    async def broken():
        raise ValueError("secret")

    monkeypatch.setattr(peer.service, "status", broken)
    status, _, problem = raw(peer.state, "GET", "/status")
    assert status == 500
    assert "secret" not in json.dumps(problem)


def test_the_openapi_document_names_every_route_and_resolves(peer, api):
    told = api.get("openapi.json")
    assert told == json.loads(json.dumps(document()))
    assert told["openapi"].startswith("3.1")
    for route in ROUTES:
        operation = told["paths"][route.path][route.method.lower()]
        assert operation["summary"]
        assert ("requestBody" in operation) == (route.body is not None)

    def references(node):
        if isinstance(node, dict):
            if "$ref" in node:
                yield node["$ref"]
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    for reference in references(told):
        place = told
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def test_noise_as_a_body_is_done_or_a_problem_and_never_a_fault(peer):
    routes = [route for route in ROUTES if route.body is not None]

    @settings(max_examples=60, deadline=None)
    @given(st.sampled_from(routes), JSON.map(json.dumps).map(str.encode) | st.binary())
    def noise(route, body):
        path = route.path.replace("{who}", "x").replace("{which}", "1")
        headers = {"Content-Type": "application/json"}
        status, _, _ = raw(peer.state, route.method, path, body, headers)
        assert status in (200, 400, 404, 415)

    noise()
