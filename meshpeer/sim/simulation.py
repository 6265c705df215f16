"""Contact times and a workload, run through real peers: the numbers that a policy is judged by.

Everybody in a simulation is everybody's contact where there are few; in a large one only those
who write to each other are, and the others carry as strangers do. One Random, seeded, is behind
all: two runs with equal input give equal figures, to the byte.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from random import Random

from meshpeer.core.link.path import Datagram
from meshpeer.core.writes import Write
from meshpeer.sim.contacts import ContactTime, Planned
from meshpeer.sim.generator import merged
from meshpeer.sim.loop import Loop
from meshpeer.sim.machine import Keys, Machine, Surroundings
from meshpeer.sim.medium import Conditions, Medium
from meshpeer.sim.metrics import Figures, Metrics

VILLAGE = 100
"""Up to so many peers everybody knows everybody."""

OVERHEAD = 300
"""About what header, seal and the message's own fields add to a text, in bytes."""

MOST_TEXT = 128 * 1024


@dataclass(frozen=True, slots=True)
class Setting:
    """What may be chosen for a run."""

    queue_bytes: int = 1_000_000
    seed: int = 1
    conditions: Conditions = field(default_factory=Conditions)


def simulate(
    contacts: Iterable[ContactTime],
    messages: Iterable[Planned],
    setting: Setting,
    progress: Callable[[int], object] = lambda percents: None,
) -> Figures:
    """Run all contact times and give the figures; `progress` hears of each percent."""
    contacts, messages = merged(list(contacts)), list(messages)
    writing = {(message.src, message.dst) for message in messages}
    numbers = sorted(
        {number for pair in writing for number in pair}.union(
            *((contact.a, contact.b) for contact in contacts)
        )
    )
    simulation = Simulation(setting)
    simulation.add(*numbers)
    everybody = len(numbers) <= VILLAGE
    simulation.acquaint(combinations(numbers, 2) if everybody else sorted(writing))
    simulation.plan(contacts, messages)
    end = max((contact.end for contact in contacts), default=0.0)
    for percent in range(1, 101):
        simulation.loop.run(until=end if percent == 100 else end * percent / 100)
        progress(1)
    return simulation.figures()


class Simulation:
    """Machines on a network under virtual time; drive it by `loop`."""

    def __init__(self, setting: Setting) -> None:
        self.loop = Loop()
        self.machines: dict[int, Machine] = {}
        self.metrics = Metrics()
        self._seed = setting.seed
        self.medium = Medium(
            self.loop, Random(f"{setting.seed} medium"), setting.conditions, self._deliver
        )
        self._around = Surroundings(
            self.loop, self.medium, setting.queue_bytes, self._durable
        )

    def add(self, *numbers: int) -> None:
        """Make the machines of these numbers, where they are not there yet."""
        for number in numbers:
            if number not in self.machines:
                random = Random(f"{self._seed} machine {number}")
                keys = Keys.make(f"p{number}", random.randbytes)
                self.machines[number] = Machine(number, self._around, keys, random)

    def acquaint(self, pairs: Iterable[tuple[int, int]]) -> None:
        """The persons of each pair exchange their cards."""
        for a, b in pairs:
            self.machines[a].introduce(self.machines[b].keys.own.card)
            self.machines[b].introduce(self.machines[a].keys.own.card)

    def plan(self, contacts: Iterable[ContactTime], messages: Iterable[Planned]) -> None:
        """Put all that is to happen on the agenda."""
        for contact in contacts:
            self.loop.at(contact.start, partial(self.meet, contact.a, contact.b))
            self.loop.at(contact.end, partial(self.part, contact.a, contact.b))
        for message in messages:
            self.loop.at(message.created, partial(self.write, message))

    def meet(self, a: int, b: int) -> None:
        """The two come within range; `a` notices first."""
        self.medium.open(a, b)
        first, second = self.machines[a], self.machines[b]
        second.meet(a, first.peer.id, calling=False)
        first.meet(b, second.peer.id, calling=True)

    def part(self, a: int, b: int) -> None:
        """The two are out of range."""
        self.medium.close(a, b)
        self.machines[a].part(b)
        self.machines[b].part(a)

    def write(self, message: Planned) -> bytes | None:
        """Have a message written, about as large as planned."""
        text = "x" * min(max(message.size - OVERHEAD, 1), MOST_TEXT)
        card = self.machines[message.dst].keys.own.card
        message_id = self.machines[message.src].write(card, text, int(message.lifetime))
        self.metrics.written(message_id, message)
        return message_id

    def figures(self) -> Figures:
        """What was measured so far."""
        return self.metrics.figures(self.medium.traffic.bytes)

    def _deliver(self, number: int, batch: Sequence[Datagram]) -> None:
        self.machines[number].hear(batch)

    def _durable(self, number: int, batch: Sequence[Write]) -> None:
        self.metrics.durable(batch, self.loop.now)
