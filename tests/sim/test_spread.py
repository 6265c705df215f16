"""Chains spread over meetings: whoever follows and could have a block has it."""

import os
from pathlib import Path

import pytest

from meshpeer.sim.contacts import ContactTime, read_contacts
from meshpeer.sim.generator import World, generate
from tests.sim.spread import earliest, spread

TRACES = Path(
    os.environ.get("MESHPEER_TRACES", Path(__file__).parents[3] / "shared" / "traces")
)


def test_the_earliest_arrival_waits_for_meetings_and_goes_by_those_asked_only():
    met = [
        ContactTime(0, 100, 1, 2),
        ContactTime(50, 80, 2, 3),
        ContactTime(20, 30, 3, 4),
        ContactTime(200, 300, 3, 4),
        ContactTime(200, 205, 1, 5),
    ]
    assert earliest(met, 1, 0.0, {1, 2, 3, 4, 5}) == {1: 0.0, 2: 10.0, 3: 60.0, 4: 210.0}
    assert earliest(met, 1, 0.0, {1, 3, 4}) == {1: 0.0}


def test_in_villages_every_follower_that_could_have_a_block_has_it():
    world = World(villages=3, people=8, buses=2, days=2)
    found = spread(generate(world, seed=3).contacts, publishers=5, followers=10)
    assert found.due > 50
    assert found.missing == []


def test_five_hundred_peers_of_whom_fifty_publish():
    world = World(villages=12, people=40, buses=20, days=1, meetings=0.5)
    found = spread(generate(world, seed=7).contacts, publishers=50, followers=40, posts=1)
    assert found.due > 500
    assert found.missing == []


def test_forty_one_people_at_a_conference():
    trace = TRACES / "infocom05.csv"
    if not trace.exists():
        pytest.skip(f"no recorded meetings at {trace}; MESHPEER_TRACES names their folder")
    found = spread(read_contacts(trace), publishers=20, followers=15)
    assert found.due > 500
    assert found.missing == []
