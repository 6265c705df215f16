"""Process start to API answering with 1,000 bundles held, and the wall time of a command."""

import subprocess
import sys
from statistics import median

from benchmarks._daemons import clock, daemons

BUNDLES = 1_000
ROUNDS = 7


def main() -> dict[str, float]:
    with daemons("absent", "holder") as (absent, holder):
        holder.knows(absent)
        absent.stop()
        holder.send(absent, *["x" * 200] * BUNDLES)
        ready = []
        for _ in range(ROUNDS):
            holder.stop()
            begin = clock()
            holder.begin()
            holder.ready()
            assert holder.status()["queue_bundles"] == BUNDLES
            ready.append(clock() - begin)
        command = [sys.executable, "-m", "meshpeer", "--state", str(holder.state.root)]
        walls = []
        for _ in range(ROUNDS):
            begin = clock()
            subprocess.run([*command, "status", "--json"], check=True, capture_output=True)
            walls.append(clock() - begin)
    print(f"ready: median {median(ready):.3f} s, worst {max(ready):.3f} s")
    print(f"status: median {median(walls):.3f} s, worst {max(walls):.3f} s")
    return {"ready_s": round(median(ready), 3), "cli_s": round(median(walls), 3)}
