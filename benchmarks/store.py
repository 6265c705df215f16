"""How many bundles a second become durable, by how many share a commit, and how fast a start is.

Bundles of 402 bytes on the wire, synchronous=FULL, a new database file in the temporary folder
(set TMPDIR to measure another disk). Then the index of 1,000 and of 100,000 bundles is read as a
start does, and a full page of a box with 20,000 messages.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from meshpeer.core.formats.bundle import HEADER_SIZE
from meshpeer.core.writes import Box, PutBundle, PutMessage
from store.store import Store

WIRE = 402
GROUPS = {1: 300, 64: 100, 256: 40}
"""Bundles in a commit, and how many commits."""
ROUNDS = 5
HELD = 100_000
MESSAGES = 20_000


def main() -> dict[str, float]:
    """Give every figure; times of a commit are the median and the worst."""
    figures: dict[str, float] = {}
    with TemporaryDirectory(prefix="meshpeer-") as folder:
        for group, commits in GROUPS.items():
            seconds = _commits(Path(folder) / f"{group}.db", group, commits)
            figures[f"rows_per_s_{group}"] = round(group * commits / sum(seconds))
            figures[f"commit_{group}_ms"] = round(1_000 * median(seconds), 3)
            figures[f"commit_{group}_worst_ms"] = round(1_000 * max(seconds), 3)
        figures |= _reads(Path(folder) / "reads.db")
    return figures


def _commits(path: Path, group: int, commits: int) -> list[float]:
    store = Store(path)
    batches = [[_bundle(n) for n in range(group)] for _ in range(commits)]
    seconds = [_seconds(partial(store.commit, batch)) for batch in batches]
    store.close()
    return seconds


def _reads(path: Path) -> dict[str, float]:
    store = Store(path)
    store.commit([_bundle(n) for n in range(1_000)])
    figures = {"index_1000_ms": _median_ms(lambda: list(store.queue_index()))}
    for _ in range(1_000, HELD, 1_000):
        store.commit([_bundle(n) for n in range(1_000)])
    figures["index_100000_ms"] = _median_ms(lambda: list(store.queue_index()))
    store.commit([_message(n) for n in range(MESSAGES)])
    figures["inbox_page_ms"] = _median_ms(lambda: store.messages(Box.INBOX, MESSAGES // 2))
    store.close()
    return figures


def _bundle(number: int) -> PutBundle:
    wire = bytes(HEADER_SIZE) + os.urandom(WIRE - HEADER_SIZE)
    return PutBundle(os.urandom(32), wire, f"contact:{number % 16}", 1.0, 1.0, False)


def _message(number: int) -> PutMessage:
    contact = (number % 50).to_bytes(32, "big")
    return PutMessage(
        os.urandom(16),
        Box.INBOX,
        bytes(32),
        contact,
        "a" * 200,
        "text",
        number,
        number,
        1.0,
        number,
        604_800,
        None,
    )


def _median_ms(read: Callable[[], object]) -> float:
    return round(1_000 * median(_seconds(read) for _ in range(ROUNDS)), 3)


def _seconds(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start
