"""What must hold whatever happens: random contacts, a bad network, crashes, clocks gone mad.

Each seed is a world of a few machines. For some hours they meet at random over a network that
loses, doubles and reorders; machines crash and reboot; wall clocks jump by 50 years. Then all
meet each other once more in good conditions, twice. MESHPEER_SEEDS says how many worlds;
MESHPEER_SEED=N replays one.
"""

import os
from itertools import combinations
from random import Random

import pytest

from meshpeer.core.formats.bundle import MAX_LIFETIME
from meshpeer.core.writes import (
    Box,
    DeliveryState,
    PutBundle,
    PutCarried,
    PutDelivery,
    PutMessage,
    PutOver,
    SetDelivery,
)
from meshpeer.sim.contacts import ContactTime, Planned
from meshpeer.sim.generator import merged
from meshpeer.sim.medium import Conditions
from meshpeer.sim.simulation import Setting, Simulation

WILD_S = 3 * 3_600
MEETING_S = 90
FIFTY_YEARS = 50 * 365.25 * 86_400
QUEUE_BYTES = 400_000
LATE_S = 30
"""Ages are whole seconds: a few hops may round a bundle's death up by so much."""


def seeds():
    if one := os.environ.get("MESHPEER_SEED"):
        return [int(one)]
    return range(int(os.environ.get("MESHPEER_SEEDS", "200")))


class World(Simulation):
    """A random world that keeps the books on what was promised to whom."""

    def __init__(self, seed):
        self.random = Random(seed)
        conditions = Conditions(
            loss=self.random.choice([0, 0.05, 0.2]),
            duplicate=self.random.choice([0, 0.1]),
            reorder=self.random.choice([0, 0.3]),
        )
        super().__init__(Setting(queue_bytes=QUEUE_BYTES, seed=seed, conditions=conditions))
        self.broken = []
        self.durable = {}
        self.shown = {}
        self.message_of = {}
        self.planned = {}
        self.add(*range(self.random.randint(3, 6)))
        self.acquaint(combinations(self.machines, 2))
        for machine in self.machines.values():
            self.durable[machine.peer.id] = set()
            machine.disk_s = self.random.choice([0.001, 0.03, 0.5])

    def live(self):
        numbers = list(self.machines)
        for message in self._messages(numbers):
            self.loop.at(message.created, lambda message=message: self._note(message))
        self.plan(self._contacts(numbers), [])
        for _ in range(self.random.randint(0, 6)):
            machine = self.machines[self.random.choice(numbers)]
            reboot = self.random.random() < 0.5
            self.loop.at(self._when(), lambda m=machine, r=reboot: m.crash(reboot=r))
        for _ in range(self.random.randint(0, 4)):
            clocks = self.machines[self.random.choice(numbers)].clocks
            jump = self.random.choice([-FIFTY_YEARS, FIFTY_YEARS, 0.0])
            self.loop.at(self._when(), lambda c=clocks, j=jump: setattr(c, "wall_error", j))
        self.loop.run(until=WILD_S)
        self._all_meet(numbers)

    def _when(self):
        return self.random.uniform(0, WILD_S)

    def _messages(self, numbers):
        for n in range(self.random.randint(5, 25)):
            src, dst = self.random.sample(numbers, 2)
            size = round(200 * 100 ** self.random.random())
            lifetime = self.random.choice([600, 3_600, MAX_LIFETIME, MAX_LIFETIME])
            yield Planned(self._when(), src, dst, size, lifetime, f"m{n}")

    def _contacts(self, numbers):
        met = []
        for _ in range(self.random.randint(5, 40)):
            a, b = self.random.sample(numbers, 2)
            start = self._when()
            end = start + self.random.choice([1, 5, 60, 600])
            met.append(ContactTime(start, min(end, WILD_S - 1), a, b))
        return merged(met)

    def _all_meet(self, numbers):
        self.medium.conditions = Conditions()
        start = WILD_S
        for _ in range(2):
            for a, b in combinations(numbers, 2):
                self.plan([ContactTime(start, start + MEETING_S, a, b)], [])
                start += MEETING_S + 1
        self.loop.run(until=start + 3_600)

    def _note(self, message):
        message_id = self.write(message)
        assert message_id is not None
        self.planned[message_id] = message

    # ---- the books

    def _durable(self, number, batch):
        super()._durable(number, batch)
        if not self.durable:
            return  # all are still being made
        own = self.durable[self.machines[number].peer.id]
        for write in batch:
            match write:
                case PutBundle() | PutOver():
                    own.add(write.id)
                case PutDelivery():
                    self.message_of[write.bundle] = write.message_id
                case PutMessage(box=Box.INBOX | Box.REQUESTS):
                    self._shown(number, write.message_id)
                case PutCarried():
                    if write.bundle not in self.durable[write.peer]:
                        self._break(number, f"acknowledged, not stored: {write}")
                case SetDelivery(state=DeliveryState.ARRIVED):
                    if self.message_of[write.bundle] not in self.shown:
                        self._break(number, f"arrived untruly: {write}")
                case _:
                    pass
        held = sum(row.size for row in self.machines[number].store.queue_index())
        if held > QUEUE_BYTES:
            self._break(number, f"{held} bytes held, the limit is {QUEUE_BYTES}")

    def _shown(self, number, message_id):
        if message_id in self.shown:
            self._break(number, f"shown twice: {message_id.hex()}")
        self.shown[message_id] = self.loop.now
        planned = self.planned[message_id]
        if number != planned.dst:
            self._break(number, f"shown to a stranger: {planned}")
        if self.loop.now > planned.created + planned.lifetime + LATE_S:
            self._break(number, f"shown after its time: {planned}")

    def _break(self, number, what):
        self.broken.append(f"{self.loop.now:.3f} s, machine {number}: {what}")

    def settle_accounts(self):
        """What could arrive has arrived, and its sender knows."""
        for message_id, planned in self.planned.items():
            if planned.lifetime < MAX_LIFETIME:
                continue
            if message_id not in self.shown:
                self._break(planned.dst, f"never came: {planned}")
        for machine in self.machines.values():
            self._check_memory(machine)
            for row in machine.store.pending(alive=machine.now):
                self._break(machine.number, f"not known to have arrived: {row}")
        return self.broken

    def _check_memory(self, machine):
        left = [*machine.peer.sync.queue, *machine.peer.endpoint.links]
        if left:
            self._break(machine.number, f"bundles or links are left: {left}")


@pytest.mark.parametrize("seed", seeds())
def test_what_must_hold_holds(seed):
    world = World(seed)
    world.live()
    broken = world.settle_accounts()
    assert not broken, (
        "\n".join(broken)
        + f"\nreplay: MESHPEER_SEED={seed} .venv/bin/python -m pytest {__file__}"
    )
