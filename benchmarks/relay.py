"""Bundles taken in and passed on by one relay daemon between two others, durable at each.

The bundles are for a person whose peer is not there, so both neighbours of the relay do no more
than carry. The clock runs from the moment when the first neighbour comes up to the moment when
the last bundle is durable at the second.
"""

import time

from benchmarks._daemons import clock, daemons
from tests.system.daemon import PATIENCE

BUNDLES = 5_000
BATCH = 1_000
TEXT = "x" * 200


def main() -> dict[str, float]:
    with daemons("absent", "source", "relay", "sink") as (absent, source, relay, sink):
        source.knows(absent)
        absent.stop()
        relay.connects_to(sink)
        for _ in range(BUNDLES // BATCH):
            source.send(absent, *[TEXT] * BATCH)
        begin = clock()
        source.connects_to(relay)
        while sink.status()["queue_bundles"] < BUNDLES:
            if clock() - begin > PATIENCE:
                raise SystemExit(
                    f"only {sink.status()['queue_bundles']} bundles came through"
                )
            time.sleep(0.02)
        seconds = clock() - begin
    return {"bundles_per_s": round(BUNDLES / seconds, 1)}
