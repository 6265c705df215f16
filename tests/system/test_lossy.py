"""Two peers on IP over a radio that loses: a slow line, and one datagram in five dropped each way."""

import re
import shutil
from random import Random

import pytest

from tests.namespaces import run

pytestmark = pytest.mark.system
SIZE = 2 << 20
LOSS = 20
"""Percent of all UDP datagrams, at random, in each direction."""
RATE = "rate 20mbit burst 16kb latency 50ms"
RULE = f"udp dport 1-65535 numgen random mod 100 < {LOSS} counter drop"


@pytest.fixture
def pair(network, daemon):
    if shutil.which("nft") is None:
        pytest.skip("losing datagrams at random needs nftables")
    hosts = [network.add_namespace(name, ipv6=False) for name in ("here", "there")]
    network.add_cable(hosts[0], "eth0", hosts[1], "eth0")
    for number, host in enumerate(hosts, 1):
        network.ip(host, "address", "add", f"192.0.2.{number}/24", "dev", "eth0")
        network.ip(host, "link", "set", "eth0", "up")
        run(*f"tc -n {host} qdisc add dev eth0 root tbf {RATE}".split())
        for words in (
            "table inet air",
            "chain inet air out { type filter hook output priority 0; }",
            f"rule inet air out oifname eth0 {RULE}",
        ):
            network.run_in(host, "nft", "add", *words.split())
    made = [
        daemon(name, namespace=host)
        for name, host in zip(("ann", "bob"), hosts, strict=True)
    ]
    for each in made:
        each.begin()
    for each in made:
        each.ready()
    made[0].linked_with(made[1])
    return made


def dropped(network, host):
    rules = network.run_in(host, "nft", "list", "ruleset")
    return int(re.search(r"counter packets (\d+)", rules)[1])


def test_messages_and_a_file_cross_a_line_that_loses_a_fifth(pair, network, tmp_path):
    ann, bob = pair
    ann.knows(bob)
    bob.knows(ann)
    texts = [f"letter {number}" for number in range(50)]
    sent = ann.send(bob, *texts)
    ann.until(
        lambda: all(ann.delivery(each)["state"] == "arrived" for each in sent),
        "all letters",
    )
    assert sorted(bob.texts()) == sorted(texts)
    film = tmp_path / "film.bin"
    film.write_bytes(Random(20).randbytes(SIZE))
    ann.api.post("files", body={"path": str(film), "name": "film.bin"})
    file = next(ann.api.all("files"))["file"]
    bob.api.post("fetches", body={"what": file})
    done = bob.hear("fetch", file=file, state="done")
    with open(done["path"], "rb") as came:
        assert came.read() == film.read_bytes()
    assert dropped(network, ann.namespace) > SIZE / 1_452 * LOSS / 100 / 2
    for each in pair:
        each.stop()
