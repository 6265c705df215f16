"""Two peers joined by two cables of 100 Mbit/s: both carry, and one is enough."""

from pathlib import Path
from random import Random

import pytest

from tests.namespaces import run

pytestmark = pytest.mark.system
SIZE = 48 << 20
CABLES = {"eth0": "192.0.2", "eth1": "198.51.100"}
RATE = "rate 100mbit burst 32kb latency 50ms"


@pytest.fixture
def pair(network, daemon, tmp_path):
    """A peer that publishes a file, and one that will fetch it."""
    hosts = [network.add_namespace(name, ipv6=False) for name in ("source", "sink")]
    for cable, subnet in CABLES.items():
        network.add_cable(hosts[0], cable, hosts[1], cable)
        for number, host in enumerate(hosts, 1):
            network.ip(host, "address", "add", f"{subnet}.{number}/24", "dev", cable)
            network.ip(host, "link", "set", cable, "up")
            run(*f"tc -n {host} qdisc add dev {cable} root tbf {RATE}".split())
    source, sink = (
        daemon(name, namespace=host).start()
        for name, host in zip(("source", "sink"), hosts, strict=True)
    )
    (tmp_path / "film.bin").write_bytes(Random(48).randbytes(SIZE))
    body = {"path": str(tmp_path / "film.bin"), "name": "film.bin"}
    source.api.post("files", body=body)
    sink.linked_with(source)
    return source, sink


def came_by(network, host, cable):
    """Bytes that an interface has received."""
    path = f"/sys/class/net/{cable}/statistics/rx_bytes"
    return int(network.run_in(host, "cat", path))


def begin(source, sink):
    file = next(source.api.all("files"))["file"]
    sink.api.post("fetches", body={"what": file})
    return file


def held(sink, file):
    return sink.api.get("fetches", file)["held"]


def test_a_file_comes_by_both_cables_at_once(pair, network, tmp_path):
    source, sink = pair
    before = {cable: came_by(network, sink.namespace, cable) for cable in CABLES}
    done = sink.hear("fetch", file=begin(source, sink), state="done")
    came = {
        cable: came_by(network, sink.namespace, cable) - before[cable] for cable in CABLES
    }
    assert min(came.values()) > SIZE / 4, came
    assert sum(came.values()) < 1.2 * SIZE
    (neighbour,) = sink.api.all("peers")
    shown = [path["address"].rpartition(".")[0] for path in neighbour["paths"]]
    assert sorted(shown) == sorted(CABLES.values())
    assert [path["active"] for path in neighbour["paths"]] == [True, False]
    assert Path(done["path"]).read_bytes() == (tmp_path / "film.bin").read_bytes()


@pytest.mark.parametrize("cable", CABLES)
def test_a_cable_is_pulled_in_the_middle_and_the_other_goes_on(
    pair, network, tmp_path, cable
):
    source, sink = pair
    file = begin(source, sink)
    sink.until_asked(lambda: held(sink, file) > SIZE // 4)
    network.ip(source.namespace, "link", "set", cable, "down")
    done = sink.hear("fetch", file=file, state="done")
    assert Path(done["path"]).read_bytes() == (tmp_path / "film.bin").read_bytes()
    links = [event.body for event in sink.history() if event.kind == "link"]
    assert [link["up"] for link in links] == [True]
