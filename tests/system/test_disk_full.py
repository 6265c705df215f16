"""A full disk stops intake and says so; nothing held is lost, and it goes on when there is room."""

import os
import shutil
import subprocess
from contextlib import suppress

import pytest

from meshpeer.errors import StoreFullError
from tests.namespaces import run
from tests.system.daemon import LOOPBACK, eventually

pytestmark = pytest.mark.system
DISK = 48 << 20
ALMOST = 8 << 20
"""Half of what the store leaves free for what must be written (`store.reserve.RESERVE`)."""


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of 48 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
        text=True,
    )
    if made.returncode:
        pytest.skip(f"no small disk can be mounted: {made.stderr}")
    yield folder
    run("umount", "--lazy", str(folder))


def fill(folder, left=0):
    """Take all the room but so many bytes; give what takes it."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while shutil.disk_usage(folder).free > left:
            file.write(bytes(4096))
    return ballast


@pytest.fixture
def pair(small_disk, daemon):
    """Ann, and Bob on the small disk; they have each other's card and no link yet."""
    ann = daemon("ann", settings=LOOPBACK).start()
    bob = daemon("bob", folder=small_disk, settings=LOOPBACK).start()
    ann.knows(bob)
    bob.knows(ann)
    return ann, bob


def test_a_full_disk_stops_intake_loses_nothing_and_goes_on(pair, small_disk):
    ann, bob = pair
    bob.connects_to(ann)
    before = [f"before {number}" for number in range(20)]
    ann.send(bob, *before)
    ann.hear_all("state", len(before), state="arrived")

    ballast = fill(small_disk)
    meanwhile = [f"meanwhile {number}" for number in range(20)]
    sent = ann.send(bob, *meanwhile)
    eventually(lambda: bob.status()["warnings"], "a warning")
    assert "disk" in bob.status()["warnings"][0]
    with pytest.raises(StoreFullError):
        bob.send(ann, "no room for this")
    assert sorted(bob.texts()) == sorted(before)
    assert not any(ann.delivery(message)["state"] == "arrived" for message in sent)

    ballast.unlink()
    ann.hear_all("state", len(meanwhile), state="arrived")
    eventually(lambda: not bob.status()["warnings"], "the end of the warning")
    assert sorted(bob.texts()) == sorted(before + meanwhile)
    (message,) = bob.send(ann, "there is room again")
    bob.hear("state", id=message, state="arrived")
    assert ann.texts() == ["there is room again"]
    bob.stop()
    bob.start()
    assert sorted(bob.texts()) == sorted(before + meanwhile)


def test_an_almost_full_disk_takes_mail_for_people_here_and_carries_no_more(
    pair, small_disk
):
    ann, bob = pair
    bob.connects_to(ann)
    ballast = fill(small_disk, left=ALMOST)
    (message,) = ann.send(bob, "this is for you")
    ann.hear("state", id=message, state="arrived")
    texts = [f"{number} ".ljust(10_000, "x") for number in range(20)]
    with pytest.raises(StoreFullError, match="waits in memory"):
        bob.send(ann, *texts)
    assert "disk" in bob.status()["warnings"][0]
    ballast.unlink()
    ann.hear_all("message", len(texts), box="inbox")
    assert sorted(ann.texts()) == sorted(texts)
    bob.until(lambda: not bob.status()["warnings"], "the end of the warning")


def test_killed_on_a_full_disk_it_says_so_and_comes_back_with_all_that_it_held(
    pair, small_disk
):
    ann, bob = pair
    texts = [f"held {number}" for number in range(50)]
    bob.send(ann, *texts)
    ballast = fill(small_disk)
    bob.kill()
    bob.begin()
    assert bob.process.stdout.read() == b""
    assert "disk is full" in bob.said()
    bob.kill()
    ballast.unlink()
    bob.start()
    assert sorted(bob.texts("outbox")) == sorted(texts)
    bob.connects_to(ann)
    bob.hear_all("state", len(texts), state="arrived")
    assert sorted(ann.texts()) == sorted(texts)
