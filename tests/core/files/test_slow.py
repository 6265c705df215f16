"""Files over links that take long for them: nothing comes unasked, and all comes if it is meant."""

from random import Random

from meshpeer.core.files.limits import Limits
from meshpeer.core.files.messages import Ask, pack
from tests.core.files.town import Town

RATE = 240_000.0
"""Bit/s of a link that can carry 300 kB in ten seconds, which the limit is here."""
LIMITS = Limits(slow_s=10.0)
SMALL, LARGE = 200_000, 1_000_000


def content(size):
    return Random(size).randbytes(size)


def pair(rate=RATE, **settings):
    town = Town()
    source = town.host("source", limits=settings.get("source", LIMITS))
    fetcher = town.host("fetcher", limits=settings.get("fetcher", LIMITS))
    slow(town.link(source, fetcher), rate)
    return town, source, fetcher


def slow(end, rate=RATE):
    end.rate = end.other.rate = rate
    return end


def test_a_small_file_comes_by_a_slow_link():
    town, source, fetcher = pair()
    file = source.publish(content(SMALL)).id
    fetcher.fetch(file)
    town.run_until(lambda: file in fetcher.completed)


def test_a_large_one_does_not_and_the_user_sees_why():
    town, source, fetcher = pair()
    file = source.publish(content(LARGE)).id
    fetcher.fetch(file, size=LARGE)
    town.run(60)
    assert file not in fetcher.completed
    assert source.files.given == 0
    told = fetcher.files.progress(file)
    assert told.state == "waiting"
    assert (
        told.why
        == "only a slow link (240,000 bit/s) leads there; get it anyway with --slow"
    )


def test_one_whose_size_nobody_said_ends_with_its_root():
    town, source, fetcher = pair()
    file = source.publish(content(LARGE)).id
    fetcher.fetch(file)
    town.run(60)
    assert source.files.given == 0
    assert fetcher.files.progress(file).size == LARGE
    assert "--slow" in fetcher.files.progress(file).why


def test_it_comes_once_the_user_says_so():
    town, source, fetcher = pair()
    file = source.publish(content(LARGE)).id
    fetcher.fetch(file, size=LARGE)
    town.run(30)
    fetcher.fetch(file, slow=True)
    town.run_until(lambda: file in fetcher.completed)


def test_what_the_user_said_outlives_a_restart():
    town, source, fetcher = pair()
    file = source.publish(content(LARGE)).id
    fetcher.fetch(file, size=LARGE, slow=True)
    town.run(0.02)
    assert file not in fetcher.completed
    fetcher.crash()
    slow(town.link(source, fetcher))
    town.run_until(lambda: file in fetcher.completed)


def test_by_another_link_it_comes_at_once():
    town, source, fetcher = pair()
    file = source.publish(content(LARGE)).id
    fetcher.fetch(file, size=LARGE)
    other = town.host("other", limits=LIMITS)
    other.publish(content(LARGE))
    town.run(30)
    town.link(other, fetcher)
    town.run_until(lambda: file in fetcher.completed)
    assert source.files.given == 0


def test_a_holder_does_not_give_what_nobody_said_is_meant():
    """A fetcher that has no such limit asks, and is told no; one that says so is given."""
    for meant in (False, True):
        town, source, fetcher = pair(fetcher=Limits(slow_s=1e9))
        file = source.publish(content(LARGE)).id
        fetcher.fetch(file, size=LARGE, slow=meant)
        town.run(60)
        assert (file in fetcher.completed) is meant
        assert bool(source.files.given) is meant


def test_who_asks_for_a_chunk_outright_gets_none():
    town, source, fetcher = pair()
    file = source.publish(content(LARGE)).id
    fetcher.fetch(file, size=LARGE)
    town.run(1)
    (end,) = (end for end in town.ends if end.near is fetcher)
    (handle,) = (h.handle for h in fetcher.files._swarm.fetch(file).holdings.values())
    end.write(5, pack(Ask(((handle, 0), (handle, 1)))))
    town.run(10)
    assert source.files.given == 0


def test_it_comes_once_the_link_has_a_better_path():
    town, source, fetcher = pair()
    file = source.publish(content(LARGE)).id
    fetcher.fetch(file, size=LARGE)
    town.run(30)
    for end in town.ends:
        end.rate = None
        end.near.files.writable(end, town.loop.now)
        end.near.settle()
    town.run_until(lambda: file in fetcher.completed)


def test_a_file_of_one_chunk_comes_when_the_user_says_so():
    """Its chunk would come with the root, if it were not too large for this link."""
    town, source, fetcher = pair(rate=RATE / 8)
    file = source.publish(content(SMALL)).id
    fetcher.fetch(file)
    town.run(5)
    assert "--slow" in fetcher.files.progress(file).why
    fetcher.fetch(file, slow=True)
    town.run_until(lambda: file in fetcher.completed, limit=10)
