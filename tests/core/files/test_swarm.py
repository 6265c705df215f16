"""Swarms of real Files over false links, in virtual time."""

from random import Random

import pytest

from meshpeer.core.files.messages import ROOT, Have, Hold, Seek
from meshpeer.core.files.requests import Finish, Flush
from meshpeer.core.files.runs import from_runs, members
from meshpeer.core.formats.manifest import want_tag
from meshpeer.errors import RemoteProtocolError, StoreError
from tests.core.files.stranger import Stranger
from tests.core.files.town import MBIT, Town, manifest_of

MIB = 1 << 20


def content(size, seed=1):
    return Random(seed).randbytes(size)


def test_one_file_comes_whole_over_one_link():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    data = content(16 * MIB)
    file = source.publish(data).id
    fetcher.fetch(file, size=len(data))
    took = town.run_until(lambda: file in fetcher.completed)
    assert fetcher.has(file) == data
    assert took < 16 * MIB / (100 * MBIT) * 1.1 + 0.2


def test_a_long_round_trip_is_filled():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher, latency=0.040)
    data = content(64 * MIB)
    file = source.publish(data).id
    fetcher.fetch(file, size=len(data))
    took = town.run_until(lambda: file in fetcher.completed)
    assert took < 64 * MIB / (100 * MBIT) * 1.15 + 0.2


def test_two_receivers_of_one_source_trade():
    town = Town()
    source, one, other = (town.host(name) for name in ("source", "one", "other"))
    town.link(source, one)
    town.link(source, other)
    town.link(one, other)
    data = content(64 * MIB)
    file = source.publish(data).id
    for fetcher in (one, other):
        fetcher.fetch(file, size=len(data))
    took = town.run_until(lambda: file in one.completed and file in other.completed)
    assert took < 1.3 * 64 * MIB / (100 * MBIT)
    assert source.files.given < 1.1 * len(data)


def test_three_holders_fill_three_links():
    town = Town()
    holders = [town.host(f"holder {number}") for number in range(3)]
    fetcher = town.host("fetcher", down=10_000 * MBIT)
    data = content(96 * MIB)
    for holder in holders:
        file = holder.publish(data).id
        town.link(holder, fetcher)
    fetcher.fetch(file, size=len(data))
    took = town.run_until(lambda: file in fetcher.completed)
    assert len(data) / took >= 0.9 * 300 * MBIT
    assert sum(holder.files.given for holder in holders) < 1.03 * len(data)


def test_a_holder_leaves_in_the_middle_and_the_others_bring_the_rest():
    town = Town()
    holders = [town.host(f"holder {number}") for number in range(3)]
    fetcher = town.host("fetcher", down=10_000 * MBIT)
    data = content(48 * MIB)
    for holder in holders:
        file = holder.publish(data).id
        town.link(holder, fetcher)
    fetcher.fetch(file, size=len(data))
    town.run(0.5)
    assert 0 < fetcher.files.progress(file).have < len(data)
    town.leave(holders[0])
    town.run_until(lambda: file in fetcher.completed)
    assert fetcher.has(file) == data


def test_the_only_holder_goes_and_another_comes_later():
    town = Town()
    first, second, fetcher = (town.host(name) for name in ("first", "second", "fetcher"))
    data = content(16 * MIB)
    file = first.publish(data).id
    second.publish(data)
    fetcher.fetch(file)
    town.run(1)
    assert fetcher.files.progress(file).state == "waiting"
    assert fetcher.files.lacking(file) is None
    town.link(first, fetcher)
    town.run(0.5)
    assert fetcher.files.progress(file).state == "fetching"
    town.leave(first)
    town.run(1)
    assert fetcher.files.progress(file).sources == 0
    lacking = fetcher.files.lacking(file)
    town.link(second, fetcher)
    town.run_until(lambda: file in fetcher.completed)
    assert second.files.given == sum(length for _, length in lacking) * 262_144
    assert fetcher.has(file) == data


