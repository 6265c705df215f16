"""Two whole peers with a KISS modem each, on one half-duplex channel of 19,200 bit/s."""

from pathlib import Path

import pytest

from tests.system.daemon import Daemon
from tests.transports.modem import Channel

RATE = 19_200
SETTINGS = """
[udp]
listen = []
[lan]
on = false
[files]
slow_limit_s = 5.0
[transports.adhoc]
serial = [{{port = "{port}", baud = {rate}, mtu = 250}}]
"""


@pytest.fixture
def radios(tmp_path):
    """The channel, and two peers that found each other on it and exchanged cards."""
    channel = Channel(rate=RATE)
    ann, bob = pair = [
        Daemon(tmp_path / name, settings=SETTINGS.format(port=port, rate=RATE))
        for name, port in zip(("ann", "bob"), channel.ports, strict=True)
    ]
    try:
        for daemon in pair:
            daemon.start()
        ann.linked_with(bob)
        bob.linked_with(ann)
        ann.knows(bob)
        bob.knows(ann)
        yield channel, ann, bob
    finally:
        for daemon in pair:
            daemon.stop()
        channel.close()


def test_messages_and_receipts_cross_both_ways(radios):
    channel, ann, bob = radios
    for here, there in ((ann, bob), (bob, ann)):
        sent = here.send(there, "hello", "and a longer one. " * 40)
        for message in sent:
            here.hear("state", id=message, state="arrived")
    assert len(ann.texts()) == len(bob.texts()) == 2
    assert all(len(frame) < 2 * 260 for frame in channel.frames)


def test_a_small_file_comes_and_a_large_one_only_if_it_is_meant(radios, tmp_path):
    _, ann, bob = radios
    files = {}
    for size in (2_000, 15_000):
        path = tmp_path / f"{size}.bin"
        path.write_bytes(bytes(number * size % 251 for number in range(size)))
        files[size] = ann.api.post("files", body={"path": str(path)})["file"]
    small, large = files.values()
    for file in (small, large):
        bob.api.post("fetches", body={"what": file})
    bob.hear("fetch", state="done")
    bob.until_asked(lambda: "--slow" in bob.api.get("fetches", large)["why"])
    assert bob.api.get("fetches", large)["held"] == 0
    bob.api.post("fetches", body={"what": large, "slow": True})
    bob.hear("fetch", state="done")
    got = Path(bob.api.get("fetches", large)["path"])
    assert got.read_bytes() == (tmp_path / "15000.bin").read_bytes()
