"""`meshpeer capture` beside running peers: what passes is shown, recorded, and opened by its owner."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from threading import Timer

import pytest
from scapy.utils import rdpcap

from meshpeer.dissect import (
    MeshBeacon,
    MeshData,
    MeshFramedBeacon,
    MeshInitiation,
    MeshResponse,
)
from tests.namespaces import need_namespaces
from tests.system.daemon import PATIENCE, ROOT
from tests.transports.ether import RADIOTAP, Ether

pytestmark = pytest.mark.system


class Capture:
    """A `meshpeer capture --json` that runs in a namespace."""

    def __init__(self, namespace, state, *options):
        command = [sys.executable, "-m", "meshpeer", "--state", str(state), "capture"]
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", namespace, *command, "--json", *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._limit = Timer(PATIENCE, self.process.kill)
        self._limit.start()
        self.told = []
        assert "listening" in self.process.stderr.readline()

    def until(self, condition):
        """Read packets until one is as wanted; give it."""
        for line in self.process.stdout:
            told = json.loads(line)
            self.told.append(told)
            if condition(told):
                return told
        raise AssertionError(f"{self.process.stderr.read()} {self.told}")

    def end(self):
        """As with Ctrl-C."""
        self.process.send_signal(2)
        _, said = self.process.communicate(timeout=PATIENCE)
        assert said == "", said
        return self.process.returncode

    def close(self):
        self._limit.cancel()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture
def capture():
    made = []

    def start(*args):
        made.append(Capture(*args))
        return made[-1]

    yield start
    for each in made:
        each.close()


@pytest.fixture
def ether():
    need_namespaces()
    with ExitStack() as stack:

        def make(*args, **options):
            made = Ether(*args, **options)
            stack.callback(made.close)
            return made

        yield make


def carries(name):
    """Whether a packet that was opened has a stream frame with such a message."""
    return lambda told: any(
        name in frame.get("messages", ()) for frame in told.get("frames", ())
    )


def meet(daemon, bridge, settings):
    hosts = [bridge.add_host("192.0.2.1/24"), bridge.add_host("192.0.2.2/24")]
    return [
        daemon(name, namespace=host, settings=settings)
        for name, host in zip(("ann", "bob"), hosts, strict=True)
    ]


ADHOC = '[lan]\non = false\n[transports.adhoc]\ninterfaces = ["eth0"]\n'


@pytest.mark.parametrize(
    ("settings", "via", "beacon"),
    [("", "udp", MeshBeacon), (ADHOC, "ethernet", MeshFramedBeacon)],
)
def test_what_passes_between_two_peers(
    bridge, daemon, capture, tmp_path, settings, via, beacon
):
    ann, bob = meet(daemon, bridge, settings)
    ann.start()
    target = tmp_path / "seen.pcap"
    seen = capture(ann.namespace, ann.state.root, "--decrypt", "--write", str(target))
    bob.start()
    assert seen.until(lambda told: told["packet"] == "BEACON")["nonce"]
    first = seen.until(lambda told: told["packet"] == "INITIATION")
    assert (first["via"], first["interface"], first["version"]) == (via, "eth0", 1)
    answer = seen.until(lambda told: told["packet"] == "RESPONSE")
    assert answer["receiver"] == first["sender"]
    ann.linked_with(bob)
    opened = seen.until(lambda told: told.get("frames"))
    assert opened["peer"] == bob.peer
    bob.api.put("online", body={"online": False})
    closing = seen.until(
        lambda told: any(each["frame"] == "CLOSE" for each in told.get("frames", ()))
    )
    assert closing["sent"] is False
    assert seen.end() == 0
    packets = rdpcap(str(target))
    assert target.stat().st_mode & 0o777 == 0o600
    for layer in (beacon, MeshInitiation, MeshResponse, MeshData):
        assert any(layer in packet for packet in packets), layer
    closed = subprocess.run(
        [sys.executable, "-m", "meshpeer", "capture", str(target)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(closed.stdout.splitlines()) >= len(packets)
    assert "sealed" in closed.stdout


def test_on_a_monitor_interface(ether, daemon, capture):
    stations = ether(2, interface="mon0", link_type=RADIOTAP).stations
    settings = ADHOC.replace("eth0", "mon0")
    ann, bob = (
        daemon(name, namespace=station.namespace, settings=settings)
        for name, station in zip(("ann", "bob"), stations, strict=True)
    )
    ann.start()
    seen = capture(ann.namespace, ann.state.root, "-i", "mon0", "--decrypt")
    bob.start()
    first = seen.until(lambda told: told["packet"] == "INITIATION")
    assert first["via"] == "802.11"
    opened = seen.until(carries("HELLO"))
    assert opened["peer"] == bob.peer
    assert seen.end() == 0


def test_who_comes_late_reads_from_then_on(bridge, daemon, capture):
    ann, bob = meet(daemon, bridge, "")
    ann.start()
    bob.start()
    ann.linked_with(bob)
    seen = capture(bob.namespace, bob.state.root, "-i", "eth0", "--decrypt")
    card = bob.api.get("card")["uri"]
    ann.api.post("contacts", body={"card": card})
    ann.api.post("messages", body={"messages": [{"to": "~bob", "text": "seen?"}]})
    told = seen.until(carries("RESULT"))
    assert told["peer"] == ann.peer
    assert seen.end() == 0


def test_who_may_not_listen_is_told_what_it_takes(tmp_path):
    if os.geteuid() != 0 or not os.access("/usr/bin/setpriv", os.X_OK):
        pytest.skip("giving up capabilities needs root and setpriv")
    command = [sys.executable, "-m", "meshpeer", "capture", "-i", "lo"]
    done = subprocess.run(
        ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "CAP_NET_RAW" in done.stderr
    assert 'HOME="$HOME" $(which meshpeer) capture' in done.stderr, "sudo changes both"
    assert "Traceback" not in done.stderr
