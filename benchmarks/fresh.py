"""How long after a 1 kB file was saved in a watched folder its bytes lie in a mirror elsewhere.

Two daemons on this machine, on loopback, with the link up; the folder holds 100 files already.
The mirror's folder is looked at every 5 ms, and only the whole new content counts.
"""

import os
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from time import sleep

from benchmarks._daemons import clock, daemons, settled_mirror

SAVES = 30
FILES = 100
SIZE = 1_000
GIVE_UP = 30.0


def main() -> dict[str, float]:
    """Give the median, the slowest tenth and the worst of all saves."""
    with (
        daemons("ann", "bob") as (ann, bob),
        TemporaryDirectory(prefix="meshpeer-") as root,
    ):
        ann.knows(bob)
        bob.knows(ann)
        bob.connects_to(ann)
        tree, mirror = Path(root) / "tree", Path(root) / "mirror"
        tree.mkdir()
        for number in range(FILES):
            (tree / f"{number}").write_bytes(os.urandom(SIZE))
        body = {"path": str(tree), "name": "tree", "watch": True}
        ann.api.post("files", body=body)
        settled_mirror(bob, "ann", "tree", mirror)
        seconds = [_save(tree, mirror, f"{save % FILES}") for save in range(SAVES)]
    print(f"{'median':>8} {'p90':>8} {'worst':>8}  s")
    slow = quantiles(seconds, n=10)[-1]
    print(f"{median(seconds):8.3f} {slow:8.3f} {max(seconds):8.3f}")
    return {
        "median_s": round(median(seconds), 3),
        "p90_s": round(slow, 3),
        "worst_s": round(max(seconds), 3),
    }


def _save(tree: Path, mirror: Path, name: str) -> float:
    data = os.urandom(SIZE)
    start = clock()
    (tree / name).write_bytes(data)
    while (mirror / name).read_bytes() != data:
        if clock() - start > GIVE_UP:
            raise SystemExit(f"{name} did not come within {GIVE_UP:g} s")
        sleep(0.005)
    return clock() - start
