"""A new follower of a chain of 100,000 blocks: when it can read the newest 50, and when it has all.

Two real daemons in network namespaces joined by a cable. The publisher's database is prepared
before it starts: every block is signed and indexed as if it had been published there. The two
are linked already when the follower accepts the publisher's card, which is when the clock starts;
it ends when the API lists the newest 50 records, and when it counts all. Needs root.
"""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks._chains import Text, publish
from benchmarks._daemons import cable, clock
from meshpeer.node.own_cards import load_own
from store.store import Store
from tests.system.daemon import Daemon

BLOCKS = 100_000
SCREEN = 50
DEFAULTS = 'log_level = "error"\n'
OFTEN, SELDOM = 0.01, 0.25
GIVE_UP = 300.0


def main() -> dict[str, float]:
    """Give the seconds until the first screen is there, and until all is."""
    root = Path(tempfile.mkdtemp(prefix="meshpeer-bench-"))
    with cable() as (here, there):
        time.sleep(3)  # IPv6's duplicate check on the new cable is not what is measured
        publisher = Daemon(root / "publisher", settings=DEFAULTS, namespace=here)
        follower = Daemon(root / "follower", settings=DEFAULTS, namespace=there)
        try:
            newest = _prepare(publisher)
            follower.start()
            publisher.start()
            follower.linked_with(publisher)
            return _join(follower, publisher, newest)
        finally:
            follower.stop()
            publisher.stop()
            shutil.rmtree(root)


def _prepare(publisher: Daemon) -> list[str]:
    """Give the texts of the newest screen, the newest first."""
    publisher.start()
    publisher.stop()
    store = Store(publisher.state.database)
    (own,) = load_own(publisher.state, publisher.name, fresh=False)
    publish(store, own, Text(1), BLOCKS)
    rows = store.timeline([own.person], limit=SCREEN)
    store.close()
    return [row.item.text for row in rows if row.item is not None]


def _join(follower: Daemon, publisher: Daemon, newest: list[str]) -> dict[str, float]:
    card = publisher.api.get("card")["uri"]
    begin = clock()
    follower.api.post("contacts", body={"card": card, "petname": "publisher"})
    first = _until(begin, OFTEN, lambda: _screen(follower) == newest)
    everything = _until(begin, SELDOM, lambda: _records(follower) == BLOCKS)
    print(f"{BLOCKS / everything:,.0f} blocks a second")
    return {"first_screen_s": round(first, 3), "all_s": round(everything, 2)}


def _screen(follower: Daemon) -> list[str]:
    page = follower.api.get("timeline", limit=SCREEN)
    return [record["text"] for record in page["items"]]


def _records(follower: Daemon) -> int:
    return int(follower.api.get("profile", who="publisher")["records"])


def _until(begin: float, often: float, happened: Callable[[], bool]) -> float:
    """Give the seconds since `begin` after which this holds."""
    while not happened():
        if clock() - begin > GIVE_UP:
            raise SystemExit(f"not after {GIVE_UP:g} s")
        time.sleep(often)
    return clock() - begin
