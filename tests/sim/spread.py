"""How chains spread among people who meet: a world to run, and what would be best possible.

Some people publish, others follow some of them, and only who follows an author keeps and passes on
what it publishes. What could be had is worked out from the meetings alone: the earliest time at
which a block can reach each follower over meetings of its followers, each hop taking HOP_S.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random

from meshpeer.core.formats.record import Post
from meshpeer.sim.contacts import ContactTime
from meshpeer.sim.generator import merged
from meshpeer.sim.medium import Conditions
from meshpeer.sim.simulation import Setting, Simulation

HOP_S = 10.0
"""Long enough for a link to come up, heads to be compared and some blocks to pass."""


@dataclass(frozen=True, slots=True)
class Spread:
    """What came of it."""

    due: int
    """Blocks that could reach a follower, counted for each follower."""
    had: int
    """Of these, how many did."""
    missing: list[tuple[int, int, float]]
    """Author, follower, and when it could have come."""
    useful: int
    """Blocks that came to a follower, whether or not they had to."""
    bytes: int
    """Everything that the network carried."""

    @property
    def bytes_per_useful_block(self) -> float:
        return self.bytes / max(self.useful, 1)


def spread(
    contacts: Iterable[ContactTime],
    *,
    publishers: int,
    followers: int,
    posts: int = 3,
    seed: int = 1,
    text: int = 200,
) -> Spread:
    """Run it: so many publish, each of whom so many follow, in the first half of the time."""
    met = merged(list(contacts))
    random = Random(seed)
    numbers = sorted({number for contact in met for number in (contact.a, contact.b)})
    end = max(contact.end for contact in met)
    authors = random.sample(numbers, publishers)
    following = {
        author: random.sample([n for n in numbers if n != author], followers)
        for author in authors
    }
    simulation = Simulation(Setting(seed=seed, conditions=Conditions(rate=250_000.0)))
    simulation.add(*numbers)
    for author, those in following.items():
        for one in those:
            simulation.machines[one].follow(simulation.machines[author].keys.own.card)
    simulation.plan(met, [])
    planned = []
    for author in authors:
        for number in range(posts):
            when = random.uniform(0, end / 2)
            planned.append((when, author, f"{author} {number} ".ljust(text, "x")))
    for when, author, said in planned:
        machine = simulation.machines[author]
        simulation.loop.at(when, lambda m=machine, s=said: m.publish(Post(s)))
    simulation.loop.run(until=end + 60)
    return _judge(simulation, met, following, planned, end)


def _judge(
    simulation: Simulation,
    met: Sequence[ContactTime],
    following: Mapping[int, Sequence[int]],
    planned: Sequence[tuple[float, int, str]],
    end: float,
) -> Spread:
    due = had = useful = 0
    missing = []
    shown: dict[tuple[int, int], set[str]] = {}
    for when, author, said in planned:
        could = earliest(met, author, when, {author, *following[author]})
        person = simulation.machines[author].keys.own.person
        for one in following[author]:
            if (one, author) not in shown:
                rows = simulation.machines[one].store.timeline([person], limit=1_000)
                shown[one, author] = {row.item.text for row in rows if row.item}
            has = said in shown[one, author]
            useful += has
            if could.get(one, end + 1) <= end:
                due += 1
                had += has
                if not has:
                    missing.append((author, one, could[one]))
    return Spread(due, had, missing, useful, simulation.medium.traffic.bytes)


def earliest(
    met: Sequence[ContactTime], source: int, when: float, among: set[int]
) -> dict[int, float]:
    """When each of `among` can have at the earliest what `source` has from `when` on."""
    near: dict[int, list[tuple[float, float, int]]] = {}
    for contact in met:
        if contact.a in among and contact.b in among:
            near.setdefault(contact.a, []).append((contact.start, contact.end, contact.b))
            near.setdefault(contact.b, []).append((contact.start, contact.end, contact.a))
    reached = {source: when}
    agenda = [(when, source)]
    while agenda:
        now, one = heappop(agenda)
        if now > reached[one]:
            continue
        for start, end, other in near.get(one, ()):
            arrival = max(start, now) + HOP_S
            if arrival <= end and arrival < reached.get(other, float("inf")):
                reached[other] = arrival
                heappush(agenda, (arrival, other))
    return reached
