"""Files with equal chunks: each comes once and is written once, its twins are made on the disk."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.file_writes import PutFile
from meshpeer.core.files.landing import UNWRITTEN_LIMIT
from meshpeer.core.files.requests import CopyChunk, RepeatChunk, WriteChunk
from meshpeer.core.files.runs import MAX_CHUNKS, from_members, members
from meshpeer.core.files.twins import Twins
from meshpeer.core.formats.manifest import CHUNK, Manifest, chunk_hash, want_tag
from tests.core.files.town import Town

MIB = 1 << 20
ONE = Random(7).randbytes(CHUNK)
NOTHING = PutFile(b"", b"", 0, b"", b"")
DISK = 400 * MIB
"""Bytes a second."""


def content(size, seed=1):
    return Random(seed).randbytes(size)


class Repeated:
    """As the bytes of a file of so many equal chunks, in the memory of one."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count * CHUNK

    def __getitem__(self, part):
        return ONE[: part.stop - part.start]


def publish_equal(host, count, first=b""):
    """Publish a file of so many equal chunks, each file another by its first chunk."""
    data = Repeated(count)
    hashes = chunk_hash(first) if first else chunk_hash(ONE)
    manifest = Manifest(len(data), hashes + chunk_hash(ONE) * (count - 1))
    host.disk.contents[manifest.id] = data
    host.files.known(manifest, host.now)
    row = manifest.id, want_tag(manifest.id), len(data), manifest.to_bytes(), None
    host.disk.commit([PutFile(*row)])
    host.settle()
    return manifest


def asked(host, kind):
    return [request for request in host.asked if isinstance(request, kind)]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60))
def test_the_twins_of_a_chunk_are_those_with_its_hash(hashes):
    manifest = Manifest(len(hashes) * CHUNK, b"".join(bytes([h]) * 32 for h in hashes))
    twins = Twins(manifest)
    for chunk, hash in enumerate(hashes):
        same = [index for index, other in enumerate(hashes) if other == hash]
        assert members(twins.of(chunk)) == same
        assert twins.first(chunk) == same[0]


@given(st.sets(st.integers(0, MAX_CHUNKS - 1), max_size=50))
def test_a_set_of_its_members_is_the_set(chunks):
    assert members(from_members(chunks)) == sorted(chunks)


def test_equal_chunks_come_once_are_written_once_and_are_all_there():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    data = ONE * 100 + content(MIB) + ONE * 100 + ONE[:77]
    file = source.publish(data).id
    fetcher.fetch(file)
    town.run_until(lambda: file in fetcher.completed)
    assert fetcher.has(file) == data
    assert [w.data for w in asked(fetcher, WriteChunk)].count(ONE) == 1
    assert source.files.given < 3 * MIB


def test_a_person_who_watches_the_numbers_sees_them_grow_while_twins_are_made():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    fetcher.disk_rate = 40 * MIB
    data = ONE * 800
    file = source.publish(data).id
    fetcher.fetch(file)
    seen = []
    while file not in fetcher.completed:
        town.run(0.6)
        if (progress := fetcher.files.progress(file)) is not None:
            seen.append(progress)
    have = [progress.have for progress in seen]
    assert have == sorted(set(have))
    assert len(have) > 5
    assert all(progress.state == "fetching" for progress in seen)
    for progress in seen[3:-1]:
        assert 20 * MIB < progress.rate < 60 * MIB
        assert progress.eta < 10


def test_many_files_of_equal_chunks_hold_up_no_honest_fetch():
    """A quarter of a million equal chunks: 64 GiB that one chunk of 256 KiB sets going."""
    town = Town()
    enemy, friend, fetcher = town.host("enemy"), town.host("friend"), town.host("fetcher")
    town.link(enemy, fetcher)
    fetcher.disk_rate = DISK
    hostile = [
        publish_equal(enemy, MAX_CHUNKS, content(CHUNK, seed)).id for seed in range(4)
    ]
    for file in hostile:
        fetcher.fetch(file)
    town.run_until(lambda: all(fetcher.files.progress(f).have for f in hostile))
    town.link(friend, fetcher)
    data = content(10 * MIB)
    honest = friend.publish(data).id
    fetcher.fetch(honest)
    most, took = 0, 0.0
    while honest not in fetcher.completed:
        town.run(0.05)
        took += 0.05
        most = max(most, fetcher.files._landing.unwritten)
        assert took < 10
    assert fetcher.has(honest) == data
    held = [fetcher.files.progress(file).have for file in hostile]
    assert all(have < MAX_CHUNKS * CHUNK / 4 for have in held), "it had to wait for them"
    assert most < UNWRITTEN_LIMIT


