"""Four peers in a line, on real 802.11: only neighbours hear each other, and nobody is root.

A plain script for a machine with four hwsim radios, which it may leave in any state. Each step
says what it waits for; the first that fails ends it with a code above 0.

    python -m tests.radio.line cell|mesh|monitor
"""

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

from tests.system import daemon
from tests.system.daemon import Daemon

NAMES = ("ann", "bob", "carla", "dora")
IN_LINE = (1, 3, 6, 4)
"""Masks: two radios hear each other if theirs have a bit in common."""
ALONE = 8
NOBODY = 65534
SETTINGS = """
[udp]
listen = []
[lan]
on = false
[transports.adhoc]
interfaces = ["{interface}"]
"""


def say(text: str) -> None:
    print(text, flush=True)


def rightly(*rights: str) -> list[str]:
    """Run what follows as nobody, with these rights and no others."""
    given = ",".join(f"+{right}" for right in rights)
    bounds = [f"--inh-caps=-all,{given}", f"--ambient-caps=-all,{given}"]
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *bounds]


class Radio:
    """One radio in a namespace of its own, kept up by `meshpeer radio up`."""

    def __init__(self, number: int, kind: str, stack: ExitStack) -> None:
        self._group = Path(f"/sys/kernel/debug/ieee80211/phy{number}/hwsim/group")
        self.hears(IN_LINE[number])
        self.namespace = f"n{number}"
        do("ip", "netns", "add", self.namespace)
        do("iw", "phy", f"phy{number}", "set", "netns", "name", self.namespace)
        inside = ["ip", "netns", "exec", self.namespace]
        self._process = subprocess.Popen(
            [
                *(*inside, *rightly("net_admin", "net_raw"), sys.executable, "-P"),
                *("-m", "meshpeer", "radio", "up", f"wlan{number}", f"--{kind}", "--yes"),
                *("--name", "air0", "--json"),
            ],
            env=os.environ | {"HOME": str(folder_of_nobody())},
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(self._process.kill)

    def until_up(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), "the radio did not come up"

    def hears(self, mask: int) -> None:
        """From now on it hears, and is heard by, radios with a bit in common."""
        self._group.write_text(str(mask))


def folder_of_nobody() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="line"))
    os.chown(folder, NOBODY, NOBODY)
    return folder


def do(*command: str) -> None:
    subprocess.run(command, check=True)


def run(kind: str) -> None:
    daemon.PATIENCE = 400.0  # emulated, all is slow
    os.chmod("/root", 0o755)  # nobody has to reach the interpreter, wherever it lies
    with ExitStack() as stack:
        radios = [Radio(number, kind, stack) for number in range(len(NAMES))]
        for radio in radios:
            radio.until_up()
        say(f"STEP four radios are up: {kind}")
        peers = peers_on(radios, stack)
        say("STEP four peers run, as nobody")
        ann, bob, carla, dora = peers
        ann.knows(dora)
        dora.knows(ann)
        for one, other in pairwise(peers):
            one.linked_with(other)
        say("STEP each is linked with who is beside it")
        if kind != "mesh":  # a mesh passes frames on by itself
            assert ann.neighbours() == {bob.peer}, ann.tell()
            assert dora.neighbours() == {carla.peer}, dora.tell()
        send_along(ann, dora)
        say("STEP a message went along the line, and its receipt back")
        send_over_a_gap(radios, ann, dora)
        say("STEP a message waited at others until there was a way")
        for peer in peers:
            peer.stop()
    say("STEP end")


def peers_on(radios: list[Radio], stack: ExitStack) -> list[Daemon]:
    folder = folder_of_nobody()
    settings = SETTINGS.format(interface="air0")
    peers = []
    for name, radio in zip(NAMES, radios, strict=True):
        peer = Daemon(
            folder / name,
            namespace=radio.namespace,
            settings=settings,
            prefix=rightly("net_raw"),
        )
        do("chown", "-R", f"{NOBODY}:{NOBODY}", str(peer.state.root))
        stack.callback(peer.kill)
        peer.begin()
        peers.append(peer)
    for peer in peers:
        peer.ready()
    return peers


def send_along(ann: Daemon, dora: Daemon) -> None:
    (message,) = ann.send(dora, "all links are up")
    ann.hear("state", id=message, state="arrived")
    assert dora.texts() == ["all links are up"]


def send_over_a_gap(radios: list[Radio], ann: Daemon, dora: Daemon) -> None:
    """While ann hears bob there is no way on; when there is one, nobody hears ann."""
    radios[1].hears(1)
    radios[2].hears(4)
    (message,) = ann.send(dora, "keep it for dora")
    ann.hear("state", id=message, state="carried")
    assert "keep it for dora" not in dora.texts()
    radios[0].hears(ALONE)
    for number in (1, 2):
        radios[number].hears(IN_LINE[number])
    dora.hear("message", box="inbox")
    dora.until(lambda: "keep it for dora" in dora.texts(), "the message")
    assert ann.delivery(message)["state"] == "carried"
    radios[0].hears(IN_LINE[0])
    ann.hear("state", id=message, state="arrived")


if __name__ == "__main__":
    run(sys.argv[1])
