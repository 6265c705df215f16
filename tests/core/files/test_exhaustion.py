"""Neighbours that spend little of their own to make a peer spend its memory, time or patience."""

import sys
from collections import deque
from random import Random

from meshpeer.core.files.incoming import Incoming
from meshpeer.core.files.messages import (
    CONTROL,
    PART_HEAD,
    PARTS,
    ROOT,
    Ask,
    Coming,
    Forget,
    Have,
    Hold,
    Seek,
)
from meshpeer.core.files.runs import MAX_CHUNKS
from meshpeer.core.formats.manifest import CHUNK, Manifest, want_tag
from tests.core.files.stranger import Stranger
from tests.core.files.town import Town, manifest_of

MIB = 1 << 20


def content(size, seed=1):
    return Random(seed).randbytes(size)


def sought(stranger):
    return [
        handle
        for message in stranger.heard()
        if isinstance(message, Seek)
        for handle, _ in message.wanted
    ]


def weight(holding):
    """Bytes of the sets of chunks that one neighbour's words made."""
    sets = [holding.chunks, holding.coming, holding._heard]
    return sum(map(sys.getsizeof, [*sets, *(chunks for _, chunks in holding._due)]))


def test_chunks_said_to_come_by_who_holds_nothing_fill_no_memory():
    town = Town()
    host = town.host("host")
    stranger = Stranger(host)
    file = bytes(32)
    host.fetch(file)
    town.run(0.01)
    (handle,) = sought(stranger)
    holding = host.files._swarm.fetch(file).holdings[stranger.peer_id]
    for chunk in range(MAX_CHUNKS - 1, MAX_CHUNKS - 4_000, -1):
        stranger.say(Coming(handle, ((chunk, 1),)))
        town.run(0.01)
    assert stranger.closed is None
    assert weight(holding) < MIB


def test_chunks_said_to_come_one_by_one_fill_no_memory():
    town = Town()
    host = town.host("host")
    stranger = Stranger(host)
    file = bytes(32)
    host.fetch(file)
    town.run(0.01)
    (handle,) = sought(stranger)
    holding = host.files._swarm.fetch(file).holdings[stranger.peer_id]
    stranger.say(Have(handle, ()))
    for chunk in range(MAX_CHUNKS - 1, MAX_CHUNKS - 1_900, -1):
        stranger.say(Coming(handle, ((chunk, 1),)))
    assert stranger.closed is None
    assert weight(holding) < MIB


def test_claims_about_small_files_take_no_more_room_than_small_files():
    town = Town()
    host = town.host("host")
    stranger = Stranger(host)
    files = [number.to_bytes(32) for number in range(1_000)]
    for file in files:
        host.fetch(file, size=3 * CHUNK)
    town.run(0.01)
    far = ((MAX_CHUNKS - 1, 1),)
    for handle in sought(stranger):
        stranger.say(Have(handle, far), Coming(handle, ((MAX_CHUNKS - 3, 1),)))
        town.run(0.01)
    wanted = [host.files._swarm.fetch(file) for file in files]
    assert sum(weight(one.holdings[stranger.peer_id]) for one in wanted) < MIB


def test_asking_over_and_over_what_is_here_of_a_file_in_a_thousand_places_is_slowed_down():
    """Each answer is tens of kB and takes milliseconds; the question has 30 bytes."""
    town = Town()
    host = town.host("host")
    stranger = Stranger(host)
    manifest = Manifest(MAX_CHUNKS * CHUNK, Random(1).randbytes(32 * MAX_CHUNKS))
    host.fetch(manifest.id)
    fetch = host.files._swarm.fetch(manifest.id)
    fetch.know(manifest)
    fetch.here = int("01" * (MAX_CHUNKS // 2), 2)
    tag = want_tag(manifest.id)
    for _ in range(100):
        stranger.say(Seek(((1, tag),)), Forget((1,)))
    assert len(stranger.out[CONTROL]) < 4 * MIB
    stranger.heard()
    town.run(20)
    stranger.say(Seek(((1, tag),)))
    assert any(isinstance(message, Have) for message in stranger.heard()), "later, again"


def test_two_that_trickle_do_not_keep_a_part_from_being_asked_of_who_has_it():
    """A byte now and then is no silence, and two are asked for one part at a time."""
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    data = content(MIB)
    manifest = source.publish(data)
    fetcher.fetch(manifest.id, size=len(data))
    town.run(0.01)
    slow = [Stranger(fetcher, name) for name in ("slow one", "slow two")]
    town.run(0.01)
    for stranger in slow:
        (handle,) = sought(stranger)
        stranger.handle = handle
        stranger.say(Hold((handle,)))
        town.run(1.0)

    def trickle():
        for stranger in slow:
            if not stranger.begun:
                asks = [m for m in stranger.heard() if isinstance(m, Ask)]
                if not asks:
                    continue
                handle, part = asks[0].parts[0]
                size = len(manifest.root) if part == ROOT else CHUNK
                stranger.send(PARTS, PART_HEAD.pack(handle, part, size))
                stranger.begun = True
            stranger.send(PARTS, b"x")
        town.loop.at(town.loop.now + 5, trickle)

    for stranger in slow:
        stranger.begun = False
    trickle()
    town.link(source, fetcher)
    assert town.run_until(lambda: manifest.id in fetcher.completed, 120) < 60


def test_a_part_that_comes_in_crumbs_takes_no_more_room_than_its_bytes():
    crumbs = deque()

    class Link:
        def read(self, stream, limit):
            return crumbs.popleft()[:limit] if crumbs else b""

    data = content(MIB)
    incoming = Incoming(Link(), lambda handle, part, length: True)
    crumbs.append(PART_HEAD.pack(1, 0, len(data)))
    crumbs += [data[at : at + 2] for at in range(0, len(data) - 2, 2)]
    assert not list(incoming.parts())
    held = incoming._slices
    assert sys.getsizeof(held) + sum(map(sys.getsizeof, held)) < 2 * MIB
    crumbs.append(data[-2:])
    (part,) = incoming.parts()
    assert part.data == data


def test_a_wrong_size_said_later_does_not_end_a_fetch():
    """Sizes are hints: one that is wrong ends no fetch that was begun with another."""
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    file = source.publish(content(MIB)).id
    fetcher.fetch(file, size=MIB)
    fetcher.fetch(file, size=1 << 40)
    town.link(source, fetcher)
    town.run_until(lambda: file in fetcher.completed, 30)
    assert manifest_of(fetcher.has(file)).id == file
