"""Files from several holders at once, over links shaped to 100 Mbit/s each way.

Two networks of real peers in namespaces on one bridge, which find each other by their beacons.
First three holders of the same file and one fetcher whose own link is not limited: useful bytes
over what the three links could carry in that time. Then one source and two receivers, all limited:
the time until both have it, over size / rate, which nobody can beat. Last two peers joined by two
cables of that rate: useful bytes over what both cables could carry.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks._daemons import clock
from tests.namespaces import Bridge, Network, run
from tests.system.daemon import Daemon

RATE = 100_000_000 / 8
"""Bytes a second of a shaped link, headers and all."""
HOLDERS = 3
SWARM_SIZE = 256 << 20
SHARED_SIZE = 64 << 20
TWO_PATHS_SIZE = 192 << 20


@contextmanager
def peers(names: Sequence[str], unlimited: Sequence[str] = ()) -> Iterator[list[Daemon]]:
    """Give running peers, each in a namespace of its own, linked with each other."""
    if os.geteuid() != 0:
        raise SystemExit("this benchmark makes network namespaces: run it as root")
    with ExitStack() as stack:
        root = Path(tempfile.mkdtemp(prefix="meshpeer-bench-", dir="/var/tmp"))
        stack.callback(shutil.rmtree, root)
        network = Bridge()
        stack.callback(network.close)
        started = []
        for number, name in enumerate(names):
            host = network.add_host(f"10.78.0.{number + 1}/24")
            if name not in unlimited:
                shape(network, host, "eth0")
                shape(network, network.hub, f"port{number}")
            daemon = Daemon(root / name, namespace=host)
            stack.callback(daemon.stop)
            started.append(daemon.start())
        for daemon in started:
            daemon.linked_with(*(other for other in started if other is not daemon))
        yield started


@contextmanager
def joined_twice() -> Iterator[list[Daemon]]:
    """Give two running peers with a link, and two cables between them."""
    with ExitStack() as stack:
        root = Path(tempfile.mkdtemp(prefix="meshpeer-bench-", dir="/var/tmp"))
        stack.callback(shutil.rmtree, root)
        network = Network()
        stack.callback(network.close)
        hosts = [network.add_namespace(name) for name in ("source", "sink")]
        for cable in range(2):
            network.add_cable(hosts[0], f"eth{cable}", hosts[1], f"eth{cable}")
            for number, host in enumerate(hosts, 1):
                address = f"10.78.{cable}.{number}/24"
                network.ip(host, "address", "add", address, "dev", f"eth{cable}")
                network.ip(host, "link", "set", f"eth{cable}", "up")
                shape(network, host, f"eth{cable}")
        started = []
        for host in hosts:
            daemon = Daemon(root / host, namespace=host)
            stack.callback(daemon.stop)
            started.append(daemon.start())
        started[1].linked_with(started[0])
        yield started


def shape(network: Network, host: str, interface: str) -> None:
    """Let no more than 100 Mbit/s leave by this interface, behind a queue of 50 ms."""
    run(
        *f"tc -n {host} qdisc add dev {interface} root tbf".split(),
        *f"rate {int(RATE * 8)}bit burst 32kb latency 50ms".split(),
    )


def publish(daemon: Daemon, size: int, seed: bytes) -> str:
    """Make a file of so many bytes that all who do it alike have in common; give its id."""
    path = daemon.state.root.parent / f"{daemon.name}.bin"
    with path.open("wb") as file:
        for number in range(size >> 20):
            file.write(_megabyte(seed, number))
    published = daemon.api.post("files", body={"path": str(path), "name": "film.bin"})
    return str(published["file"])


def fetch(daemon: Daemon, file: str) -> float:
    """Fetch a file; give the seconds until it is checked, durable and in its place."""
    daemon.cursor = daemon.status()["last_event"]
    start = clock()
    daemon.api.post("fetches", body={"what": file})
    daemon.hear("fetch", file=file, state="done")
    return clock() - start


def main() -> dict[str, float]:
    """Measure both, and print how long they took."""
    names = [f"holder{number}" for number in range(HOLDERS)]
    with peers([*names, "fetcher"], unlimited=["fetcher"]) as (*holders, fetcher):
        (file,) = {publish(holder, SWARM_SIZE, b"swarm") for holder in holders}
        swarm_s = fetch(fetcher, file)
    share = SWARM_SIZE / (HOLDERS * RATE * swarm_s)
    print(
        f"{SWARM_SIZE >> 20} MiB from {HOLDERS} holders: {swarm_s:.2f} s, share {share:.3f}"
    )
    with peers(["source", "one", "other"]) as (source, *receivers):
        file = publish(source, SHARED_SIZE, b"shared")
        start = clock()
        with ThreadPoolExecutor() as pool:
            each = list(pool.map(lambda receiver: fetch(receiver, file), receivers))
        both_s = clock() - start
    ideal = SHARED_SIZE / RATE
    print(f"{SHARED_SIZE >> 20} MiB to two: {both_s:.2f} s ({each}), ideal {ideal:.2f}")
    with joined_twice() as (source, sink):
        file = publish(source, TWO_PATHS_SIZE, b"two paths")
        two_s = fetch(sink, file)
    share_of_two = TWO_PATHS_SIZE / (2 * RATE * two_s)
    print(
        f"{TWO_PATHS_SIZE >> 20} MiB by two cables: {two_s:.2f} s, share {share_of_two:.3f}"
    )
    return {
        "share_of_links": round(share, 3),
        "two_receivers_over_ideal": round(both_s / ideal, 3),
        "share_of_two_paths": round(share_of_two, 3),
    }


def _megabyte(seed: bytes, number: int) -> bytes:
    from random import Random

    return Random(seed + number.to_bytes(4)).randbytes(1 << 20)
