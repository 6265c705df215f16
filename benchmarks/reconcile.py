"""How many bytes, round trips and CPU it takes two peers to find what differs.

Both hold 100,000 ids made over the last 30 days. First all are equal; then each side has five
made within the last hour that the other lacks; then ten of any age.
"""

from hashlib import blake2s
from statistics import median
from time import process_time

from meshpeer.core.sync import negentropy
from meshpeer.core.sync.sorted_set import SortedSet

HELD = 100_000
HOURS = 30 * 24
NOW = 490_000
"""The newest hour, since the epoch."""
ROUNDS = 9
FRAME = 32 * 1024


def main() -> dict[str, float]:
    """Every figure once; times are the median of ROUNDS runs."""
    common = [(NOW - n % HOURS, _id(n)) for n in range(HELD)]
    recent = [(NOW, _id(n)) for n in range(HELD, HELD + 10)]
    scattered = [(NOW - 71 * n, _id(HELD + 20 + n)) for n in range(10)]
    figures: dict[str, float] = {}
    for name, extra in (("equal", []), ("diff10", recent), ("scattered10", scattered)):
        left = SortedSet(items=common + extra[::2])
        right = SortedSet(items=common + extra[1::2])
        runs = [_meet(left, right, len(extra)) for _ in range(ROUNDS)]
        figures[f"{name}_bytes"], figures[f"{name}_round_trips"], _ = runs[0]
        figures[f"{name}_ms"] = round(median(ms for _, _, ms in runs), 3)
    return figures


def _meet(client: SortedSet, server: SortedSet, differing: int) -> tuple[int, int, float]:
    """Bytes both ways, round trips, and milliseconds of CPU of both."""
    _touch(client)
    _touch(server)
    size = trips = found = 0
    start = process_time()
    question = negentropy.initiate(client)
    while True:
        answer = negentropy.respond(server, question, FRAME)
        reply = negentropy.resume(client, answer, FRAME)
        size, trips = size + len(question) + len(answer), trips + 1
        found += len(reply.have) + len(reply.need)
        if reply.finished:
            break
        question = reply.message
    spent = process_time() - start
    if found != differing:
        raise SystemExit(f"{found} differences found, {differing} expected")
    return size, trips, 1_000 * spent


def _touch(items: SortedSet) -> None:
    """Change the set and back, as a busy queue does, so that running sums are made anew."""
    items.add(NOW, bytes(32))
    items.discard(NOW, bytes(32))


def _id(n: int) -> bytes:
    return blake2s(n.to_bytes(8, "big")).digest()
