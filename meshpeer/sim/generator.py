"""Villages and buses: a seeded world of contact times and messages that ships with us.

Real traces may not be redistributed, so tests and examples use this one. People live in villages
and meet there by day, now and then, for minutes. Buses go round a circle of villages by day; at
each stop some of those who live there come within range. Nobody in one village ever hears
another village: all that passes between them rides a bus, which is what store-and-forward is
for. Peers are numbered village by village, the buses last.
"""

from dataclasses import dataclass
from itertools import combinations
from random import Random
from typing import Final, NamedTuple

from meshpeer.sim.contacts import ContactTime, Planned

DAY: Final = 86_400
MORNING, EVENING = 6 * 3_600, 22 * 3_600
MEETING_S: Final = 20 * 60
"""Mean length of a meeting of two who live in one village."""
STOP_S: Final = 5 * 60
"""A bus waits this long in each village."""
RIDE_S: Final = 25 * 60
"""Mean time from one village to the next."""
SMALL, LARGE = 200, 60_000
"""Bytes of the smallest and the largest message; most are small."""


@dataclass(frozen=True, slots=True)
class World:
    """How many of what, and for how long."""

    villages: int = 4
    people: int = 8
    """In each village."""
    buses: int = 2
    days: int = 3
    meetings: float = 3.0
    """Meetings a day of each two in one village, on average."""
    at_stop: float = 0.4
    """Share of a village that is near a bus at its stop."""

    @property
    def peers(self) -> int:
        """All people and buses."""
        return self.villages * self.people + self.buses

    def village(self, number: int) -> range:
        """The peers that live in this village."""
        return range(number * self.people, (number + 1) * self.people)


class Generated(NamedTuple):
    """Both files of a simulation."""

    contacts: list[ContactTime]
    messages: list[Planned]


def generate(world: World, *, seed: int, messages: int = 100) -> Generated:
    """Make contact times and messages; the same arguments give the same result."""
    rng = Random(seed)
    met = [
        contact
        for day in range(world.days)
        for contact in _meetings(world, day, rng) + _rides(world, day, rng)
    ]
    return Generated(merged(met), _messages(world, messages, rng))


def merged(contacts: list[ContactTime]) -> list[ContactTime]:
    """Sort by start and join what overlaps or touches of the same two, with a < b."""
    ordered = sorted(c._replace(a=min(c.a, c.b), b=max(c.a, c.b)) for c in contacts)
    joined: list[ContactTime] = []
    last: dict[tuple[int, int], int] = {}
    for contact in ordered:
        place = last.get((contact.a, contact.b))
        if place is not None and contact.start <= joined[place].end:
            end = max(joined[place].end, contact.end)
            joined[place] = joined[place]._replace(end=end)
        else:
            last[contact.a, contact.b] = len(joined)
            joined.append(contact)
    return joined


def _meetings(world: World, day: int, rng: Random) -> list[ContactTime]:
    met = []
    for number in range(world.villages):
        for a, b in combinations(world.village(number), 2):
            hour = MORNING
            while (hour := hour + _seconds(rng, _pause(world))) < EVENING:
                start = day * DAY + hour
                met.append(ContactTime(start, start + _seconds(rng, MEETING_S), a, b))
    return met


def _rides(world: World, day: int, rng: Random) -> list[ContactTime]:
    met = []
    for bus in range(world.villages * world.people, world.peers):
        hour = MORNING + _seconds(rng, RIDE_S)
        place = rng.randrange(world.villages)
        while hour + STOP_S < EVENING:
            start = day * DAY + hour
            for person in world.village(place):
                if rng.random() < world.at_stop:
                    met.append(ContactTime(start, start + STOP_S, person, bus))
            hour += STOP_S + _seconds(rng, RIDE_S)
            place = (place + 1) % world.villages
    return met


def _messages(world: World, count: int, rng: Random) -> list[Planned]:
    """People write in the first two thirds of the time; all have until the end to arrive."""
    people = world.villages * world.people
    end = world.days * DAY
    created = sorted(rng.randrange(end * 2 // 3) for _ in range(count))
    planned = []
    for number, when in enumerate(created):
        src, dst = rng.sample(range(people), 2)
        size = round(SMALL * (LARGE / SMALL) ** (rng.random() ** 2))
        planned.append(Planned(when, src, dst, size, end - when, f"m{number:04}"))
    return planned


def _pause(world: World) -> float:
    return (EVENING - MORNING) / world.meetings


def _seconds(rng: Random, mean: float) -> int:
    return 1 + round(rng.expovariate(1 / mean))
