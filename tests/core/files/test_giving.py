"""What the owner's limits let be given, and how fairly."""

from random import Random

from meshpeer.core.files.limits import Limits, Pace
from tests.core.files.town import Town

MIB = 1 << 20


def content(size, seed=1):
    return Random(seed).randbytes(size)


def test_no_more_a_second_is_given_than_the_owner_allows():
    town = Town()
    source = town.host("source", limits=Limits(rate=MIB))
    fetcher = town.host("fetcher")
    town.link(source, fetcher)
    file = source.publish(content(16 * MIB)).id
    fetcher.fetch(file)
    town.run(10)
    assert 9 * MIB <= source.files.given <= 11.5 * MIB
    town.run_until(lambda: file in fetcher.completed)


def test_neighbours_share_what_is_given():
    town = Town()
    source = town.host("source", limits=Limits(rate=2 * MIB))
    fetchers = [town.host(f"fetcher {number}") for number in range(4)]
    for number, fetcher in enumerate(fetchers):
        town.link(source, fetcher)
        fetcher.fetch(source.publish(content(16 * MIB, seed=number)).id)
    town.run(10)
    have = [next(iter(f.files._swarm.wanted.values())).bytes_here for f in fetchers]
    assert max(have) - min(have) <= MIB / 2
    assert sum(have) > 17 * MIB


def test_nothing_is_given_outside_the_hours_that_the_owner_set():
    town = Town()
    source = town.host("source", limits=Limits(hours=(22 * 60, 6 * 60)))
    fetcher = town.host("fetcher")
    town.link(source, fetcher)
    file = source.publish(content(4 * MIB)).id
    fetcher.fetch(file)
    town.run(300)
    assert source.files.given == 0
    source.hour = 23
    town.run_until(lambda: file in fetcher.completed, limit=90)


def test_giving_stops_when_the_hours_end_and_others_are_asked():
    town = Town()
    source = town.host("source", limits=Limits(hours=(0, 13 * 60), rate=MIB))
    other, fetcher = town.host("other"), town.host("fetcher")
    town.link(source, fetcher)
    data = content(64 * MIB)
    file = source.publish(data).id
    fetcher.fetch(file)
    town.run(10)
    source.hour = 14
    town.run(65)
    given = source.files.given
    town.run(30)
    assert source.files.given == given < len(data)
    other.publish(data)
    town.link(other, fetcher)
    town.run_until(lambda: file in fetcher.completed)


def test_nothing_is_given_over_a_metered_link():
    town = Town()
    source = town.host("source", limits=Limits(metered=lambda link: link.latency > 0.01))
    near, far = town.host("near"), town.host("far")
    town.link(source, near, latency=0.001)
    town.link(source, far, latency=0.02)
    file = source.publish(content(MIB)).id
    near.fetch(file)
    far.fetch(file)
    town.run_until(lambda: file in near.completed)
    town.run(5)
    assert far.files.progress(file).have == 0
    town.link(near, far)
    town.run_until(lambda: file in far.completed)


def test_limits_that_change_are_told_at_the_next_wake():
    town = Town()
    source, fetcher = town.host("source", limits=Limits(hours=(0, 1))), town.host("fetcher")
    town.link(source, fetcher)
    file = source.publish(content(MIB)).id
    fetcher.fetch(file)
    town.run(5)
    assert source.files.given == 0
    source.files.limits = Limits()
    source.settle()
    town.run_until(lambda: file in fetcher.completed, limit=2)


def test_a_file_that_can_not_be_read_any_more_is_not_offered_any_more():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    data = content(MIB)
    file = source.publish(data).id
    del source.disk.contents[file]
    fetcher.fetch(file)
    town.run(2)
    assert fetcher.files.progress(file).sources == 0
    reads = source.reads
    town.run(20)
    assert source.reads == reads
    source.publish(data)
    town.run_until(lambda: file in fetcher.completed, limit=2)


def test_a_withdrawn_file_is_not_given_any_more():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    town.link(source, fetcher)
    file = source.publish(content(64 * MIB)).id
    fetcher.fetch(file)
    town.run(1)
    source.files.forget(file, town.loop.now)
    source.settle()
    town.run(0.5)
    given = source.files.given
    town.run(3)
    assert source.files.given == given


def test_a_chunk_lost_from_the_partial_file_comes_again():
    town = Town()
    source, middle, last = (town.host(name) for name in ("source", "middle", "last"))
    town.link(source, middle)
    data = content(32 * MIB)
    file = source.publish(data).id
    middle.fetch(file)
    town.run(1)
    partial = middle.disk.partial[file]["now"]
    lost = next(iter(partial))
    del partial[lost]
    town.link(middle, last)
    last.fetch(file)
    town.run_until(lambda: file in middle.completed and file in last.completed)
    assert middle.has(file) == last.has(file) == data


def test_hours_that_pass_midnight():
    night = Limits(hours=(1_320, 360))
    assert [night.open_at(hour * 3_600) for hour in (0, 5, 6, 21, 22, 23)] == [
        True,
        True,
        False,
        False,
        True,
        True,
    ]
    day = Limits(hours=(360, 1_320))
    assert [day.open_at(hour * 3_600) for hour in (5, 6, 21, 22)] == [
        False,
        True,
        True,
        False,
    ]


def test_a_pace_lets_large_pieces_through_and_makes_up_for_them():
    pace = Pace(100.0, 0.0)
    assert pace.open(0.0)
    pace.spend(1_000, 0.0)
    assert not pace.open(9.9)
    assert pace.open(10.0)
    assert Pace(None, 0.0).open(0.0)
