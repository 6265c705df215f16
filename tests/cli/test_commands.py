"""The commands against a running peer: results on stdout, talk on stderr, exit codes."""

import json
import os
import re
import socket
import subprocess
import sys

import pytest
from click.testing import CliRunner

import meshpeer.cli.client as client
import meshpeer.cli.main as main
from meshpeer.cli.peers import _queue_lines
from meshpeer.cli.people import uri_lines
from meshpeer.node.clock import Clock
from tests.api.running import running

ARRIVED = ("--wait", "arrived", "--timeout", "20s")


@pytest.fixture
def peer(tmp_path):
    with running(tmp_path / "state") as peer:
        yield peer


@pytest.fixture
def bob(peer):
    bob = peer.mesh.settle("bob")
    peer.knows(bob, "bob")
    return bob


def call(peer, *arguments, stdin=None):
    """Run a command and give its result; stdout and stderr apart."""
    arguments = ["--state", str(peer.state.root), *arguments]
    return CliRunner().invoke(main.root, arguments, input=stdin)


def told(peer, *arguments, **more):
    """Run a command with --json and give what it says."""
    result = call(peer, *arguments, "--json", **more)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_from_a_card_to_a_message_that_arrived(peer, tmp_path):
    bob = peer.mesh.settle("bob")
    assert call(peer, "id").stdout == f"{peer.id}  ann\n"
    assert call(peer, "card").stdout == f"{peer.card.uri}\n"
    (tmp_path / "bob.card").write_bytes(bob.card.file)
    added = call(peer, "add", str(tmp_path / "bob.card"), "--name", "bobby")
    assert added.stdout == f"bobby  {bob.id}\n"

    sent = told(peer, "send", "bobby", "hello", "--lifetime", "150m")
    assert sent["state"] == "queued"
    assert "queued here; no neighbour has it yet (2 h left)" in call(peer, "outbox").stdout
    with peer.meets(bob):
        peer.hears("state", id=sent["id"], state="arrived")
    assert "arrived" in call(peer, "outbox").stdout
    assert told(peer, "outbox", "--underway") == []
    assert call(peer, "recall", sent["id"]).exit_code == 2


def test_the_outbox_says_who_carries_it_and_claims_no_more(peer, bob):
    carol = peer.mesh.settle("carol")
    call(peer, "send", "bob", "hello")
    with peer.meets(carol):
        peer.hears("state", state="carried")
    shown = call(peer, "outbox").stdout
    assert f"carried by {carol.peer_id[:11]} since " in shown
    assert "further copies can't be known" in shown
    (message,) = told(peer, "outbox")
    assert "recall asked; it may still arrive" in call(peer, "recall", message["id"]).stdout


def test_a_message_comes_from_stdin_and_is_read_once(peer, bob):
    bob.knows(peer)
    result = call(peer, "send", "bob", stdin="two\nlines\n")
    assert result.exit_code == 0
    bob.writes(peer, "answer")
    with peer.meets(bob):
        peer.hears("message", box="inbox")
    assert re.match(r"\*\s+2 .*  bob  answer\n", call(peer, "inbox").stdout)
    assert "1 unread, 0 in requests" in call(peer, "inbox").stderr
    assert "  answer\n" in call(peer, "read").stdout
    assert call(peer, "inbox").stdout == ""
    assert len(told(peer, "inbox", "--all")) == 1
    assert told(peer, "read", "1")[0]["text"] == "two\nlines\n"
    assert call(peer, "delete", "2").stdout == "deleted 1\n"
    assert call(peer, "read", "2").exit_code == 4


class Ahead(Clock):
    """The clock of a machine that thinks it is tomorrow."""

    def wall(self):
        return super().wall() + 86_400


def test_what_came_in_any_order_is_read_as_it_was_written(peer, bob):
    carol = peer.mesh.settle("carol", clock=Ahead)
    peer.knows(carol)
    for friend, text in ((carol, "last"), (bob, "first")):
        friend.knows(peer)
        sent = friend.writes(peer, text)
        with friend.meets(peer):
            peer.hears("message", id=sent)
    assert [message["text"] for message in told(peer, "inbox")] == ["first", "last"]
    assert [message["text"] for message in told(peer, "read")] == ["first", "last"]


