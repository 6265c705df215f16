"""Whole peers on a simulated network."""

import json
import os
import subprocess
import sys

from meshpeer.core.writes import Box, DeliveryState
from meshpeer.sim.contacts import ContactTime, Planned
from meshpeer.sim.generator import World, generate
from meshpeer.sim.simulation import Setting, Simulation, simulate

A, B, C = 0, 1, 2
HOUR = 3_600.0


def gap():
    """A laptop A and a Pi C that never see each other; B meets one and later the other."""
    simulation = Simulation(Setting())
    simulation.add(A, B, C)
    simulation.acquaint([(A, C)])
    return simulation


def texts(machine):
    return [row.text for row in machine.store.messages(Box.INBOX)]


def states(machine):
    return [row.state for row in machine.store.deliveries(range(1, 10))]


def test_a_message_crosses_a_gap_and_its_receipt_comes_back():
    simulation = gap()
    alice, carol = simulation.machines[A], simulation.machines[C]
    simulation.write(Planned(0.0, A, C, 1_000, HOUR, "m"))
    simulation.plan(
        [
            ContactTime(10, 20, A, B),
            ContactTime(30, 40, B, C),
            ContactTime(50, 60, A, B),
        ],
        [],
    )
    simulation.loop.run(until=5)
    assert states(alice) == [DeliveryState.QUEUED]
    simulation.loop.run(until=25)
    assert states(alice) == [DeliveryState.CARRIED]
    assert texts(carol) == []
    simulation.loop.run(until=45)
    assert len(texts(carol)) == 1
    assert states(alice) == [DeliveryState.CARRIED]
    simulation.loop.run(until=65)
    assert states(alice) == [DeliveryState.ARRIVED]
    assert all(
        len(machine.peer.sync.queue) == 0 for machine in simulation.machines.values()
    )


def test_a_transfer_that_was_cut_goes_on_where_it_was():
    simulation = gap()
    simulation.write(Planned(0.0, A, C, 100_000, HOUR, "m"))
    simulation.plan([ContactTime(10 * n, 10 * n + 0.25, A, B) for n in range(1, 5)], [])
    simulation.loop.run(until=45)
    assert states(simulation.machines[A]) == [DeliveryState.CARRIED]
    assert simulation.medium.traffic.bytes < 200_000


def test_what_a_restart_of_everybody_leaves_is_delivered():
    simulation = gap()
    simulation.write(Planned(0.0, A, C, 1_000, HOUR, "m"))
    simulation.plan([ContactTime(10, 20, A, B), ContactTime(30, 40, B, C)], [])
    simulation.loop.run(until=25)
    for machine in simulation.machines.values():
        machine.crash(reboot=True)
    simulation.loop.run(until=45)
    assert len(texts(simulation.machines[C])) == 1


def test_a_made_up_world_delivers_most_of_what_is_written():
    world = generate(World(villages=3, people=4, buses=2, days=1), seed=3, messages=40)
    figures = simulate(*world, Setting(seed=3))
    assert figures.messages == 40
    assert figures.delivery_ratio > 0.6
    assert figures.shown_twice == 0
    assert 0 < figures.control_bytes < figures.bytes


SCRIPT = """
import json
from meshpeer.sim.generator import World, generate
from meshpeer.sim.medium import Conditions
from meshpeer.sim.simulation import Setting, simulate
world = generate(World(villages=2, people=3, buses=1, days=1), seed=5, messages=20)
bad = Conditions(loss=0.1, duplicate=0.1, reorder=0.2)
print(json.dumps(simulate(*world, Setting(seed=5, conditions=bad)).as_dict()))
"""


def test_the_same_seed_gives_the_same_figures_in_every_process():
    def run(hash_seed):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", SCRIPT]
        done = subprocess.run(command, env=environment, capture_output=True, check=True)
        return json.loads(done.stdout)

    assert run("1") == run("2")


def test_machines_that_keep_no_key_ring_live_longer_than_a_month():
    simulation = Simulation(Setting())
    simulation.add(1, 2)
    simulation.acquaint([(1, 2)])
    simulation.loop.run(until=40 * 86_400)
    message = Planned(simulation.loop.now, 1, 2, 500, 3_600, "late")
    contact = ContactTime(message.created + 10, message.created + 70, 1, 2)
    simulation.plan([contact], [message])
    simulation.loop.run(until=contact.end)
    assert simulation.figures().delivery_ratio == 1.0
