"""Networks for tests: namespaces of their own, joined by a bridge that no real interface is on."""

import ctypes
import itertools
import json
import os
import selectors
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 10.0
CLONE_NEWNET = 0x40000000
numbers = itertools.count()


def run(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def fits(line: dict, host: str = "", **fields) -> bool:
    return fields.items() <= line.items() and line.get("path", [""])[0].startswith(host)


class PeerProcess:
    """One `lan_peer.py` in a namespace, and the lines that it has said so far."""

    def __init__(self, namespace: str, number: int, options: dict) -> None:
        script = Path(__file__).parent / "lan_peer.py"
        self.process = subprocess.Popen(
            [
                *("ip", "netns", "exec", namespace),
                *(sys.executable, str(script), str(number), json.dumps(options)),
            ],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.said: list[dict] = []
        self._rest = b""

    def until(self, event: str, after: float = 0.0, **fields) -> dict:
        """Wait for a line of this event, later than `after`, that has these fields; give the first.

        A field `host` is compared with the start of the path.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            for line in self.said:
                if line["event"] == event and line["at"] >= after and fits(line, **fields):
                    return line
            self._read(deadline, f"{event} {fields}")

    def _read(self, deadline: float, wanted: str) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise AssertionError(f"no {wanted} in {self.said}")
        chunk = os.read(self.process.stdout.fileno(), 65_536)
        assert chunk, f"the peer ended after {self.said}"
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self.said += map(json.loads, lines)

    def send(self, host: str, port: int) -> None:
        """Have it send a datagram by udp."""
        self.process.stdin.write(json.dumps([host, port]).encode() + b"\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """End it at once, and wait till it has."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def end(self) -> dict:
        """Have it end, and give its last words."""
        self.process.stdin.close()
        return self.until("ended")


class Lan:
    """A bridge in a namespace of its own, and namespaces plugged into it; nothing outlives it."""

    def __init__(self) -> None:
        self._prefix = f"mp{os.getpid()}x{next(numbers)}"
        self.hub = f"{self._prefix}hub"
        self.hosts: list[str] = []
        self.peers: list[PeerProcess] = []
        self._namespaces: list[str] = []
        self._add_namespace(self.hub)
        run("ip", "-n", self.hub, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", self.hub, "link", "set", "br0", "up")

    def add_host(self, *addresses: str, ipv6: bool = True, up: bool = True) -> str:
        """Plug a new namespace into the bridge by its eth0; give its name."""
        number = len(self.hosts)
        host = f"{self._prefix}h{number}"
        self._add_namespace(host, ipv6=ipv6)
        self.hosts.append(host)
        port = f"port{number}"
        run(
            *("ip", "link", "add", "name", port, "netns", self.hub, "type", "veth"),
            *("peer", "name", "eth0", "netns", host),
        )
        run("ip", "-n", self.hub, "link", "set", port, "master", "br0", "up")
        for address in addresses:
            run("ip", "-n", host, "address", "add", address, "dev", "eth0")
        if up:
            run("ip", "-n", host, "link", "set", "eth0", "up")
        return host

    def ip(self, host: str, *command: str) -> str:
        """Run `ip` inside a host."""
        return run("ip", "-n", host, *command)

    def run_in(self, host: str, *command: str) -> str:
        """Run a program inside a host."""
        return run("ip", "netns", "exec", host, *command)

    def peer(self, host: str, number: int, **options) -> PeerProcess:
        """Start a peer in a host and wait till it runs."""
        peer = PeerProcess(host, number, {"mdns": False, **options})
        self.peers.append(peer)
        peer.until("started")
        return peer

    def close(self) -> None:
        """End every process and namespace, whatever state they are in."""
        for peer in self.peers:
            peer.kill()
        for namespace in self._namespaces:
            subprocess.run(
                ["ip", "netns", "del", namespace], check=False, capture_output=True
            )

    def _add_namespace(self, name: str, *, ipv6: bool = True) -> None:
        run("ip", "netns", "add", name)
        self._namespaces.append(name)
        if not ipv6:
            off = "for each in all default lo; do echo 1 > /proc/sys/net/ipv6/conf/$each/disable_ipv6; done"
            run("ip", "netns", "exec", name, "sh", "-c", off)
        run("ip", "-n", name, "link", "set", "lo", "up")


@pytest.fixture
def lan():
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    made = None
    try:
        made = Lan()
        yield made
    finally:
        if made is not None:
            made.close()


@contextmanager
def inside(namespace: str):
    """Be in a namespace for a while; sockets opened meanwhile stay there."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(descriptor: int) -> None:
        assert libc.setns(descriptor, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())

    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{namespace}") as away:
        enter(away.fileno())
        try:
            yield
        finally:
            enter(home.fileno())


@pytest.fixture
def inside_namespace():
    return inside