def test_a_liar_is_found_and_banned_and_the_fetch_ends_right():
    town = Town()
    honest, liar, fetcher = (town.host(name) for name in ("honest", "liar", "fetcher"))
    data = content(64 * MIB)
    file = honest.publish(data).id
    liar.publish(data)
    liar.lies = set(Random(3).sample(range(256), 3)) | {7, 100, 200}
    for holder in (liar, honest):
        town.link(holder, fetcher)
    fetcher.fetch(file)
    town.run_until(lambda: file in fetcher.completed)
    assert fetcher.has(file) == data
    assert [ban.peer for ban in fetcher.banned] == [liar.id]
    given = liar.files.given
    assert given < len(data) / 2
    other = content(MIB, seed=9)
    more = liar.publish(other).id
    liar.lies = set()
    fetcher.fetch(more)
    town.run_until(lambda: more in fetcher.completed)


def test_a_holder_that_says_nothing_is_not_waited_for():
    town = Town()
    honest, silent, fetcher = (town.host(name) for name in ("honest", "silent", "fetcher"))
    data = content(16 * MIB)
    file = honest.publish(data).id
    silent.publish(data)
    silent.answer = lambda request: None
    for holder in (silent, honest):
        town.link(holder, fetcher)
    fetcher.fetch(file)
    took = town.run_until(lambda: file in fetcher.completed)
    assert fetcher.has(file) == data
    assert took < 4


def test_everybody_restarts_and_the_fetch_goes_on_where_it_was():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    data = content(64 * MIB)
    file = source.publish(data).id
    fetcher.fetch(file, size=len(data), priority=3, name="film")
    for life in (1, 2):
        town.link(source, fetcher)
        town.run(2.6)
        before = fetcher.files.progress(file)
        fetcher.crash()
        source.crash()
        after = fetcher.files.progress(file)
        assert before.have - after.have < 2.5 * 100 * MBIT
        assert fetcher.files.fetches()[0].priority == 3
        assert after.have > life * 10 * MIB
    town.link(source, fetcher)
    town.run_until(lambda: file in fetcher.completed)
    assert fetcher.has(file) == data
    assert fetcher.disk.files[file].have is None
    assert fetcher.disk.fetches[file].state == "done"


def test_a_full_disk_makes_the_fetch_wait_and_say_why():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    data = content(32 * MIB)
    file = source.publish(data).id
    fetcher.fetch(file)
    town.run(1)
    fetcher.full = True
    town.run(20)
    progress = fetcher.files.progress(file)
    assert (progress.state, progress.why) == ("waiting", "no room on the disk; make some")
    given = source.files.given
    town.run(60)
    assert source.files.given == given
    fetcher.full = False
    fetcher.files.wake(town.loop.now)
    town.run_until(lambda: file in fetcher.completed)
    assert fetcher.has(file) == data


def test_two_thousand_small_files_come_in_about_a_second():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    contents = [content(4_000, seed=number) for number in range(2_000)]
    files = [source.publish(data).id for data in contents]
    for file in files:
        fetcher.fetch(file, size=4_000)
    took = town.run_until(lambda: len(fetcher.completed) == 2_000)
    assert [fetcher.has(file) for file in files] == contents
    assert took < 1.5


def test_files_of_every_size_arrive():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    sizes = (0, 1, 65_536, 65_537, 262_144, 262_145, 5 * MIB + 17)
    files = {source.publish(content(size)).id: content(size) for size in sizes}
    for file in files:
        fetcher.fetch(file)
    town.run_until(lambda: len(fetcher.completed) == len(sizes))
    assert {file: fetcher.has(file) for file in files} == files


def test_pages_of_a_long_manifest_are_fetched_and_checked():
    town = Town()
    source, fetcher = town.host("source", up=10**9), town.host("fetcher", down=10**9)
    town.link(source, fetcher)
    data = bytes(300 * MIB) + b"end"
    file = source.publish(data).id
    fetcher.fetch(file)
    town.run_until(lambda: file in fetcher.completed)
    assert fetcher.has(file) == data
    assert source.files.given < 2 * MIB  # equal chunks come once


