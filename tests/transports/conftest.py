"""Peers that do nothing but discovery and udp, each a process in a namespace on one bridge."""

import json
import os
import selectors
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.namespaces import Bridge, inside, need_namespaces
from tests.transports.ether import Ether

ROOT = Path(__file__).parents[2]
PATIENCE = 10.0


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


class Lan(Bridge):
    """A bridge, hosts plugged into it, and peers on them."""

    def __init__(self) -> None:
        super().__init__()
        self.peers: list[PeerProcess] = []

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
        super().close()


@pytest.fixture
def lan():
    need_namespaces()
    made = None
    try:
        made = Lan()
        yield made
    finally:
        if made is not None:
            made.close()


@pytest.fixture
def make_ether():
    """Makes ethers; all their interfaces and processes are gone after the test."""
    need_namespaces()
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("there are no TAP devices here")
    with ExitStack() as stack:

        def make(stations: int, **options) -> Ether:
            ether = Ether(stations, **options)
            stack.callback(ether.close)
            return ether

        yield make


@pytest.fixture
def inside_namespace():
    return inside
