"""How much of what people write arrives over real contact traces, and what it costs.

Two published traces with 1,000 messages each; 1 MB of queue a peer, 250,000 bytes/s for all that
passes in a contact, both ways. Every peer is the real one: handshakes, seals, sync, store.
The traces lie beside the project, not in it (see their README); MESHPEER_TRACES names another
place.
"""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from meshpeer.sim.contacts import read_contacts, read_messages
from meshpeer.sim.medium import Conditions
from meshpeer.sim.metrics import Figures
from meshpeer.sim.simulation import Setting, simulate

TRACES = Path(
    os.environ.get("MESHPEER_TRACES", Path(__file__).parent.parent.parent / "shared/traces")
)
NAMES = ("infocom05", "dieselnet")
SETTING = Setting(queue_bytes=1_000_000, seed=1, conditions=Conditions(rate=250_000.0))


def main() -> dict[str, float]:
    """Run both traces, each in a process of its own, and print a table."""
    if not TRACES.is_dir():
        raise SystemExit(f"no traces in {TRACES}; set MESHPEER_TRACES")
    start = time.perf_counter()
    with ProcessPoolExecutor(len(NAMES)) as pool:
        figures = dict(zip(NAMES, pool.map(run, NAMES), strict=True))
    return {
        **{name: round(found.delivery_ratio, 4) for name, found in figures.items()},
        "relays_per_delivered": round(
            max(found.relays_per_delivered or 0.0 for found in figures.values()), 1
        ),
        "seconds": round(time.perf_counter() - start, 1),
    }


def run(name: str) -> Figures:
    """Run one trace with its workload."""
    start = time.perf_counter()
    found = simulate(
        read_contacts(TRACES / f"{name}.csv"),
        read_messages(TRACES / f"workload-{name}.csv"),
        SETTING,
    )
    print(f"\n{name}, {time.perf_counter() - start:.0f} s\n{found.as_text()}", flush=True)
    return found
