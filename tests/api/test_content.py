"""A file's bytes over HTTP, whole and in parts, held and still arriving."""

import http.client
import os
import socket

import pytest

from meshpeer.node.facade import Draft
from meshpeer.node.file_facade import FetchChange, NewFetch, Publication
from tests.api.running import Mesh

CHUNK = 256 * 1024
FILM = os.urandom(6 * CHUNK + 1000)


class OverSocket(http.client.HTTPConnection):
    def __init__(self, state):
        super().__init__("localhost", timeout=20)
        self.state = state

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        with self.state.socket_address() as address:
            self.sock.connect(address)


def ask(peer, what, asked=None, method="GET"):
    """Give status, headers and body."""
    connection = OverSocket(peer.state)
    headers = {"Range": asked} if asked else {}
    connection.request(method, f"/files/{what}/content", headers=headers)
    answer = connection.getresponse()
    try:
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@pytest.fixture
def mesh(tmp_path):
    with Mesh(tmp_path) as mesh:
        yield mesh


@pytest.fixture
def ann(mesh):
    ann = mesh.settle("ann")
    mesh.serve(ann, loopback=False)
    return ann


@pytest.fixture
def bob(mesh, ann):
    bob = mesh.settle("bob")
    mesh.serve(bob, loopback=False)
    ann.knows(bob, "bob")
    bob.knows(ann, "ann")
    return bob


def published(peer, path, data):
    path.write_bytes(data)
    return peer.wait(peer.service.publish(Publication(str(path)))).file


@pytest.fixture
def film(ann, tmp_path):
    return published(ann, tmp_path / "film.mp4", FILM)


def test_the_whole_file_with_its_type_and_name(ann, film):
    status, headers, body = ask(ann, film)
    assert (status, body) == (200, FILM)
    assert headers["Content-Type"] == "video/mp4"
    assert headers["Accept-Ranges"] == "bytes"
    assert "film.mp4" in headers["Content-Disposition"]


def test_a_film_is_asked_for_by_the_number_of_its_record(ann, film):
    assert ask(ann, "1")[2] == FILM


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-99", 0, 99),
        ("bytes=0-", 0, len(FILM) - 1),
        (f"bytes={CHUNK - 1}-{CHUNK}", CHUNK - 1, CHUNK),
        (f"bytes={3 * CHUNK}-{4 * CHUNK - 1}", 3 * CHUNK, 4 * CHUNK - 1),
        ("bytes=-500", len(FILM) - 500, len(FILM) - 1),
        (f"bytes=-{len(FILM) * 2}", 0, len(FILM) - 1),
        (f"bytes={len(FILM) - 1}-{len(FILM) + 9}", len(FILM) - 1, len(FILM) - 1),
    ],
)
def test_a_part_of_it(ann, film, asked, first, last):
    status, headers, body = ask(ann, film, asked)
    assert (status, body) == (206, FILM[first : last + 1])
    assert headers["Content-Range"] == f"bytes {first}-{last}/{len(FILM)}"
    assert headers["Content-Length"] == str(last - first + 1)


@pytest.mark.parametrize("asked", [f"bytes={len(FILM)}-", "bytes=9-3", "bytes=-0"])
def test_a_part_that_is_not_there(ann, film, asked):
    status, headers, body = ask(ann, film, asked)
    assert (status, body) == (416, b"")
    assert headers["Content-Range"] == f"bytes */{len(FILM)}"


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,5-6", "lines=1-2", "bytes", "bytes=-", "x" * 99]
)
def test_what_is_no_range_is_answered_with_the_whole(ann, film, asked):
    status, headers, body = ask(ann, film, asked)
    assert (status, len(body), headers["Content-Range"]) == (200, len(FILM), None)


def test_a_head_request_tells_the_size_and_sends_no_bytes(ann, film):
    status, headers, body = ask(ann, film, method="HEAD")
    assert (status, headers["Content-Length"], body) == (200, str(len(FILM)), b"")


def test_an_empty_file_has_no_parts(ann, tmp_path):
    empty = published(ann, tmp_path / "empty.txt", b"")
    status, headers, body = ask(ann, empty)
    assert (status, headers["Content-Length"], body) == (200, "0", b"")
    assert ask(ann, empty, "bytes=0-0")[0] == 416
    assert ask(ann, empty, "bytes=-5")[0] == 416


