"""1 GiB between two daemons in two network namespaces, joined by a cable that nothing slows.

Counted from the command that fetches to the moment at which the fetch is done: every chunk
checked, written and synced, and the file under its name. Needs root.
"""

import os
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import sleep

from benchmarks._daemons import cable, clock
from tests.system.daemon import Daemon

SIZE = 1 << 30
ROUNDS = 3
GIVE_UP = 120.0
SETTINGS = """
[udp]
listen = ["{address}"]
port = 6374
[lan]
on = false
"""


def main() -> dict[str, float]:
    """Give the median and the worst rate in MB (10^6 bytes) a second."""
    with TemporaryDirectory(prefix="meshpeer-") as root, cable() as names:
        path = Path(root) / "large"
        with path.open("wb") as file:
            for _ in range(SIZE >> 20):
                file.write(os.urandom(1 << 20))
        rates = [
            SIZE / _round(Path(root) / f"{number}", path, names) / 1e6
            for number in range(ROUNDS)
        ]
    print(f"{'round':>6} {'MB/s':>8}")
    for number, rate in enumerate(rates, 1):
        print(f"{number:>6} {rate:8.1f}")
    return {
        "mb_per_s": round(median(rates), 1),
        "worst_mb_per_s": round(min(rates), 1),
    }


def _round(root: Path, path: Path, names: tuple[str, str]) -> float:
    root.mkdir()
    with ExitStack() as stack:
        ann, bob = (
            _start(stack, root / name, namespace, f"10.77.0.{number}")
            for number, (name, namespace) in enumerate(
                zip(("ann", "bob"), names, strict=True), 1
            )
        )
        published = ann.api.post("files", body={"path": str(path)})
        bob.api.post("peers", body={"peer": ann.peer, "address": "10.77.0.1:6374"})
        bob.linked_with(ann)
        target = root / "came"
        start = clock()
        bob.api.post("fetches", body={"what": published["file"], "to": str(target)})
        while (fetch := bob.api.get("fetches", published["file"]))["state"] != "done":
            if clock() - start > GIVE_UP or fetch["state"] == "failed":
                raise SystemExit(f"it did not come: {fetch}, {bob.tell()}")
            sleep(0.02)
        seconds = clock() - start
        assert target.stat().st_size == SIZE
        target.unlink()
        return seconds


def _start(stack: ExitStack, folder: Path, namespace: str, address: str) -> Daemon:
    daemon = Daemon(folder, namespace=namespace, settings=SETTINGS.format(address=address))
    stack.callback(daemon.stop)
    return daemon.start()
