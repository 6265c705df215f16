"""A web page in the user's browser, or a name rebound to 127.0.0.1, gets nothing."""

import http.client

import pytest

from tests.api.running import running


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    with running(tmp_path_factory.mktemp("state"), loopback=True) as peer:
        yield peer


def ask(peer, method="GET", path="/status", body=None, **headers):
    """Ask over loopback with the right token unless told otherwise; give status and headers."""
    port = peer.server.loopback_port
    given = {"Authorization": f"Bearer {peer.state.read_token()}"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request(
        method, path, body, {name: v for name, v in given.items() if v is not None}
    )
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers


def test_a_program_with_the_token_is_answered(peer):
    assert ask(peer)[0] == 200
    assert ask(peer, Host=f"localhost:{peer.server.loopback_port}")[0] == 200


@pytest.mark.parametrize(
    "authorization", [None, "Bearer", "Bearer x", "Basic eDp5", "Bearer ü"]
)
def test_without_the_token_nobody_is(peer, authorization):
    value = authorization.encode() if authorization else None
    for path in ("/status", "/events", "/openapi.json", "/nothing"):
        assert ask(peer, path=path, Authorization=value)[0] == 401


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1:1", ""])
def test_a_rebound_name_is_refused_even_with_the_token(peer, host):
    assert ask(peer, Host=host.format(port=peer.server.loopback_port))[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_a_foreign_page_is_refused_even_with_the_token(peer, headers):
    assert ask(peer, **headers)[0] == 403


def test_a_form_that_posts_across_sites_is_refused(peer):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        status, _ = ask(peer, "POST", "/messages", b'{"messages": []}', Content_Type=kind)
        assert status == 415


def test_no_answer_ever_invites_other_origins(peer):
    preflight = {"Origin": "https://evil.example", "Access_Control_Request_Method": "POST"}
    status, headers = ask(peer, "OPTIONS", "/messages", Authorization=None, **preflight)
    assert status == 403
    _, plain = ask(peer)
    for answered in (headers, plain):
        assert not [name for name in answered if name.lower().startswith("access-control")]
        assert answered["Cross-Origin-Resource-Policy"] == "same-origin"
