"""A message of 200 bytes and its receipt over KISS at 300 bit/s, between two daemons.

Each has a pty; between the two a thread plays the modems and the radio channel: half duplex, one
frame at a time, ten bits a byte (8N1), so 30 bytes a second. The daemons are told so (`baud =
300`), use frames of at most 500 bytes, find each other by their beacons, and become contacts. A
first message is longer, for it carries the writer's card; the one that is measured is the second,
from the request to the API until the receipt is stored. Bytes are those on the line both ways,
framing and escapes in.
"""

import random
import shutil
import string
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks._daemons import clock
from tests.system.daemon import Daemon
from tests.transports.modem import Channel

RATE = 300
BYTES = 200
MTU = 500
QUIET = 20.0
"""Seconds without a frame after which nothing more is said."""
GIVE_UP = 900.0
SETTINGS = """
[udp]
listen = []
[lan]
on = false
[transports.adhoc]
serial = [{{port = "{port}", baud = {rate}, mtu = {mtu}}}]
"""


@contextmanager
def radios(rate: int = RATE) -> Iterator[tuple[Channel, Daemon, Daemon]]:
    """A channel, and two daemons on it."""
    root = Path(tempfile.mkdtemp(prefix="meshpeer-bench-"))
    channel = Channel(rate=rate)
    pair = [
        Daemon(root / name, settings=SETTINGS.format(port=port, rate=rate, mtu=MTU))
        for name, port in zip(("ann", "bob"), channel.ports, strict=True)
    ]
    try:
        for daemon in pair:
            daemon.start()
        yield channel, pair[0], pair[1]
    finally:
        for daemon in pair:
            daemon.stop()
        channel.close()
        shutil.rmtree(root)


def until(what: str, happened: Callable[[], object]) -> float:
    """Wait, and give the seconds."""
    begin = clock()
    while not happened():
        if clock() - begin > GIVE_UP:
            raise SystemExit(f"{what}: not within {GIVE_UP:g} s")
        time.sleep(0.02)
    return clock() - begin


def quiet(channel: Channel) -> None:
    """Wait until nobody has had anything to say for a while."""
    said, since = -1, clock()

    def silent() -> bool:
        nonlocal said, since
        if said != channel.bytes_on_air:
            said, since = channel.bytes_on_air, clock()
        return clock() - since > QUIET

    until("silence", silent)


def send(channel: Channel, sender: Daemon, to: Daemon, text: str) -> tuple[float, int, int]:
    """Send a text: seconds and bytes until its receipt is stored, and bytes until silence."""
    before = channel.bytes_on_air
    (message,) = sender.send(to, text)
    seconds = until("receipt", lambda: sender.delivery(message)["state"] == "arrived")
    stored = channel.bytes_on_air - before
    quiet(channel)
    return seconds, stored, channel.bytes_on_air - before


def main() -> dict[str, float]:
    """Give seconds and bytes of a message, of a first one, and of the link before both."""
    text = "".join(random.Random(1).choices(string.ascii_letters + " ", k=BYTES))
    with radios() as (channel, ann, bob):
        link = until("link", lambda: ann.neighbours() and bob.neighbours())
        linked = channel.bytes_on_air
        quiet(channel)
        for here, there in ((ann, bob), (bob, ann)):
            here.knows(there)
        quiet(channel)
        introduced = channel.bytes_on_air
        first = send(channel, ann, bob, text)
        send(channel, bob, ann, text)
        seconds, stored, in_all = send(channel, ann, bob, text)
    return {
        "seconds": round(seconds, 1),
        "bytes_on_air": stored,
        "bytes_until_silence": in_all,
        "link_up_s": round(link, 1),
        "link_up_bytes": linked,
        "contacts_bytes": introduced - linked,
        "first_seconds": round(first[0], 1),
        "first_bytes": first[1],
    }