def test_of_each_fetch_few_lots_are_asked_of_the_disk_at_a_time():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    fetcher.disk_rate = DISK
    file = publish_equal(source, 4_000).id
    fetcher.fetch(file)
    under_way = []
    answer = fetcher.answer

    def answered(request):
        asked_now = len(asked(fetcher, RepeatChunk))
        under_way.append(asked_now - len(answers))
        answers.extend([request] if isinstance(request, RepeatChunk) else [])
        answer(request)

    answers = []
    fetcher.answer = answered
    town.run(1)
    lots = asked(fetcher, RepeatChunk)
    assert max(under_way) <= 8
    assert all(len(lot.indices) * lot.size <= 4 * MIB for lot in lots)
    assert len(answers) > 20


def test_a_disk_that_fills_up_among_twins_makes_them_wait_and_then_go_on():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    fetcher.disk_rate = 40 * MIB
    data = ONE * 300 + content(MIB)
    file = source.publish(data).id
    fetcher.fetch(file)
    town.run(0.7)
    fetcher.full = True
    town.run(20)
    progress = fetcher.files.progress(file)
    assert (progress.state, progress.why) == ("waiting", "no room on the disk; make some")
    before = progress.have
    assert 0 < before < len(data)
    fetcher.full = False
    fetcher.files.wake(town.loop.now)
    town.run_until(lambda: file in fetcher.completed)
    assert fetcher.has(file) == data
    assert fetcher.files._landing.unwritten == 0


def test_killed_between_twins_it_says_what_is_durable_and_makes_the_rest_from_it():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    fetcher.disk_rate = 20 * MIB
    data = ONE * 400
    file = source.publish(data).id
    fetcher.fetch(file)
    town.run_until(lambda: any((fetcher.disk.files.get(file) or NOTHING).have))
    fetcher.crash()
    flushed = fetcher.disk.partial[file]["flushed"]
    here = fetcher.files._swarm.fetch(file).here
    assert set(members(here)) <= set(flushed)
    assert 0 < len(members(here)) < 400
    given = source.files.given
    town.run_until(lambda: file in fetcher.completed)
    assert fetcher.has(file) == data
    assert source.files.given == given, "nobody is there, nor needed"


def test_a_fetch_that_is_paused_makes_no_more_twins_until_it_goes_on():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    fetcher.disk_rate = 40 * MIB
    data = ONE * 400
    file = source.publish(data).id
    fetcher.fetch(file)
    town.run(0.7)
    fetcher.files.pause(file, fetcher.now)
    town.run(3)
    asked_until = len(fetcher.asked)
    have = fetcher.files.progress(file).have
    assert 0 < have < len(data)
    town.run(5)
    assert not asked(fetcher, RepeatChunk)[asked_until:]
    assert fetcher.files.progress(file).have == have
    fetcher.files.resume(file, fetcher.now)
    fetcher.settle()
    town.run_until(lambda: file in fetcher.completed)
    assert fetcher.has(file) == data


def test_a_fetch_that_is_cancelled_among_twins_and_asked_for_again():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    fetcher.disk_rate = 40 * MIB
    data = ONE * 300
    file = source.publish(data).id
    fetcher.fetch(file)
    town.run(0.7)
    fetcher.files.cancel(file, fetcher.now)
    fetcher.settle()
    town.run(0.01)
    fetcher.fetch(file)
    town.run_until(lambda: file in fetcher.completed)
    assert fetcher.has(file) == data
    assert fetcher.files._landing.unwritten == 0


def test_a_chunk_that_was_damaged_before_its_twins_were_made_comes_again():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    fetcher.disk_rate = 40 * MIB
    data = ONE * 300
    file = source.publish(data).id
    fetcher.fetch(file)
    town.run(0.7)
    (written,) = asked(fetcher, WriteChunk)
    fetcher.disk.partial[file]["now"][written.index] = b"damaged"
    town.run_until(lambda: file in fetcher.completed)
    assert fetcher.has(file) == data
    assert len(asked(fetcher, WriteChunk)) == 2


def test_a_chunk_of_another_file_is_copied_once_for_all_its_twins():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    fetcher.publish(ONE + content(MIB))
    data = ONE * 100
    file = source.publish(data).id
    fetcher.fetch(file)
    town.run_until(lambda: file in fetcher.completed)
    assert fetcher.has(file) == data
    assert len(asked(fetcher, CopyChunk)) == 1
    assert source.files.given < CHUNK