def test_a_reply_shows_what_it_answers_while_that_is_here(peer, bob):
    sent = told(peer, "send", "bob", "shall we meet?")
    told(peer, "send", "bob", "at noon", "--reply-to", sent["id"])
    assert "  answers 1  shall we meet?\n" in call(peer, "read", "2").stdout
    call(peer, "delete", "1")
    assert "  answers a message that is not here\n" in call(peer, "read", "2").stdout


def test_an_empty_message_is_not_sent(peer, bob):
    result = call(peer, "send", "bob", stdin=" \n")
    assert (result.exit_code, result.stdout) == (2, "")
    assert call(peer, "send", "bob", " ").exit_code == 2


@pytest.mark.parametrize("arguments", [("\udcff",), ()])
def test_bytes_that_are_no_text_are_not_sent(peer, bob, arguments):
    result = call(peer, "send", "bob", *arguments, stdin=b"\xff\xfe")
    assert result.exit_code == 2
    assert "the message is not text" in result.stderr


def test_a_timeout_without_a_wait_is_asked_wrongly(peer, bob):
    result = call(peer, "send", "bob", "hello", "--timeout", "1s")
    assert (result.exit_code, told(peer, "outbox")) == (2, [])
    assert "--wait" in result.stderr


@pytest.mark.parametrize("command", ["outbox", "log"])
@pytest.mark.parametrize("count", ["0", "-1"])
def test_a_list_of_less_than_one_is_asked_wrongly(peer, command, count):
    result = call(peer, command, "--last", count)
    assert result.exit_code == 2
    assert "x>=1" in result.stderr


def test_waiting_ends_with_the_state_or_with_exit_code_6(peer, bob):
    assert told(peer, "send", "bob", "1", "--wait", "queued")["state"] == "queued"
    result = call(peer, "send", "bob", "2", "--wait", "carried", "--timeout", "1s")
    assert result.exit_code == 6
    assert result.stdout == ""

    bob.knows(peer)
    carol = peer.mesh.settle("carol")
    with peer.meets(carol), carol.meets(bob):
        assert told(peer, "send", "bob", "3", *ARRIVED)["state"] == "arrived"


def test_a_message_that_expires_while_we_wait_ends_the_wait(peer, bob):
    result = call(peer, "send", "bob", "late", "--lifetime", "1s", *ARRIVED)
    assert result.exit_code == 6
    assert "expired" in result.stderr


def test_a_stranger_waits_in_requests_and_its_nickname_is_no_petname(peer, bob):
    mallory = peer.mesh.settle("bob")
    mallory.knows(peer)
    mallory.writes(peer, "I am bob")
    with mallory.meets(peer):
        peer.hears("message", box="requests")
    shown = call(peer, "requests").stdout
    assert "  ~bob  I am bob" in shown
    assert mallory.id in shown
    assert call(peer, "requests", "accept", mallory.id, "--name", "not bob").exit_code == 0
    assert "  not bob  I am bob" not in shown
    names = [line.split("  ")[0] for line in call(peer, "contacts").stdout.splitlines()[1:]]
    assert names == ["bob", "not bob"]
    assert told(peer, "inbox")[0]["contact"]["id"] == mallory.id


def test_a_refused_stranger_is_gone(peer):
    mallory = peer.mesh.settle("mallory")
    mallory.knows(peer)
    mallory.writes(peer, "buy this")
    with mallory.meets(peer):
        peer.hears("message", box="requests")
    assert call(peer, "requests", "refuse", "~mallory").stdout == "refused\n"
    assert told(peer, "requests") == []
    assert told(peer, "contacts") == []


def test_contacts_are_renamed_verified_blocked_and_removed(peer, bob):
    assert told(peer, "contacts", "rename", "bob", "rob")["petname"] == "rob"
    asked = call(peer, "contacts", "verify", "rob", stdin="n\n")
    assert asked.exit_code == 2
    assert bob.id in asked.stderr
    assert told(peer, "contacts", "verify", "rob", "--yes")["verified"]
    assert not told(peer, "contacts", "verify", "rob", "--undo")["verified"]
    assert told(peer, "contacts", "block", "rob")["status"] == "blocked"
    assert told(peer, "contacts", "block", "rob", "--undo")["status"] == "contact"
    assert told(peer, "contacts", "rename", "rob")["petname"] is None
    assert call(peer, "contacts", "remove", "~bob").exit_code == 0
    assert call(peer, "contacts", "remove", "~bob").exit_code == 4


