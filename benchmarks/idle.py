"""A daemon with one neighbour on a cable and nothing to do: 60 s, after 30 s. Needs root.

CPU is all threads' time on a processor (schedstat); packets are what left the interface, the
kernel's own neighbour discovery in.
"""

import shutil
import tempfile
import time
from pathlib import Path

from benchmarks._daemons import cable
from tests.system.daemon import Daemon

SETTLE = 30
MEASURE = 60
DEFAULTS = 'log_level = "error"\n'


def cpu_ms(pid: int) -> float:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6


def rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"process {pid} has no VmRSS")


def sent(pid: int) -> int:
    """Packets that left the namespace of this process by the cable."""
    for line in Path(f"/proc/{pid}/net/dev").read_text(encoding="utf-8").splitlines():
        if line.strip().startswith("lan0:"):
            return int(line.split(":")[1].split()[9])
    raise RuntimeError("no cable")


def main() -> dict[str, float]:
    root = Path(tempfile.mkdtemp(prefix="meshpeer-bench-"))
    with cable() as names:
        pair = [
            Daemon(root / f"peer{number}", settings=DEFAULTS, namespace=name)
            for number, name in enumerate(names)
        ]
        try:
            for daemon in pair:
                daemon.start()
            time.sleep(SETTLE)
            assert pair[0].status()["neighbours"] == 1
            pid = pair[0].status()["pid"]
            before = cpu_ms(pid), sent(pid)
            time.sleep(MEASURE)
            figures = {
                "rss_mb": round(rss_mb(pid), 1),
                "cpu_ms_per_minute": round((cpu_ms(pid) - before[0]) * 60 / MEASURE, 1),
                "packets_per_minute": round((sent(pid) - before[1]) * 60 / MEASURE, 1),
            }
            assert pair[0].status()["neighbours"] == 1
        finally:
            for daemon in pair:
                daemon.stop()
            shutil.rmtree(root)
    return figures
