"""Which chunk is asked of whom: laws for any holders and any chunks they have."""

from collections import Counter
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from meshpeer.core.file_writes import PutFetch, PutFile
from meshpeer.core.files.chooser import LEVELS, Rarity
from meshpeer.core.files.runs import to_bitmap
from meshpeer.core.formats.manifest import want_tag
from tests.core.files.town import Disk, Town, manifest_of

CHUNK = 262_144
COUNT = 9


def chunks(members):
    return sum(1 << member for member in members)


some = st.sets(st.integers(0, COUNT - 1))


@given(st.lists(some, max_size=8), some)
def test_the_rarest_are_those_that_the_fewest_hold(holders, among):
    rarity = Rarity()
    for holder in holders:
        rarity.add(chunks(holder))
    counts = Counter(chunk for holder in holders for chunk in holder)
    held = {chunk: max(1, min(counts[chunk], LEVELS)) for chunk in among}
    least = min(held.values(), default=0)
    assert rarity.rarest(chunks(among)) == chunks(
        chunk for chunk in among if held[chunk] == least
    )
    again = Rarity(chunks(holder) for holder in reversed(holders))
    assert again.rarest(chunks(among)) == rarity.rarest(chunks(among))


def partial_disk(data, members):
    """A disk as a crash leaves it, with these chunks of the file."""
    disk, manifest = Disk(), manifest_of(data)
    have = to_bitmap(chunks(members), manifest.count)
    disk.commit(
        [
            PutFetch(manifest.id, "", "", len(data), "fetching", "", 0, False, 0),
            PutFile(
                manifest.id, want_tag(manifest.id), len(data), manifest.to_bytes(), have
            ),
        ]
    )
    pieces = {m: data[m * CHUNK : (m + 1) * CHUNK] for m in members}
    disk.partial[manifest.id] = {"now": dict(pieces), "flushed": pieces}
    return disk


@settings(max_examples=30, deadline=None)
@given(
    st.lists(some, min_size=2, max_size=5),
    st.sets(st.tuples(st.integers(0, 4), st.integers(0, 4))),
    st.integers(0, 1_000),
    st.booleans(),
)
def test_who_can_reach_every_chunk_gets_the_file_and_asks_for_nothing_twice(
    parts, links, seed, in_order
):
    data = Random(seed).randbytes(COUNT * CHUNK - 5)
    file = manifest_of(data).id
    town = Town(seed)
    hosts = [
        town.host(f"host {number}", disk=partial_disk(data, part))
        for number, part in enumerate(parts)
    ]
    if in_order:
        hosts[0].files.watch_from(file, 3 * CHUNK, 0.0)
    for host in hosts:
        never_twice(host.files._swarm.fetch(file))
    for one, other in sorted({tuple(sorted(link)) for link in links}):
        if one < other < len(hosts):
            town.link(hosts[one], hosts[other])
    town.run(30)
    for group in groups(range(len(hosts)), links):
        here = set().union(*(parts[number] for number in group))
        for number in group:
            if here == set(range(COUNT)):
                assert hosts[number].has(file) == data
            else:
                fetch = hosts[number].files._swarm.fetch(file)
                assert fetch.here == chunks(here)


def never_twice(fetch):
    """Fail when a chunk is asked for again while another of this neighbour's is unasked."""
    if fetch is None:
        return
    ask = fetch.ask

    def check(part, holding, now):
        if part in fetch.asked:
            left = fetch.lacking & ~fetch.asked_chunks & fetch.reach(holding)
            for other in fetch.holdings.values():
                left &= ~other.coming
            assert fetch.row.in_order or not left
            assert holding not in fetch.asked[part]
        ask(part, holding, now)

    fetch.ask = check


def groups(numbers, links):
    """Those that are joined, directly or by others."""
    found = {number: {number} for number in numbers}
    for one, other in links:
        if one in found and other in found and found[one] is not found[other]:
            found[one] |= found[other]
            for member in found[other]:
                found[member] = found[one]
    return found.values()
