"""kill -9 while files are published and fetched, and a disk that fills up meanwhile.

What `POST /files` answered is published. A fetch goes on after each kill and ends right; nothing
is in its place before it is whole.
"""

import os
from contextlib import suppress
from pathlib import Path
from random import Random
from threading import Thread, Timer

import pytest

from meshpeer.errors import NotRunningError
from tests.system.daemon import LOOPBACK
from tests.system.test_disk_full import fill, small_disk

pytestmark = pytest.mark.system
KILLS = int(os.environ.get("MESHPEER_KILLS", "5"))
LONGEST_LIFE = 0.5
SIZE = 96 << 20
SLOW = LOOPBACK + f"[files]\nserve_rate = {32 << 20}\n"
"""So that a fetch outlives some kills."""
NO_RESERVE = LOOPBACK + "[files]\nkeep_free = 0\n"

__all__ = ["small_disk"]


def die_at(doomed, after):
    """The moment is random, so a timer chooses it; nothing is waited for by it."""
    end = Timer(after, doomed.process.kill)
    end.start()
    end.join()
    doomed.kill()


def publish(peer, path, data, **options):
    path.write_bytes(data)
    return peer.api.post("files", body={"path": str(path), **options})["file"]


def test_a_fetcher_that_is_killed_again_and_again(daemon, tmp_path):
    random = Random(20)
    data = random.randbytes(SIZE)
    ann = daemon("ann", settings=SLOW).start()
    bob = daemon("bob", settings=LOOPBACK).start()
    file = publish(ann, tmp_path / "film.bin", data)
    bob.connects_to(ann)
    bob.api.post("fetches", body={"what": file, "to": str(tmp_path / "got.bin")})
    held = 0
    for _ in range(KILLS):
        die_at(bob, random.uniform(0, LONGEST_LIFE))
        assert not (tmp_path / "got.bin").exists() or done(bob, file)
        bob.start()
        fetch = bob.api.get("fetches", file)
        assert fetch["held"] >= held or fetch["state"] == "done", "durable parts went"
        held = fetch["held"]
    bob.until(lambda: done(bob, file), "the end of the fetch")
    assert (tmp_path / "got.bin").read_bytes() == data
    for peer in (ann, bob):
        peer.stop()


def done(peer, file):
    with suppress(NotRunningError):
        return peer.api.get("fetches", file)["state"] == "done"
    return True


def test_a_publisher_that_is_killed_again_and_again(daemon, tmp_path):
    random = Random(21)
    ann = daemon("ann", settings=LOOPBACK).start()
    bob = daemon("bob", settings=LOOPBACK).start()
    ann.knows(bob)
    bob.knows(ann)
    published: dict[str, bytes] = {}

    def go_on(first):
        with suppress(NotRunningError, OSError, ValueError):
            for number in range(first, first + 40):
                data = random.randbytes(random.choice((0, 900, 70_000, 700_000)))
                path = tmp_path / f"paper {number}.bin"
                published[publish(ann, path, data)] = data

    for round_ in range(KILLS):
        publishing = Thread(target=go_on, args=(100 * round_,))
        publishing.start()
        die_at(ann, random.uniform(0.05, LONGEST_LIFE))
        publishing.join()
        ann.start()
    assert published
    bob.connects_to(ann)
    records = {file["file"] for file in ann.api.all("files")}
    assert set(published) <= records, "what was published is not there"
    for file in published:
        bob.api.post("fetches", body={"what": file})
    bob.until(lambda: all(done(bob, file) for file in published), "the last file")
    for file, data in published.items():
        path = bob.api.get("fetches", file)["path"]
        assert Path(path).read_bytes() == data
    for peer in (ann, bob):
        peer.stop()


def test_a_disk_that_fills_up_during_a_fetch(daemon, small_disk, tmp_path):
    data = Random(22).randbytes(20 << 20)
    ann = daemon("ann", settings=LOOPBACK + "[files]\nserve_rate = 8000000\n").start()
    bob = daemon("bob", folder=small_disk, settings=NO_RESERVE).start()
    file = publish(ann, tmp_path / "film.bin", data)
    bob.connects_to(ann)
    bob.api.post("fetches", body={"what": file})
    bob.until_asked(lambda: bob.api.get("fetches", file)["held"] > 0)
    ballast = fill(small_disk)
    bob.until_asked(lambda: "room" in bob.api.get("fetches", file)["why"])
    assert bob.api.get("fetches", file)["state"] != "failed"

    ballast.unlink()
    bob.until(lambda: done(bob, file), "the end of the fetch")
    assert Path(bob.api.get("fetches", file)["path"]).read_bytes() == data
