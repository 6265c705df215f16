"""Real daemons for the benchmarks, and two network namespaces joined by a cable."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from meshpeer.cli.client import Api
from meshpeer.node.state import State

PATIENCE = 40.0
"""Seconds after which a benchmark that waits has failed."""

LOOPBACK = """
log_level = "error"
[udp]
listen = ["127.0.0.1"]
port = 0
[lan]
on = false
"""


class Daemon:
    """One `meshpeer run` on a folder of its own."""

    def __init__(self, folder: Path, settings: str = LOOPBACK, namespace: str = "") -> None:
        self.state = State(folder)
        self.api = Api(self.state)
        self.namespace = namespace
        self.process: subprocess.Popen[str] | None = None
        folder.mkdir(mode=0o700, exist_ok=True)
        nickname = f'nickname = "{folder.name}"\n'
        self.state.config.write_text(nickname + settings, encoding="utf-8")

    def begin(self) -> None:
        """Start the process; `wait` says when its API answers."""
        inside = ["ip", "netns", "exec", self.namespace] if self.namespace else []
        command = [sys.executable, "-m", "meshpeer", "--state", str(self.state.root)]
        self.process = subprocess.Popen(
            [*inside, *command, "run", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def wait(self) -> None:
        """Return when the API answers."""
        assert self.process is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the peer on {self.state.root} did not start")
        assert json.loads(line)["ready"]

    def start(self) -> "Daemon":
        """Start, and return when the API answers."""
        self.begin()
        self.wait()
        return self

    def stop(self) -> None:
        """End in good order."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE)
            self.process = None

    @property
    def pid(self) -> int:
        """Of the process that runs the peer."""
        return int(self.status()["pid"])

    def status(self) -> dict[str, Any]:
        """What `meshpeer status` shows."""
        status: dict[str, Any] = self.api.get("status")
        return status

    def counter(self, name: str) -> int:
        """One of the counters in the status."""
        return int(self.status()["counters"].get(name, 0))

    def knows(self, other: "Daemon") -> None:
        """Add the other's card."""
        card = other.api.get("card")["uri"]
        self.api.post("contacts", body={"card": card, "petname": other.state.root.name})

    def connects_to(self, other: "Daemon") -> None:
        """Add the other's address, and wait for the link."""
        port = other.status()["listening"][0].rpartition(":")[2]
        body = {"peer": other.status()["peer"], "address": f"127.0.0.1:{port}"}
        after = self.status()["last_event"]
        self.api.post("peers", body=body)
        for event in self.api.events(after, within=PATIENCE):
            if event.kind == "link" and event.body["up"]:
                return

    def send(self, to: str, texts: list[str]) -> None:
        """Hand messages over in one request."""
        self.api.post("messages", body={"messages": [{"to": to, "text": t} for t in texts]})

    def wait_for(self, kind: str, count: int, after: str, **fields: str) -> None:
        """Return once so many events of this kind and with these fields have come."""
        for event in self.api.events(after, within=PATIENCE):
            if event.kind == kind and fields.items() <= event.body.items():
                count -= 1
            if not count:
                return

    def introduce(self, other: "Daemon") -> None:
        """Exchange cards and one message with receipt each way, over a link that is up."""
        for one, two in ((self, other), (other, self)):
            one.knows(two)
        for one, two in ((self, other), (other, self)):
            after = one.status()["last_event"]
            one.send(two.state.root.name, ["hello"])
            one.wait_for("state", 1, after, state="arrived")


@contextmanager
def daemons(*names: str, settings: str = LOOPBACK) -> Iterator[list[Daemon]]:
    """Give so many peers, running; they and their folders are gone afterwards."""
    with ExitStack() as stack:
        root = Path(tempfile.mkdtemp(prefix="meshpeer-bench-"))
        stack.callback(shutil.rmtree, root)
        started = []
        for name in names:
            daemon = Daemon(root / name, settings)
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


def ip(*arguments: str) -> None:
    """Run `ip`."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def clock() -> float:
    """Seconds, for differences."""
    return time.perf_counter()