def test_chunks_that_are_here_in_another_file_are_copied():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    data = content(8 * MIB)
    fetcher.publish(data)
    longer = data + content(MIB, seed=5)
    file = source.publish(longer).id
    fetcher.fetch(file)
    town.run_until(lambda: file in fetcher.completed)
    assert fetcher.has(file) == longer
    assert source.files.given <= 1.5 * MIB


def test_a_copy_that_turns_out_to_be_another_chunk_is_fetched():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    data = content(4 * MIB)
    old = fetcher.publish(data)
    fetcher.disk.contents[old.id] = bytes(len(data))
    longer = data + b"more"
    file = source.publish(longer).id
    fetcher.fetch(file)
    town.run_until(lambda: file in fetcher.completed)
    assert fetcher.has(file) == longer


def test_what_is_watched_comes_in_order_from_where_it_is_watched():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    data = content(16 * MIB)
    file = source.publish(data).id
    fetcher.fetch(file, in_order=True)
    fetcher.files.watch_from(file, 8 * MIB, town.loop.now)
    town.run_until(lambda: len(fetcher.chunks_came) >= 10)
    assert fetcher.chunks_came[:10] == list(range(32, 42))
    fetcher.files.watch_from(file, 0, town.loop.now)
    town.run_until(lambda: file in fetcher.completed)
    assert sorted(fetcher.chunks_came) == list(range(64))


def test_a_paused_fetch_rests_and_a_higher_priority_goes_first():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    one, two = content(16 * MIB, seed=1), content(16 * MIB, seed=2)
    first, second = source.publish(one).id, source.publish(two).id
    fetcher.fetch(first)
    fetcher.fetch(second)
    town.run(0.3)
    fetcher.files.pause(first, town.loop.now)
    fetcher.settle()
    town.run(0.5)
    rested = fetcher.files.progress(first).have
    town.run(0.5)
    assert fetcher.files.progress(first).have == rested
    assert fetcher.files.progress(second).have > 4 * MIB
    resting = fetcher.files.progress(first)
    assert (resting.rate, resting.sources, resting.eta) == (0.0, 0, None)
    fetcher.files.resume(first, town.loop.now)
    fetcher.files.prioritise(first, 5, town.loop.now)
    fetcher.settle()
    town.run_until(lambda: first in fetcher.completed)
    assert second not in fetcher.completed
    town.run_until(lambda: second in fetcher.completed)


def test_a_cancelled_fetch_leaves_nothing():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    file = source.publish(content(16 * MIB)).id
    fetcher.fetch(file)
    town.run(0.5)
    fetcher.files.cancel(file, town.loop.now)
    fetcher.settle()
    town.run(2)
    assert fetcher.files.progress(file) is None
    assert file not in fetcher.disk.files
    assert file not in fetcher.disk.fetches
    assert fetcher.files._landing.unwritten == 0
    given = source.files.given
    town.run(2)
    assert source.files.given == given


def test_a_file_of_another_size_than_was_said_fails_at_once():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    file = source.publish(content(16 * MIB)).id
    fetcher.fetch(file, size=1_000)
    town.run(1)
    assert fetcher.disk.fetches[file].state == "failed"
    assert "16777216 bytes" in fetcher.disk.fetches[file].why
    assert source.files.given == 0


def test_a_file_published_while_it_is_sought_is_fetched_at_once():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    data = content(MIB)
    file = manifest_of(data).id
    fetcher.fetch(file)
    town.run(1)
    source.publish(data)
    town.run_until(lambda: file in fetcher.completed, limit=1)


def test_who_holds_a_file_is_counted_without_fetching_it():
    town = Town()
    hosts = [town.host(f"host {number}") for number in range(4)]
    asker = town.host("asker")
    data = content(MIB)
    for host in hosts:
        town.link(asker, host)
    for host in hosts[:3]:
        file = host.publish(data).id
    assert asker.files.holders([file], town.loop.now) == {file: 0}
    asker.settle()
    town.run(0.1)
    assert asker.files.holders([file], town.loop.now) == {file: 3}
    town.leave(hosts[0])
    assert asker.files.holders([file], town.loop.now) == {file: 2}
    town.run(120)
    assert asker.files.next_wakeup() is None


