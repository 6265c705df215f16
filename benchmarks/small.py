"""2,000 files of 4 kB, published as a collection by one daemon and mirrored by another.

Both run on this machine, on loopback, with the link up. Counted from the command that publishes
to the moment at which the mirror says that it equals the record, all of it durable on both sides.
"""

import os
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks._daemons import clock, daemons, settled_mirror

FILES = 2_000
SIZE = 4_096
ROUNDS = 3


def main() -> dict[str, float]:
    """Give the median and the worst of some rounds, each with new peers."""
    seconds = [_round() for _ in range(ROUNDS)]
    print(f"{'round':>6} {'s':>6}")
    for number, each in enumerate(seconds, 1):
        print(f"{number:>6} {each:6.2f}")
    return {"seconds": round(median(seconds), 2), "worst_s": round(max(seconds), 2)}


def _round() -> float:
    with (
        daemons("ann", "bob") as (ann, bob),
        TemporaryDirectory(prefix="meshpeer-") as root,
    ):
        ann.knows(bob)
        bob.knows(ann)
        bob.connects_to(ann)
        tree = Path(root) / "tree"
        for number in range(FILES):
            path = tree / f"{number % 20}" / f"{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.urandom(SIZE))
        start = clock()
        ann.api.post("files", body={"path": str(tree), "name": "tree"})
        mirror = Path(root) / "mirror"
        settled_mirror(bob, "ann", "tree", mirror)
        seconds = clock() - start
        for path in tree.rglob("*"):
            if path.is_file():
                assert (mirror / path.relative_to(tree)).read_bytes() == path.read_bytes()
        return seconds
