"""What it costs that everybody has what they follow: bytes carried for each useful block.

People of a recorded conference, and 500 peers of made-up villages of whom 50 publish, as in
tests/sim/spread.py: each author's posts of 200 characters are kept and passed on by those alone who
follow it. A useful block is one that came to somebody who follows its author.
"""

from concurrent.futures import ProcessPoolExecutor

from benchmarks.delivery import TRACES
from meshpeer.sim.contacts import read_contacts
from meshpeer.sim.generator import World, generate
from tests.sim.spread import Spread, spread

VILLAGES = World(villages=12, people=40, buses=20, days=1, meetings=0.5)


def conference() -> Spread:
    """The 41 people of infocom05, half of whom publish."""
    return spread(read_contacts(TRACES / "infocom05.csv"), publishers=20, followers=15)


def villages() -> Spread:
    """500 peers, 50 of whom publish."""
    return spread(generate(VILLAGES, seed=7).contacts, publishers=50, followers=40)


def main() -> dict[str, float]:
    """Run both, each in a process of its own, and print what came where."""
    with ProcessPoolExecutor(2) as pool:
        running = {"infocom05": pool.submit(conference), "villages": pool.submit(villages)}
        found = {name: future.result() for name, future in running.items()}
    for name, one in found.items():
        print(
            f"{name:>10}: {one.had} of {one.due} that could be had, {one.useful} useful, "
            f"{one.bytes_per_useful_block:,.0f} bytes each"
        )
    return {
        **{f"{name}_had": round(one.had / one.due, 4) for name, one in found.items()},
        **{
            f"{name}_bytes_per_block": round(one.bytes_per_useful_block)
            for name, one in found.items()
        },
    }