def test_nothing_is_due_when_all_is_here():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    file = source.publish(content(2 * MIB)).id
    fetcher.fetch(file)
    town.run_until(lambda: file in fetcher.completed)
    town.run(5)
    assert source.files.next_wakeup() is None
    assert fetcher.files.next_wakeup() is None


def test_a_file_that_nobody_holds_wakes_nobody():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    fetcher.fetch(b"f" * 32)
    town.run(5)
    assert fetcher.files.next_wakeup() is None


def test_a_chunk_is_announced_within_200_ms():
    town = Town()
    source, middle = town.host("source"), town.host("middle")
    town.link(source, middle)
    file = source.publish(content(16 * MIB)).id
    middle.fetch(file)
    town.run(0.3)
    seeker = Stranger(middle)
    seeker.say(Seek(((1, want_tag(file)),)))
    told = {0: town.loop.now}
    written = {}
    partial = middle.disk.partial[file]["now"]
    while len(told) < 64 and town.loop.now < 5:
        for chunk in partial:
            written.setdefault(chunk, town.loop.now)
        for message in seeker.heard():
            if isinstance(message, Have):
                for chunk in members(from_runs(message.runs)):
                    told.setdefault(chunk, town.loop.now)
            elif isinstance(message, Hold):
                told |= {chunk: town.loop.now for chunk in range(64) if chunk not in told}
        town.run(0.01)
    assert set(told) == set(range(64))
    assert max(told[chunk] - written[chunk] for chunk in written) < 0.2


def test_a_flush_that_was_refused_is_tried_again():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    data = content(2 * MIB)
    file = source.publish(data).id
    refused = []
    do = fetcher.do

    def refuse(request):
        if isinstance(request, (Flush, Finish)) and refused.count(type(request)) < 2:
            refused.append(type(request))
            return StoreError("the disk does not answer")
        return do(request)

    fetcher.do = refuse
    fetcher.fetch(file)
    town.run(2)
    assert fetcher.files.progress(file).why == "the disk does not answer"
    town.run_until(lambda: file in fetcher.completed, limit=60)
    assert refused == [Flush, Flush, Finish, Finish]
    assert fetcher.has(file) == data


def test_a_file_cancelled_and_asked_for_again_is_not_mistaken_for_the_first():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    data = content(4 * MIB)
    file = source.publish(data).id
    fetcher.fetch(file)
    town.run_until(lambda: fetcher.files._landing._under_way)
    fetcher.files.cancel(file, town.loop.now)
    fetcher.disk.partial.pop(file, None)
    fetcher.fetch(file)
    town.run_until(lambda: file in fetcher.completed)
    assert fetcher.has(file) == data


def test_parts_that_come_in_bundles_count_as_well():
    town = Town()
    fetcher = town.host("fetcher")
    data = content(MIB)
    manifest = manifest_of(data)
    fetcher.fetch(manifest.id)
    durable = []
    assert fetcher.files.lacking(manifest.id) is None
    assert fetcher.files.take(manifest.id, ROOT, manifest.root, town.loop.now)
    assert fetcher.files.lacking(manifest.id) == ((0, 4),)
    for chunk in range(4):
        piece = data[chunk * 262_144 : (chunk + 1) * 262_144]
        with pytest.raises(RemoteProtocolError):
            fetcher.files.take(manifest.id, chunk, bytes(262_144), town.loop.now)
        assert fetcher.files.take(manifest.id, chunk, piece, town.loop.now, durable.append)
        assert not fetcher.files.take(manifest.id, chunk, piece, town.loop.now)
    fetcher.settle()
    assert not durable
    town.run_until(lambda: manifest.id in fetcher.completed)
    assert len(durable) == 4
    assert fetcher.has(manifest.id) == data


def test_what_turned_up_here_otherwise_is_fetched_no_more():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    data = content(64 * MIB)
    file = source.publish(data).id
    fetcher.fetch(file)
    town.run(1)
    fetcher.publish(data)
    town.run_until(lambda: file in fetcher.completed, limit=0.1)
    given = source.files.given
    town.run(2)
    assert source.files.given == given
    assert fetcher.disk.fetches[file].state == "done"
