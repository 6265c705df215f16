"""One person on two real peers that meet over UDP; asked for as people do, by commands."""

import json
import subprocess
import sys

import pytest

from meshpeer.node.state import State
from tests.system.daemon import LOOPBACK, PATIENCE, ROOT

WORDS = "correct horse battery staple"


def meshpeer(state, *arguments, typed=""):
    """Run a command on a state folder, and give what it says as JSON."""
    command = [sys.executable, "-m", "meshpeer", *map(str, arguments), "--json"]
    done = subprocess.run(
        [*command, "--state", str(state.root)],
        input=typed,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def pair(daemon):
    """A laptop and a phone of one person, each with the other's address."""
    laptop = daemon("laptop", settings=LOOPBACK).start()
    phone = daemon("phone", settings=LOOPBACK).start()
    asked = meshpeer(phone.state, "device", "request")["uri"]
    card = meshpeer(laptop.state, "device", "add", asked, "--yes")["card"]
    joined = meshpeer(phone.state, "device", "join", card, "--yes")
    assert joined["nickname"] == "laptop"
    assert (joined["listed"], joined["key_here"]) == (True, False)
    return laptop, phone


def posts(daemon):
    return sorted(record["text"] for record in daemon.api.all("timeline", kinds="post"))


def post(daemon, text):
    daemon.api.post("posts", body={"text": text})


def test_a_phone_joins_both_post_apart_meet_and_one_is_revoked(pair):
    laptop, phone = pair
    post(laptop, "from the laptop")
    post(phone, "from the phone")
    laptop.connects_to(phone)
    for daemon in pair:
        daemon.until(
            lambda: posts(daemon) == ["from the laptop", "from the phone"],  # noqa: B023
            "one timeline",
        )
    found = meshpeer(laptop.state, "device", "revoke", "2", "--yes")
    assert [device["revoked"] for device in found["items"]] == [False, True]
    phone.until(lambda: not phone.api.get("devices")["listed"], "hearing of it")
    for daemon in pair:
        daemon.stop()
        assert "fork" not in {event.kind for event in daemon.start().history()}
    assert posts(laptop) == ["from the laptop", "from the phone"]


def test_a_peer_backed_up_while_it_runs_comes_back_elsewhere_and_forks_nothing(
    pair, daemon, tmp_path
):
    laptop, phone = pair
    post(laptop, "in the backup")
    path = tmp_path / "laptop.backup"
    made = meshpeer(laptop.state, "backup", path, typed=f"{WORDS}\n")
    assert made["bytes"] == path.stat().st_size
    post(laptop, "after the backup")
    laptop.connects_to(phone)
    phone.until(lambda: len(posts(phone)) == 2, "both posts")
    laptop.kill()
    elsewhere = tmp_path / "elsewhere"
    told = meshpeer(State(elsewhere / "laptop"), "restore", path, typed=f"{WORDS}\n")
    assert told["nickname"] == "laptop"
    back = daemon("laptop", folder=elsewhere, settings=LOOPBACK).start()
    assert back.peer == laptop.peer
    post(back, "after the loss")
    back.connects_to(phone)
    everything = ["after the backup", "after the loss", "in the backup"]
    for one in (back, phone):
        one.until(lambda: posts(one) == everything, "one timeline")  # noqa: B023
        assert "fork" not in {event.kind for event in one.history()}
