"""Standing searches, and questions that neighbours ask and answer, over a real store."""

import asyncio
import json
from contextlib import closing
from functools import wraps

import pytest

from meshpeer.core.chains.events import AnswerCame
from meshpeer.core.chains.question import Question
from meshpeer.core.formats.block import Block, Header
from meshpeer.core.identity import idtext
from meshpeer.core.sync.allowance import NEWS_BURST
from meshpeer.core.writes import PutEvent
from meshpeer.errors import NotFoundError, RemoteProtocolError, UsageError
from meshpeer.node import near, standing_searches
from meshpeer.node.near import (
    ANSWER_BYTES,
    STRANGERS_BURST,
    WAITING,
    Near,
    blocks_for,
    question_bytes,
)
from meshpeer.node.search_service import _row
from meshpeer.node.standing_searches import STANDING, TOLD, StandingSearches
from store.store import Store
from tests.store.author import Author

WATER = Question("water*")


def in_loop(test):
    """Run the story in an event loop."""

    @wraps(test)
    def run(*args, **kwargs):
        asyncio.run(test(*args, **kwargs))

    return run


@pytest.fixture
def store():
    with closing(Store(":memory:")) as store:
        yield store


@pytest.fixture
def anna():
    return Author(1)


def told(writes):
    """Names and blocks of the hits among the writes."""
    events = [json.loads(write.body) for write in writes if isinstance(write, PutEvent)]
    return [(event["name"], idtext.decode(event["id"])) for event in events]


def test_only_what_comes_after_is_told_and_only_once(store, anna):
    store.commit([anna.posts("water was here")])
    standing = StandingSearches(store)
    store.commit(standing.add("wells", WATER))
    assert standing.news() == []
    store.commit([anna.posts("a waterfall"), anna.posts("fire")])
    news = standing.news()
    assert told(news) == [("wells", anna.ids[2])]
    store.commit(news)
    assert standing.news() == []


def test_a_flood_of_hits_leaves_room_in_the_history(store, anna):
    standing = StandingSearches(store)
    store.commit(standing.add("wells", WATER) + standing.add("fires", Question("fire")))
    hits = 0
    for n in range(20):
        store.commit([anna.posts(f"water {n} {m}") for m in range(TOLD)])
        news = standing.news()
        hits += len(told(news))
        store.commit(news)
    assert hits == NEWS_BURST
    store.commit([anna.posts("fire")])
    assert told(standing.news()) == [("fires", anna.ids[20 * TOLD + 1])]


def test_a_search_goes_on_after_a_restart_where_it_was(store, anna):
    standing = StandingSearches(store)
    store.commit(standing.add("wells", WATER))
    store.commit([anna.posts("water")])
    store.commit(standing.news())
    store.commit([anna.posts("more water")])
    again = StandingSearches(store)
    assert again.all() == [("wells", WATER)]
    assert told(again.news()) == [("wells", anna.ids[2])]


def test_how_far_was_looked_is_written_now_and_then_without_a_hit(store, anna, monkeypatch):
    monkeypatch.setattr(standing_searches, "REMEMBER_EVERY", 3)
    standing = StandingSearches(store)
    store.commit(standing.add("wells", WATER))
    written = []
    for _ in range(7):
        store.commit([anna.posts("fire")])
        written += [write.seen for write in standing.news()]
    assert written == [3, 6]


def test_of_thousands_of_hits_the_newest_are_told_in_order(store, anna, monkeypatch):
    monkeypatch.setattr(standing_searches, "TOLD", 3)
    standing = StandingSearches(store)
    store.commit(standing.add("wells", WATER))
    store.commit([anna.posts(f"water {n}") for n in range(50)])
    assert told(standing.news()) == [("wells", id) for id in anna.ids[-3:]]


