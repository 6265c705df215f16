"""What a daemon with five neighbours on a LAN writes to its card: idle, and for messages. Needs root.

Counted is what reaches the block layer: the state folder lies on an ext4 of its own on a loop
device, mounted as Raspberry Pi OS mounts its card (noatime), and the kernel counts the sectors
written to it, so SQLite's log, ext4's journal and inodes are all in. All is synced before each
count. Time can't be hurried: MINUTES are measured after SETTLE and told as of an hour.

Messages come one at a time from a neighbour, for a peer that is away, so each is a commit of its
own (the worst case: messages that come together share one); then that peer comes and all are
dropped again by their receipts. Last a neighbour goes and comes back, again and again, as they do
on the air.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks._daemons import switch
from tests.system.daemon import Daemon, eventually

NEIGHBOURS = 5
SETTLE = 60
MINUTES = 5
MESSAGES = 20
MEETINGS = 10
TEXT = "x" * 200
CARD_MB = 256
SECTOR = 512


def main() -> dict[str, float]:
    with ExitStack() as stack:
        root = Path(tempfile.mkdtemp(prefix="meshpeer-bench-"))
        stack.callback(shutil.rmtree, root)
        spaces = stack.enter_context(switch(NEIGHBOURS + 2))
        (root / "card").mkdir()
        card = stack.enter_context(Card.mounted(root / "card.img", root / "card"))
        peer = Daemon(root / "card" / "peer", said=root / "said", namespace=spaces[0])
        around = [
            Daemon(root / f"near{number}", namespace=space)
            for number, space in enumerate(spaces[1:-1])
        ]
        away = Daemon(root / "away", namespace=spaces[-1])
        for daemon in (peer, *around, away):
            stack.callback(daemon.stop)
            daemon.start()
        for near in around:
            near.knows(peer)
            peer.knows(near)
            peer.linked_with(near)
            peer.send(near, "hello")
        around[0].knows(away)
        away.knows(around[0])
        away.stop()
        return {
            **idle(card, peer),
            **messages(card, peer, around[0], away),
            **meetings(card, peer, around[1]),
        }


class Card:
    """A file system on a loop device, of which the kernel counts what is written."""

    def __init__(self, folder: Path, device: str) -> None:
        self._folder = folder
        self._stat = Path("/sys/block", device.removeprefix("/dev/"), "stat")

    @classmethod
    @contextmanager
    def mounted(cls, image: Path, folder: Path) -> Iterator["Card"]:
        """Make one and mount it; it is gone afterwards."""
        with image.open("wb") as empty:
            empty.truncate(CARD_MB << 20)
        now = "lazy_itable_init=0,lazy_journal_init=0"  # else ext4 goes on making itself
        run("mkfs.ext4", "-q", "-E", now, image)
        device = run("losetup", "--find", "--show", image).strip()
        try:
            run("mount", "-o", "noatime", device, folder)
            try:
                yield cls(folder, device)
            finally:
                run("umount", folder)
        finally:
            run("losetup", "--detach", device)

    def written_kib(self) -> float:
        """Everything so far, also what was only waiting in memory."""
        run("sync", "--file-system", self._folder)
        return int(self._stat.read_text().split()[6]) * SECTOR / 1024


def idle(card: Card, peer: Daemon) -> dict[str, float]:
    time.sleep(SETTLE)
    pid, links = peer.status()["pid"], peer.status()["neighbours"]
    assert links == NEIGHBOURS, peer.tell()
    card_before, process_before = card.written_kib(), process_kib(pid)
    begin = time.monotonic()
    time.sleep(MINUTES * 60)
    hours = (time.monotonic() - begin) / 3600
    card_kib = card.written_kib() - card_before
    process = process_kib(pid) - process_before
    assert peer.status()["neighbours"] == NEIGHBOURS, peer.tell()
    print(f"idle: {hours * 60:.1f} minutes measured, {card_kib:.0f} KiB reached the card,")
    print(f"      {process:.0f} KiB of them by the process's own account")
    return {
        "kib_written_per_hour": round(card_kib / hours, 1),
        "kib_of_process_per_hour": round(process / hours, 1),
    }


def messages(card: Card, peer: Daemon, near: Daemon, away: Daemon) -> dict[str, float]:
    before = card.written_kib()
    held = peer.status()["queue_bundles"]
    for number in range(1, MESSAGES + 1):
        near.send(away, TEXT)
        eventually(lambda: peer.status()["queue_bundles"] >= held + number, "holding")  # noqa: B023
    taken = card.written_kib()
    away.start()
    eventually(lambda: peer.status()["queue_bundles"] <= held, "the receipts")
    dropped = card.written_kib()
    print(
        f"messages: {MESSAGES}, each alone: {(taken - before) / MESSAGES:.1f} KiB to hold"
    )
    print(f"      one, {(dropped - taken) / MESSAGES:.1f} KiB to drop one by its receipt")
    return {"kib_per_message_carried": round((dropped - before) / MESSAGES, 1)}


def meetings(card: Card, peer: Daemon, near: Daemon) -> dict[str, float]:
    before = card.written_kib()
    there = peer.status()["neighbours"]
    for _ in range(MEETINGS):
        near.stop()
        eventually(lambda: peer.status()["neighbours"] == there - 1, "parting")
        near.start()
        eventually(lambda: peer.status()["neighbours"] == there, "meeting")
    return {"kib_per_meeting": round((card.written_kib() - before) / MEETINGS, 1)}


def process_kib(pid: int) -> float:
    """What the kernel ascribes to the process itself."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    fields = dict(line.split(": ") for line in lines)
    return (int(fields["write_bytes"]) - int(fields["cancelled_write_bytes"])) / 1024


def run(*command: str | Path) -> str:
    """Run a program of the system's."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env=os.environ | {"PATH": path}
    )
    return done.stdout
