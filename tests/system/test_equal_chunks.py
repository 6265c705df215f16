"""A file of equal chunks, which costs its publisher nothing, beside an honest fetch."""

import os
from pathlib import Path
from random import Random

import pytest

from tests.system.daemon import LOOPBACK

pytestmark = pytest.mark.system
MIB = 1 << 20
CHUNK = 256 << 10
EQUAL = 1024 * MIB
TAIL = 48 * MIB
RATE = 16 * MIB
"""Bytes a second that the publisher gives: what is left of the large file then takes seconds."""
SLOW = LOOPBACK + f"[files]\nserve_rate = {RATE}\n"


def publish(peer, path):
    return peer.api.post("files", body={"path": str(path)})["file"]


def ends(peer):
    """The files that came, in the order in which they did."""
    return [event.body["file"] for event in peer.history() if event.kind == "fetch"]


@pytest.fixture
def pair(daemon):
    ann = daemon("ann", settings=SLOW).start()
    bob = daemon("bob", settings=LOOPBACK).start()
    bob.connects_to(ann)
    return ann, bob


@pytest.fixture
def paper(tmp_path):
    path = tmp_path / "paper.bin"
    path.write_bytes(Random(1).randbytes(10 * MIB))
    return path


def test_an_honest_fetch_ends_while_the_twins_are_made(pair, paper, tmp_path):
    """What was made of one chunk must not count as waiting: while it does, nobody is read."""
    ann, bob = pair
    large, one, random = tmp_path / "large.bin", Random(2).randbytes(CHUNK), Random(3)
    with large.open("wb") as file:
        for _ in range(EQUAL // CHUNK // 16):
            file.write(one * 16)
        for _ in range(TAIL // MIB):
            file.write(random.randbytes(MIB))
    hostile, honest = publish(ann, large), publish(ann, paper)
    bob.api.post("fetches", body={"what": hostile})
    bob.until_asked(lambda: bob.api.get("fetches", hostile)["held"])
    bob.api.post("fetches", body={"what": honest, "priority": 1})
    bob.hear("fetch", file=honest, state="done")
    assert bob.api.get("fetches", hostile)["state"] == "fetching"
    bob.hear("fetch", file=hostile, state="done")
    assert ends(bob) == [honest, hostile]
    got = Path(bob.api.get("fetches", hostile)["path"])
    assert got.stat().st_size == EQUAL + TAIL
    assert Path(bob.api.get("fetches", honest)["path"]).read_bytes() == paper.read_bytes()
    for peer in pair:
        peer.stop()


def test_three_gigabytes_of_zeros_hold_up_nobody_and_take_no_room(pair, paper, tmp_path):
    ann, bob = pair
    large = tmp_path / "zeros.bin"
    with large.open("wb") as file:
        file.truncate(3072 * MIB - TAIL)
        file.seek(0, os.SEEK_END)
        file.write(Random(3).randbytes(TAIL))
    zeros, honest = publish(ann, large), publish(ann, paper)
    bob.api.post("fetches", body={"what": zeros})
    bob.until_asked(lambda: bob.api.get("fetches", zeros)["held"])
    bob.api.post("fetches", body={"what": honest, "priority": 1})
    bob.hear("fetch", file=honest, state="done")
    assert bob.api.get("fetches", zeros)["state"] == "fetching"
    bob.hear("fetch", file=zeros, state="done")
    got = Path(bob.api.get("fetches", zeros)["path"])
    assert got.stat().st_size == 3072 * MIB
    assert got.stat().st_blocks * 512 < TAIL + 2 * MIB
    for peer in pair:
        peer.stop()