def test_a_search_that_ended_tells_nothing_more(store, anna):
    standing = StandingSearches(store)
    store.commit(standing.add("wells", WATER))
    store.commit(standing.remove("wells"))
    store.commit([anna.posts("water")])
    assert standing.news() == []
    assert StandingSearches(store).all() == []
    with pytest.raises(NotFoundError):
        standing.remove("wells")


def test_a_search_may_be_asked_anew_under_its_name(store, anna):
    standing = StandingSearches(store)
    store.commit(standing.add("wells", WATER))
    store.commit(standing.add("wells", Question("fire")))
    store.commit([anna.posts("water"), anna.posts("fire")])
    assert told(standing.news()) == [("wells", anna.ids[2])]


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "two\nlines", "\u202e"])
def test_a_search_has_a_name_that_can_be_shown(store, name):
    with pytest.raises(UsageError, match="name"):
        StandingSearches(store).add(name, WATER)


def test_there_may_be_so_many_searches_and_no_more(store):
    standing = StandingSearches(store)
    for number in range(STANDING):
        standing.add(f"search {number}", WATER)
    with pytest.raises(UsageError, match="remove one"):
        standing.add("one more", WATER)
    assert standing.add("search 0", Question("fire"))


@in_loop
async def test_what_comes_during_a_look_is_looked_at_after(store, anna):
    standing = StandingSearches(store)
    store.commit(standing.add("wells", WATER))
    found = []
    done = asyncio.Event()

    def tell(writes):
        found.extend(told(writes))
        if len(found) == 1:
            store.commit([anna.posts("water again")])
            standing.look(tell)
        elif len(found) == 2:
            done.set()

    store.commit([anna.posts("water")])
    standing.look(tell)
    standing.look(tell)
    async with asyncio.timeout(10):
        await done.wait()
    assert found == [("wells", id) for id in anna.ids[1:]]


@in_loop
async def test_without_searches_nothing_is_looked_at(store):
    standing = StandingSearches(store)
    standing.look(lambda writes: pytest.fail("told"))
    assert standing._looking is None
    assert standing.news() == []


def test_too_large_a_question_is_told_to_who_asks(store):
    with pytest.raises(UsageError, match="fewer words"):
        question_bytes(Question("x" * 1_000))


def test_a_neighbour_gets_signed_blocks(store, anna):
    store.commit([anna.posts("water"), anna.posts("fire"), anna.posts("waterfall")])
    blocks = blocks_for(store, WATER.to_bytes())
    assert {block.header.id for block in blocks} == {anna.ids[1], anna.ids[3]}
    for block in blocks:
        block.header.verify()


def test_a_neighbour_gets_no_more_bytes_than_the_bound(store, anna):
    store.commit([anna.posts("water " * 2_500) for _ in range(30)])
    blocks = blocks_for(store, WATER.to_bytes())
    size = sum(len(block.header.to_bytes()) + len(block.body or b"") for block in blocks)
    assert ANSWER_BYTES / 2 < size <= ANSWER_BYTES


def test_noise_is_no_question(store):
    with pytest.raises(RemoteProtocolError):
        blocks_for(store, b"what?")


@in_loop
async def test_neighbours_are_answered_in_turn_and_a_flood_is_not(store, anna):
    store.commit([anna.posts("water")])
    asked = Near(store)
    answers, nothing = [], []
    done = asyncio.Event()

    def answer(blocks):
        (answers if blocks else nothing).append([block.header.id for block in blocks])
        if len(answers) == WAITING - 1:
            done.set()

    asked.question(b"noise", answer, known=True)
    for _ in range(WAITING + 50):
        asked.question(WATER.to_bytes(), answer, known=True)
    async with asyncio.timeout(10):
        await done.wait()
    assert answers == [[anna.ids[1]]] * (WAITING - 1)
    assert len(nothing) == 1 + 51, "who isn't answered hears so at once"


