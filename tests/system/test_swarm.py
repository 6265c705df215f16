"""A file from three holders at once, behind 100 Mbit/s each: one leaves, and one lies."""

from pathlib import Path
from random import Random

import pytest

from tests.namespaces import run

pytestmark = pytest.mark.system
SIZE = 48 << 20
RATE = "rate 100mbit burst 32kb latency 50ms"


@pytest.fixture
def holders(bridge, daemon, tmp_path):
    """Three peers that publish the same bytes, one of which lies, each behind its own 100 Mbit/s."""
    data = Random(48).randbytes(SIZE)
    names = {"publisher": "meshpeer", "honest": "meshpeer", "liar": "tests.system.liar"}
    started = []
    for number, (name, program) in enumerate(names.items()):
        host = bridge.add_host(f"192.0.2.{number + 1}/24", ipv6=False)
        for where, interface in ((host, "eth0"), (bridge.hub, f"port{number}")):
            run(*f"tc -n {where} qdisc add dev {interface} root tbf {RATE}".split())
        started.append(daemon(name, namespace=host, program=program).start())
        path = tmp_path / f"{name}.bin"
        path.write_bytes(data)
        started[-1].api.post("files", body={"path": str(path), "name": "film.bin"})
    return data, started


def test_the_publisher_leaves_in_the_middle_and_a_holder_lies(holders, bridge, daemon):
    data, (publisher, honest, liar) = holders
    file = next(publisher.api.all("files"))["file"]
    fetcher = daemon(
        "fetcher", namespace=bridge.add_host("192.0.2.9/24", ipv6=False)
    ).start()
    fetcher.linked_with(publisher, honest, liar)

    fetcher.api.post("fetches", body={"what": file})
    fetcher.until_asked(lambda: fetcher.api.get("fetches", file)["held"] > SIZE // 4)
    publisher.kill()
    done = fetcher.hear("fetch", file=file, state="done")

    assert Path(done["path"]).read_bytes() == data
    assert fetcher.status()["counters"]["files.banned"] == 1