@pytest.mark.parametrize("name", ["page.html", "drawing.svg", "script.js", "unknown"])
def test_what_a_browser_would_run_is_only_octets_to_be_saved(ann, tmp_path, name):
    file = published(ann, tmp_path / name, b"<script>alert(1)</script>")
    _, headers, _ = ask(ann, file)
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Content-Disposition"].startswith("attachment")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in headers["Content-Security-Policy"]


def test_a_player_sees_first_bytes_middle_and_end_while_it_arrives(ann, bob, film):
    with ann.meets(bob):
        bob.hears("record", own=False)
        assert ask(bob, film, "bytes=0-9")[2] == FILM[:10]
        middle = 3 * CHUNK + 7
        assert (
            ask(bob, film, f"bytes={middle}-{middle + 9}")[2] == FILM[middle : middle + 10]
        )
        assert ask(bob, film, "bytes=-10")[2] == FILM[-10:]
        assert ask(bob, film)[2] == FILM


def test_a_part_waits_until_somebody_brings_it(ann, bob, film, mesh):
    with ann.meets(bob):
        bob.hears("record", own=False)
    (fetch,) = bob.wait(bob.service.fetch(NewFetch(film)))
    connection = OverSocket(bob.state)
    connection.request("GET", f"/files/{film}/content", headers={"Range": "bytes=-9"})
    answer = connection.getresponse()
    assert (answer.status, fetch.held) == (206, 0)
    with ann.meets(bob):
        assert answer.read() == FILM[-9:]
    connection.close()


def test_a_paused_fetch_keeps_nobody_waiting(ann, bob, film):
    with ann.meets(bob):
        bob.hears("record", own=False)
    bob.wait(bob.service.fetch(NewFetch(film)))
    bob.wait(bob.service.change_fetch(film, FetchChange(paused=True)))
    status, _, problem = ask(bob, film)
    assert (status, b"`meshpeer fetches resume`" in problem) == (400, True)


def test_a_fetch_that_is_cancelled_cuts_the_answer(ann, bob, film):
    with ann.meets(bob):
        bob.hears("record", own=False)
    bob.wait(bob.service.fetch(NewFetch(film)))
    connection = OverSocket(bob.state)
    connection.request("GET", f"/files/{film}/content")
    answer = connection.getresponse()
    bob.wait(bob.service.cancel_fetch(film))
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        answer.read()
    connection.close()


def test_a_file_that_changed_on_the_disk_is_not_given_as_what_it_was(ann, film, tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"something else")
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        ask(ann, film)
    assert ask(ann, "99")[0] == 404
    assert ask(ann, "x")[0] == 400


def test_nothing_known_is_404_and_names_are_escaped(ann, tmp_path):
    assert ask(ann, "aaaa-" * 13 + "aaaa")[0] in (400, 404)
    file = published(ann, tmp_path / 'a"b;c.txt', b"x")
    assert "a%22b%3Bc.txt" in ask(ann, file)[1]["Content-Disposition"]


def test_a_film_that_came_with_a_message_is_shown_opened_also_while_it_comes(
    ann, bob, tmp_path
):
    (tmp_path / "film.mp4").write_bytes(FILM)
    draft = Draft("bob", "look", attach=[str(tmp_path / "film.mp4")])
    (sent,) = ann.wait(ann.service.send([draft]))
    with ann.meets(bob):
        bob.hears("message", id=sent.id)
        (film,) = bob.wait(bob.service.message(sent.id)).attachments
        assert ask(bob, film.file, "bytes=-10")[2] == FILM[-10:]
        status, headers, body = ask(bob, film.file)
        assert (status, headers["Content-Type"], body) == (200, "video/mp4", FILM)
        first = CHUNK - 20
        part = ask(bob, film.file, f"bytes={first}-{first + 39}")
        assert part[2] == FILM[first : first + 40]
        assert part[1]["Content-Range"].endswith(f"/{len(FILM)}")
        bob.hears("attachment", state="arrived")
    assert ask(ann, film.file)[2] == FILM
