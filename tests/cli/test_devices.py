"""The commands about devices and backups, on a peer that runs in this process."""

import pytest
from click.testing import CliRunner

from meshpeer.cli.main import root
from meshpeer.node import vault
from tests.api.running import Mesh

WORDS = "correct horse battery staple"


@pytest.fixture
def call(tmp_path):
    """Runs commands on the peers named; `call.peer` makes one."""
    with Mesh(tmp_path) as mesh:

        def call(peer, *arguments, typed=""):
            folder = str(peer.node.state.root)
            words = [str(part) for part in arguments]
            return CliRunner().invoke(root, [*words, "--state", folder], input=typed)

        call.peer = lambda name: mesh.settle(name)
        call.serve = lambda peer: mesh.serve(peer, loopback=False)
        yield call


@pytest.fixture
def pair(call):
    laptop, phone = call.peer("laptop"), call.peer("phone")
    for peer in (laptop, phone):
        call.serve(peer)
    return laptop, phone


def test_people_are_led_from_the_request_to_the_list(call, pair):
    laptop, phone = pair
    asked = call(phone, "device", "request")
    assert asked.stdout.startswith("meshpeer-device:")
    id_text = asked.stderr.split()[3]
    added = call(laptop, "device", "add", asked.stdout.strip(), typed="y\n")
    assert id_text in added.stderr
    assert added.stdout.startswith("meshpeer:")
    joined = call(phone, "device", "join", added.stdout.strip(), typed="y\n")
    assert joined.exit_code == 0, joined.stderr
    lines = call(phone, "device").stdout.splitlines()
    assert len(lines) == 3
    assert "this one" in lines[2]
    assert id_text in lines[2]
    gone = call(laptop, "device", "revoke", "2", "--yes")
    assert "revoked" in gone.stdout


def test_who_says_no_adds_joins_and_revokes_nothing(call, pair):
    laptop, phone = pair
    uri = call(phone, "device", "request").stdout.strip()
    assert call(laptop, "device", "add", uri, typed="n\n").exit_code == 2
    assert len(call(laptop, "device").stdout.splitlines()) == 2
    card = call(laptop, "card").stdout.strip()
    assert call(phone, "device", "join", card, typed="n\n").exit_code == 2
    assert call(laptop, "device", "revoke", "1", typed="n\n").exit_code == 2


def test_a_request_is_drawn_for_a_camera(call, pair):
    drawn = call(pair[0], "device", "request", "--qr").stdout
    assert "█" in drawn
    assert max(map(len, drawn.splitlines())) <= 80


def test_a_backup_is_made_through_the_running_peer(call, pair, tmp_path, monkeypatch):
    monkeypatch.setattr(vault, "PASSES", 1)
    monkeypatch.setattr(vault, "MEMORY_LOG", 10)
    path = tmp_path / "laptop.backup"
    done = call(pair[0], "backup", path, typed=f"{WORDS}\n")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"{path}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    refused = call(pair[0], "backup", tmp_path, typed=f"{WORDS}\n")
    assert (refused.exit_code, "name another file" in refused.stderr) == (2, True)


def test_a_device_that_was_revoked_hears_of_it_says_so_and_publishes_no_more(call, pair):
    laptop, phone = pair
    asked = call(phone, "device", "request").stdout.strip()
    card = call(laptop, "device", "add", asked, "--yes").stdout.strip()
    call(phone, "device", "join", card, "--yes")
    assert "note" not in call(phone, "status").stdout
    with laptop.meets(phone):
        call(laptop, "device", "revoke", "2", "--yes")
        phone.until(lambda status: status.warnings)
    shown = call(phone, "status").stdout
    assert "This device is not in the list of laptop's devices" in shown
    assert "note" not in call(laptop, "status").stdout
    refused = call(phone, "post", "I am the thief")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "device" in refused.stderr
