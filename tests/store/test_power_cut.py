"""A power cut for real: the files as the disk had them, not as the kernel saw them.

strace records every write and fsync of a child that commits. The disk is played back up to some
moment: what was written and not yet fsynced is lost in one variant, and in the other a random
part of it got through, in any order. A new file is there once its folder was fsynced. Then the
store opens on what remains and must hold all that the child had acknowledged by then.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from store.store import Store

ROOT = Path(__file__).parents[2]
COMMITS = 40
CUTS = int(os.environ.get("MESHPEER_POWER_CUTS", "40"))

CALL = re.compile(
    r"\d+ +(?P<call>\w+)\(\d+<(?P<file>[^>]*)>"
    r'(?:, "(?P<data>[^"]*)"(?:, \d+)?(?:, (?P<offset>\d+))?|, (?P<size>\d+))?\) = \d+'
)


class Call(NamedTuple):
    name: str
    file: str
    data: bytes
    number: int


class File:
    """One file: what is on the disk, and the calls that may not be yet."""

    def __init__(self, content=b"", *, entered):
        self.disk = bytearray(content)
        self.waiting = []
        self.entered = entered

    def fsync(self):
        self.apply(self.waiting)
        self.waiting = []

    def apply(self, calls):
        for call in calls:
            if call.name == "ftruncate":
                self.disk[call.number :] = bytes(max(0, call.number - len(self.disk)))
            else:
                end = call.number + len(call.data)
                self.disk.extend(bytes(max(0, end - len(self.disk))))
                self.disk[call.number : end] = call.data


def unescape(text):
    return bytes.fromhex((text or "").replace("\\x", ""))


def read_trace(path):
    for line in path.read_text().splitlines():
        if (match := CALL.match(line)) is not None:
            name, file, data, offset, size = match.groups()
            yield Call(
                name, unescape(file).decode(), unescape(data), int(offset or size or 0)
            )


def record(folder, synchronous):
    """Run the child under strace; give the database before, and its calls."""
    database = folder / "meshpeer.db"
    Store(database).close()
    before = database.read_bytes()
    traced = "trace=pwrite64,write,ftruncate,fsync,fdatasync"
    shown = ["-f", "-y", "-xx", "-s", "1000000"]
    strace = ["strace", *shown, "-o", folder / "trace", "-e", traced]
    child = [sys.executable, str(Path(__file__).with_name("committer.py"))]
    run = subprocess.run(
        [*strace, *child, database, str(COMMITS), synchronous, "1"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    if b"ptrace" in run.stderr:
        pytest.skip("strace may not trace here")
    assert run.returncode == 0, run.stderr
    return before, list(read_trace(folder / "trace"))


def play(before, calls, folder):
    """Give files and the highest acknowledged number after each call."""
    files = {"meshpeer.db": File(before, entered=True)}
    acknowledged = 0
    for call in calls:
        path = Path(call.file)
        if call.file.startswith("pipe:"):
            acknowledged = int(call.data)
        elif path == folder and call.name.startswith(("fsync", "fdatasync")):
            for file in files.values():
                file.entered = True
        elif path.parent == folder and not path.name.endswith("-shm"):
            file = files.setdefault(path.name, File(entered=False))
            if call.name in ("fsync", "fdatasync"):
                file.fsync()
            else:
                file.waiting.append(call)
        yield files, acknowledged


def rebuild(files, folder, lucky):
    """Write the files as the disk has them; `lucky` says which waiting calls got through."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, file in files.items():
        remains = File(file.disk, entered=True)
        through = [call for call in file.waiting if lucky(call)]
        remains.apply(through)
        if file.entered or through:
            (folder / name).write_bytes(remains.disk)


def missing(folder, acknowledged):
    """Say which acknowledged bundles the store doesn't give back."""
    store = Store(folder / "meshpeer.db")
    assert store._all("PRAGMA integrity_check") == [("ok",)]
    ids = [number.to_bytes(32, "big") for number in range(1, acknowledged + 1)]
    held = store.wires(ids)
    store.close()
    return [id for id in ids if id not in held]


def lost_at_cuts(tmp_path, synchronous):
    before, calls = record(tmp_path, synchronous)
    rng, lost = Random(7), 0
    cuts = set(rng.sample(range(len(calls)), min(CUTS, len(calls))))
    syncs = [n for n, call in enumerate(calls) if "sync" in call.name]
    cuts |= {n - 1 for n in rng.sample(syncs, min(CUTS, len(syncs)))}
    last = 0
    for number, (files, acknowledged) in enumerate(play(before, calls, tmp_path)):
        last = max(last, acknowledged)
        if number in cuts or number == len(calls) - 1:
            for lucky in (lambda call: False, lambda call: rng.random() < 0.5):
                rebuild(files, tmp_path / "cut", lucky)
                lost += len(missing(tmp_path / "cut", acknowledged))
    assert last > COMMITS, "the child acknowledged, and the trace shows it"
    return lost


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_what_was_acknowledged_survives_a_power_cut_at_any_moment(tmp_path):
    assert lost_at_cuts(tmp_path, "FULL") == 0


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_same_cuts_find_a_store_that_does_not_wait_for_the_disk(tmp_path):
    assert lost_at_cuts(tmp_path, "NORMAL") > 0
