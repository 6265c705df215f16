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


def thinned(contacts, one_in, most=60.0):
    """Every so manieth meeting, ended after a minute: CI has little time for all sim tests, and
    `python -m benchmarks spread` runs these worlds in full."""
    return [met._replace(end=min(met.end, met.start + most)) for met in contacts[::one_in]]


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
    met = thinned(generate(world, seed=3).contacts, one_in=1)
    found = spread(met, publishers=5, followers=10)
    assert found.due > 50
    assert found.missing == []


def test_five_hundred_peers_of_whom_fifty_publish():
    world = World(villages=12, people=40, buses=20, days=1, meetings=0.5)
    met = thinned(generate(world, seed=7).contacts, one_in=7)
    assert len({number for one in met for number in (one.a, one.b)}) == 500
    found = spread(met, publishers=50, followers=120, posts=1)
    assert found.due > 300
    assert found.missing == []


def test_forty_one_people_at_a_conference():
    trace = TRACES / "infocom05.csv"
    if not trace.exists():
        pytest.skip(f"no recorded meetings at {trace}; MESHPEER_TRACES names their folder")
    met = thinned(read_contacts(trace), one_in=8)
    assert len({number for one in met for number in (one.a, one.b)}) == 41
    found = spread(met, publishers=20, followers=20, posts=2)
    assert found.due > 300
    assert found.missing == []
