"""Real daemons for the benchmarks, and two network namespaces joined by a cable."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.system.daemon import LOOPBACK, Daemon

GIVE_UP = 60.0


@contextmanager
def daemons(*names: str) -> Iterator[list[Daemon]]:
    """Give so many peers on loopback, running; they and their folders are gone afterwards."""
    with ExitStack() as stack:
        root = Path(tempfile.mkdtemp(prefix="meshpeer-bench-"))
        stack.callback(shutil.rmtree, root)
        started = []
        for name in names:
            daemon = Daemon(root / name, settings=LOOPBACK)
            stack.callback(daemon.stop)
            started.append(daemon.start())
        yield started


@contextmanager
def cable() -> Iterator[tuple[str, str]]:
    """Give the names of two network namespaces joined by a veth, each with an IPv4 address."""
    if os.geteuid() != 0:
        raise SystemExit("this benchmark makes network namespaces: run it as root")
    names = (f"mpb{os.getpid()}a", f"mpb{os.getpid()}b")
    try:
        for name in names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip(
            "-n",
            names[0],
            *f"link add lan0 type veth peer name lan0 netns {names[1]}".split(),
        )
        for number, name in enumerate(names, 1):
            ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", "lan0")
            ip("-n", name, "link", "set", "lan0", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@contextmanager
def switch(count: int) -> Iterator[list[str]]:
    """Give the names of so many network namespaces that one switch joins, as on a LAN."""
    if os.geteuid() != 0:
        raise SystemExit("this benchmark makes network namespaces: run it as root")
    middle = f"mpb{os.getpid()}s"
    names = [f"mpb{os.getpid()}n{number}" for number in range(count)]
    try:
        ip("netns", "add", middle)
        ip("-n", middle, *["link", "add", "switch", "type", "bridge"])
        ip("-n", middle, *["link", "set", "switch", "up"])
        for number, name in enumerate(names, 1):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
            end = f"port{number}"
            ip(
                "-n",
                middle,
                *f"link add {end} type veth peer name lan0 netns {name}".split(),
            )
            ip("-n", middle, *f"link set {end} master switch up".split())
            ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", "lan0")
            ip("-n", name, "link", "set", "lan0", "up")
        yield names
    finally:
        for name in (middle, *names):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def settled_mirror(peer: Daemon, who: str, collection: str, folder: Path) -> None:
    """Have a peer mirror a collection, and wait until it equals the newest record."""
    body = {"who": who, "collection": collection, "directory": str(folder)}
    peer.api.post("mirrors", body=body)
    deadline = clock() + GIVE_UP
    while not (mirror := peer.api.get("mirrors")["items"][0])["current"]:
        if clock() > deadline:
            raise SystemExit(f"not mirrored: {mirror}, {peer.tell()}")
        time.sleep(0.01)


def ip(*arguments: str) -> None:
    """Run `ip`."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def clock() -> float:
    """Seconds, for differences."""
    return time.perf_counter()