def test_text_of_others_can_not_move_the_cursor_or_turn_the_line(peer):
    evil = peer.mesh.settle("evil")
    evil.knows(peer)
    evil.writes(peer, "\x1b]0;title\x07 \u2067x\u0000\nline")
    with evil.meets(peer):
        peer.hears("message", box="requests")
    for arguments in (["requests"], ["contacts"], ["read", "1"], ["requests", "--json"]):
        shown = call(peer, *arguments).stdout
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", shown)


def test_the_inbox_is_followed_without_gap_or_repeat(peer, bob):
    bob.knows(peer)
    command = [sys.executable, "-m", "meshpeer", "inbox", "--follow", "--json"]
    command += ["--state", str(peer.state.root)]
    first = bob.writes(peer, "first")
    with bob.meets(peer):
        peer.hears("message", id=first)
        with subprocess.Popen(command, stdout=subprocess.PIPE) as follow:
            lines = [json.loads(follow.stdout.readline())["text"]]
            for text in ("second", "third"):
                bob.writes(peer, text)
                lines.append(json.loads(follow.stdout.readline())["text"])
            follow.terminate()
    assert lines == ["first", "second", "third"]


def test_peers_status_and_queue(peer, bob):
    assert call(peer, "peers", "add", bob.peer_id, "192.0.2.9:6374").exit_code == 0
    assert "udp 192.0.2.9:6374" in call(peer, "peers").stdout
    assert call(peer, "peers", "add", bob.peer_id, "nowhere").exit_code == 2
    assert told(peer, "peers", "remove", bob.peer_id) == {"done": True}
    call(peer, "send", "bob", "hello")
    assert told(peer, "status")["underway"] == 1
    assert "1 underway" in call(peer, "status").stdout
    assert "own" in call(peer, "queue").stdout


def test_the_queue_fits_a_screen_though_accounts_are_long():
    held = {"id": "ab" * 32, "bytes": 209, "priority": "normal", "own": False, "hops": 1}
    held |= {"hop_limit": 6, "age_s": 1, "remaining_s": 9}
    held["account"] = f"stranger:10.77.3.0/24/{'f77d1800' * 8}"
    _, row = _queue_lines([held])
    assert "stranger:10.77.3.0/24/f77d1800…" in row
    assert len(row) < 100


@pytest.mark.parametrize("value", ["0", "-1h", "soon", "1y", "inf", ""])
def test_a_lifetime_that_is_none_is_refused(peer, bob, value):
    assert call(peer, "send", "bob", "x", "--lifetime", value).exit_code == 2


def test_the_qr_code_fits_a_terminal():
    lines = uri_lines("meshpeer:" + "Ab_-" * 80, qr=True)
    assert 20 < len(lines) <= 40
    assert max(len(re.sub("\x1b\\[[0-9;]*m", "", line)) for line in lines) <= 80


def test_advice_follows_how_things_stand(peer, tmp_path):
    nothing = CliRunner().invoke(main.root, ["--state", str(tmp_path / "none")])
    assert "meshpeer --state" in nothing.stdout
    assert "run" in nothing.stdout
    assert "add CARD" in call(peer).stdout
    bob = peer.mesh.settle("bob")
    peer.knows(bob, "bob")
    assert "send NAME" in call(peer).stdout


def test_a_peer_of_another_user_is_not_called_missing(peer):
    command = [sys.executable, "-m", "meshpeer", "status", "--state", str(peer.state.root)]
    if os.geteuid() == 0:
        powers = "-dac_override,-dac_read_search"
        command = ["setpriv", f"--bounding-set={powers}", f"--inh-caps={powers}", *command]
    peer.state.root.chmod(0)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        peer.state.root.chmod(0o700)
    assert done.returncode == 1
    assert "another user's" in done.stderr


def test_a_peer_that_hangs_is_not_waited_for_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(client, "ANSWER_S", 0.05)
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "api.sock"))
        deaf.listen()
        result = CliRunner().invoke(main.root, ["status", "--state", str(tmp_path)])
    assert result.exit_code == 3
    assert "did not answer" in result.stderr


def test_no_peer_is_exit_code_3(tmp_path):
    result = CliRunner().invoke(main.root, ["status", "--state", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (3, "")
    assert f"meshpeer --state {tmp_path} run" in result.stderr