@in_loop
async def test_strangers_who_ask_all_the_time_keep_no_contact_waiting(store, anna):
    store.commit([anna.posts("water")])
    asked, answers = Near(store), []

    def answer_to(who):
        return lambda blocks: answers.append(who) if blocks else None

    for _ in range(1_000):
        asked.question(WATER.to_bytes(), answer_to("stranger"), known=False)
    asked.question(WATER.to_bytes(), answer_to("contact"), known=True)
    asked.question(WATER.to_bytes(), answer_to("late"), known=False)
    async with asyncio.timeout(10):
        await asked._busy
    assert answers[0] == "contact"
    assert answers.count("stranger") == STRANGERS_BURST
    assert "late" not in answers


@in_loop
async def test_answers_are_waited_for_and_counted_once(monkeypatch, store, anna):
    monkeypatch.setattr(near, "NEAR_SECONDS", 0.05)
    blocks = [signed(anna.posts(f"water {n}")) for n in range(3)]
    asked = Near(store)
    waiting = asyncio.ensure_future(asked.ask(b"id"))
    await asyncio.sleep(0)
    asked.came(AnswerCame(b"other", b"n", tuple(blocks), ()))
    asked.came(AnswerCame(b"id", b"n", (blocks[0],), ()))
    asked.came(AnswerCame(b"id", b"m", (blocks[0],), ()))
    asked.came(AnswerCame(b"id", b"m", tuple(blocks), ()))
    assert await waiting == blocks
    asked.came(AnswerCame(b"id", b"late", tuple(blocks), ()))


@in_loop
@pytest.mark.parametrize("loud", [1, 30])
async def test_neighbours_that_answer_much_take_no_place_from_one_who_knows(
    monkeypatch, store, anna, loud
):
    monkeypatch.setattr(near, "NEAR_SECONDS", 0.05)
    asked, noise = Near(store), Author(2)
    junk = tuple(signed(noise.posts(f"buy {n}")) for n in range(500))
    waiting = asyncio.ensure_future(asked.ask(b"id"))
    await asyncio.sleep(0)
    for n in range(loud):
        part = junk[n * 10 % 400 :][:64]
        asked.came(AnswerCame(b"id", b"loud %d" % n, part, ()))
    true = signed(anna.posts("water"))
    asked.came(AnswerCame(b"id", b"kind", (true,), ()))
    assert sum(map(len, asked._asked[b"id"].values())) <= near.KEPT
    found = await waiting
    assert true in found
    assert len(found) <= near.NEAR_HITS


def test_what_was_not_asked_for_is_not_shown(anna):
    block = signed(anna.posts("water"))
    person = block.header.person
    for question, shown in (
        (WATER, True),
        (Question("water", kinds=("file",)), False),
        (Question("water", kinds=("post",)), True),
        (Question("water", authors=(bytes(32),)), False),
        (Question("water", authors=(bytes(32), person)), True),
        (Question(smallest=1), False),
        (Question(largest=0), True),
        (Question(since=2**40), False),
        (Question(until=2**40), True),
    ):
        assert (_row(block, question) is not None) is shown, question


@in_loop
async def test_nobody_answers_and_the_wait_ends(monkeypatch, store):
    monkeypatch.setattr(near, "NEAR_SECONDS", 0.01)
    assert await Near(store).ask(b"id") == []


@in_loop
async def test_the_wait_ends_when_all_gave_their_answers(monkeypatch, store, anna):
    monkeypatch.setattr(near, "NEAR_SECONDS", 3_600)
    asked, block = Near(store), signed(anna.posts("water"))
    waiting = asyncio.ensure_future(asked.ask(b"id"))
    await asyncio.sleep(0)
    asked.all_answered(b"another")
    asked.came(AnswerCame(b"id", b"n", (block,), ()))
    asked.all_answered(b"id")
    async with asyncio.timeout(10):
        assert await waiting == [block]
    asked.all_answered(b"id")


def signed(write) -> Block:
    return Block(Header.parse(write.header), write.body)
