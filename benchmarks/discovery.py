"""Second peer's process start to linked, on one LAN without any configuration. Needs root."""

import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks._daemons import cable
from tests.system.daemon import Daemon

RUNS = 20
DEFAULTS = 'log_level = "error"\n'


def main() -> dict[str, float]:
    root = Path(tempfile.mkdtemp(prefix="meshpeer-bench-"))
    taken = []
    with cable() as (here, there):
        time.sleep(3)  # IPv6's duplicate check on the new cable is not what is measured
        first = Daemon(root / "first", settings=DEFAULTS, namespace=here).start()
        second = Daemon(root / "second", settings=DEFAULTS, namespace=there)
        try:
            for _ in range(RUNS):
                first.cursor = first.status()["last_event"]
                begin = time.perf_counter()
                second.begin()
                first.hear("link", up=True)
                taken.append(time.perf_counter() - begin)
                second.ready()
                second.stop()
        finally:
            second.stop()
            first.stop()
            shutil.rmtree(root)
    print(f"{RUNS} runs: median {median(taken):.3f} s, worst {max(taken):.3f} s")
    return {"median_s": round(median(taken), 3), "max_s": round(max(taken), 3)}
