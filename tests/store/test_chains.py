"""Chains as the store keeps them: blocks, lists of records, and what is forgotten."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshpeer.core.chain_writes import (
    CutLog,
    DropAuthor,
    DropBody,
    DropFollow,
    DropLog,
    DropStanding,
    PutAuthor,
    PutFollow,
    PutFork,
    PutHeed,
    PutLog,
    PutStanding,
    PutWithdrawn,
)
from meshpeer.core.formats.record import Collection, Follow, Label, Post, Profile
from store import chains, names
from store.restore import restore_chains
from store.store import Store
from tests.store.author import Author

ANNA, BOB = Author(1), Author(2)


def log_of(author, height=1, state=b"state"):
    return PutLog(author.device, author.log, author.person, height, state)


def drop_log(author):
    return DropLog(author.device, author.log)


@pytest.fixture(params=["memory", "file"])
def store(request, tmp_path):
    where = ":memory:" if request.param == "memory" else tmp_path / "meshpeer.db"
    store = Store(where)
    yield store
    store.close()


def texts(rows):
    return [row.item.text for row in rows]


def held(store, author):
    blocks = store.log_blocks(author.device, author.log, 1, 2**53, 1_000)
    return [body is not None for _, body in blocks]


def test_a_block_is_found_by_its_id_and_by_its_place_in_the_log(store):
    anna = Author(1)
    first, second = anna.posts("one"), anna.posts("two")
    store.commit([first, second])
    assert store.block_id(anna.device, anna.log, 2) == second.id
    assert store.block_id(anna.device, anna.log, 3) is None
    assert store.block_id(anna.device, bytes(16), 1) is None
    assert (store.header(first.id), store.body(first.id)) == (first.header, first.body)
    assert (store.header(bytes(32)), store.body(bytes(32))) == (None, None)
    assert store.record_of(first.id).number == 1
    assert store.record(2).item.text == "two"
    assert store.record(3) is None


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_of_a_collection_only_the_newest_record_is_listed_in_whatever_order_they_come(
    store, order
):
    anna = Author(1)
    maps = [anna.says(collection("Maps", n)) for n in (1, 2, 3)]
    others = [anna.says(collection("Songs", 1)), Author(2).says(collection("Maps", 1))]
    store.commit(others)
    for n in order:
        store.commit([maps[n]])
    rows = store.timeline(kinds=["collection"])
    assert {row.id for row in rows} == {maps[2].id, *(one.id for one in others)}
    assert store.newest(anna.person, "collection", "Maps").id == maps[2].id
    assert store.body(maps[0].id) is not None, "the block is held all the same"


def collection(name, number):
    return Collection(
        name=name, listing=bytes([number]) * 32, listing_size=1, files=1, total=number
    )


def test_blocks_of_a_log_come_newest_first_and_only_those_held(store):
    anna = Author(1)
    blocks = [anna.posts(f"post {n}") for n in range(1, 7)]
    store.commit([block for block in blocks if block.sequence != 4])
    rows = store.log_blocks(anna.device, anna.log, 2, 5, limit=10)
    assert rows == [(block.header, block.body) for block in (blocks[4], *blocks[2:0:-1])]
    assert store.log_blocks(anna.device, anna.log, 1, 6, limit=1) == [
        (blocks[5].header, blocks[5].body)
    ]
    sizes = store.log_sizes(anna.device, anna.log, 1, 2)
    assert sizes == [(n, 262 + len(blocks[n - 1].body)) for n in (1, 2)]


def test_what_a_block_said_goes_and_its_header_stays(store):
    anna = Author(1)
    block = anna.posts("a mistake")
    store.commit([block, DropBody(block.id)])
    assert (store.header(block.id), store.body(block.id)) == (block.header, None)
    assert store.timeline() == []
    store.commit([DropBody(block.id), block])
    assert texts(store.timeline()) == ["a mistake"]
    store.commit([DropBody(block.id)])
    assert store.timeline() == []


def test_a_body_that_comes_later_gives_the_block_a_new_number(store):
    anna = Author(1)
    block = anna.posts("late")
    store.commit([block._replace(body=None, item=None), anna.posts("early")])
    assert [row.number for row in store.timeline()] == [2]
    store.commit([block])
    assert store.record_of(block.id).number == 3
    store.commit([block._replace(body=None, item=None)])
    assert store.body(block.id) == block.body, "what is known is not forgotten"
    more = anna.posts("at once")
    store.commit([more._replace(body=None, item=None), more])
    assert store.body(more.id) == more.body


def test_a_number_is_not_given_again_when_the_newest_block_goes(store):
    anna, bob = Author(1), Author(2)
    store.commit([anna.posts("one"), bob.posts("two")])
    store.commit([drop_log(bob)])
    later = anna.posts("three")
    store.commit([later])
    assert store.record_of(later.id).number == 3


def test_a_timeline_is_newest_first_over_all_persons(store):
    anna, bob, carl = Author(1), Author(2), Author(3)
    store.commit(
        [
            anna.posts("a", lamport=1),
            anna.posts("d", lamport=9),
            bob.posts("c", lamport=5),
            carl.posts("b", lamport=5),
            bob.says(Label(bytes(32), "file", text="no post"), lamport=11),
        ]
    )
    assert texts(store.timeline()) == ["d", "b", "c", "a"]
    assert texts(store.timeline([anna.person, bob.person])) == ["d", "c", "a"]
    assert texts(store.timeline([anna.person], kinds=["label"])) == []
    assert texts(store.timeline(kinds=["label", "post"], limit=2)) == ["no post", "d"]
    assert store.timeline([bytes(32)]) == []


posts = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 6), st.sampled_from(["post", "profile"])),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(posts, st.sets(st.integers(0, 2)) | st.none(), st.integers(1, 4), st.integers(1, 9))
def test_the_pages_of_a_timeline_are_the_sorted_list_cut_in_pieces(
    posts, who, limit, walked
):
    authors = [Author(1), Author(2), Author(3)]
    records = {"post": Post("hello"), "profile": Profile("anna")}
    store = Store(":memory:")
    store.commit([authors[by].says(records[kind], at) for by, at, kind in posts])
    wanted = sorted(
        (
            (at, number)
            for number, (by, at, kind) in enumerate(posts, 1)
            if kind == "post" and (who is None or by in who)
        ),
        reverse=True,
    )
    lamports = {number: at for number, (_, at, _) in enumerate(posts, 1)}
    persons = None if who is None else [authors[by].person for by in who]
    found, after = [], None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chains, "WALKED", walked)
        while page := store.timeline(persons, kinds=["post"], after=after, limit=limit):
            assert len(page) <= limit
            found += [(lamports[row.number], row.number) for row in page]
            after = found[-1]
    assert found == wanted
    store.close()


def test_what_is_asked_of_one_person_or_one_thing(store):
    anna, bob = Author(1), Author(2)
    post = anna.posts("hello", tags=("b", "a"), language="en")
    store.commit(
        [
            anna.says(Profile("anna", "first")),
            anna.says(Profile("anna", "second")),
            post,
            anna.says(Follow(bob.person, following=True)),
            bob.says(Label(post.id, "block", rating=1, text="good")),
            bob.posts("hello yourself", reply_to=post.id),
            log_of(anna),
        ]
    )
    assert store.newest(anna.person, "profile").item.text == "second"
    assert store.newest(anna.person, "profile", "nobody") is None
    assert store.record_of(post.id).item == post.item
    assert store.record(4).item is None, "a follow is not searched for"
    assert store.records_of_file(bytes(32)) == []
    assert store.count_blocks(anna.person) == 4
    assert store.count_blocks(bob.person) == 0, "its log is not known"


def test_a_log_is_forgotten_with_all_that_stands_in_it(store):
    anna, bob = Author(1), Author(2)
    store.commit([anna.posts("one"), bob.posts("two"), log_of(anna), log_of(bob)])
    store.commit([drop_log(anna)])
    assert [row.person for row in store.logs()] == [bob.person]
    assert texts(store.timeline()) == ["two"]
    assert store.block_id(anna.device, anna.log, 1) is None


def test_in_one_batch_a_log_may_end_and_begin_again(store):
    anna = Author(1)
    one, two = anna.posts("one"), anna.posts("two")
    store.commit([one, log_of(anna, 1), drop_log(anna), two, log_of(anna, 2)])
    assert [row.height for row in store.logs()] == [2]
    assert texts(store.timeline()) == ["two"]
    store.commit([one, log_of(anna), drop_log(anna)])
    assert (store.logs(), store.timeline()) == ([], [])


def test_a_log_is_cut_at_both_ends(store):
    anna, bob = Author(1), Author(2)
    store.commit([anna.posts(str(n)) for n in range(1, 8)] + [bob.posts("bob")])
    store.commit([CutLog(anna.device, anna.log, 3, 5)])
    assert texts(store.timeline([anna.person])) == ["5", "4", "3"]
    assert texts(store.timeline([bob.person])) == ["bob"]


def test_what_a_start_takes_up_again(store):
    anna, bob = Author(1), Author(2)
    fork = PutFork(anna.person, anna.device, anna.log, b"one", b"other")
    store.commit(
        [
            log_of(anna, 3, b"old"),
            log_of(anna, 4, b"new"),
            PutAuthor(anna.person, b"old card"),
            PutAuthor(anna.person, b"card"),
            PutFollow(anna.person, "follow", 7),
            PutFollow(bob.person, "muted", 8),
            fork,
            fork._replace(one=b"later"),
        ]
    )
    assert restore_chains(store, new_log=True) == (
        [log_of(anna, 4, b"new")],
        [PutAuthor(anna.person, b"card")],
        [PutFollow(anna.person, "follow", 7), PutFollow(bob.person, "muted", 8)],
        [fork],
        True,
    )
    store.commit([DropFollow(bob.person), DropAuthor(anna.person)])
    restored = restore_chains(store)
    assert (restored.authors, restored.forks) == ([], [])
    assert [row.person for row in restored.follows] == [anna.person]


def test_a_withdrawal_may_come_before_what_it_withdraws(store):
    target = bytes([7]) * 32
    store.commit([PutWithdrawn(target, ANNA.person), PutWithdrawn(target, BOB.person)])
    store.commit([PutWithdrawn(target, BOB.person)])
    assert store.withdrawn(target) == {ANNA.person, BOB.person}
    assert store.withdrawn(bytes(32)) == set()
    store.commit([DropAuthor(BOB.person)])
    assert store.withdrawn(target) == {ANNA.person}


def test_standing_searches_go_on_after_a_restart(store):
    store.commit([PutStanding("b", b"{}", 4), PutStanding("a", b"[]", 0)])
    store.commit([PutStanding("b", b"{}", 9)])
    assert store.standings() == [PutStanding("a", b"[]", 0), PutStanding("b", b"{}", 9)]
    store.commit([DropStanding("a")])
    assert [row.name for row in store.standings()] == ["b"]


def test_names_of_chains_are_kept_as_long_as_a_row_needs_them(tmp_path, monkeypatch):
    monkeypatch.setattr(names, "UNUSED", 1)
    anna, bob, carl = Author(1), Author(2), Author(3)
    store = Store(tmp_path / "meshpeer.db")
    store.commit([anna.posts("hello"), log_of(anna), PutAuthor(bob.person, b"card")])
    store.commit([log_of(carl), drop_log(carl), PutFollow(carl.person, "follow", 1)])
    store.commit([PutHeed(Author(4).person, True)])
    store.close()
    store = Store(tmp_path / "meshpeer.db")
    assert store._all("PRAGMA foreign_key_check") == []
    assert store._one("SELECT count(*) FROM key") == (5,)
    assert store.heeds() == [PutHeed(Author(4).person, True)]
    assert texts(store.timeline([anna.person])) == ["hello"]
    store.close()


three = st.integers(0, 2)
chain_writes = st.lists(
    st.one_of(
        st.tuples(st.just("put"), three, st.integers(1, 3)),
        st.tuples(st.just("bare"), three, st.integers(1, 3)),
        st.tuples(st.just("body"), three, st.integers(1, 3)),
        st.tuples(st.just("log"), three, st.integers(1, 3)),
        st.tuples(st.just("drop"), three, st.just(0)),
        st.tuples(st.just("cut"), three, st.integers(1, 3)),
    ),
    max_size=14,
)
CHAINS = [
    (author, [author.posts(f"{n}") for n in range(1, 4)])
    for author in (Author(4), Author(5), Author(6))
]


def chain_write(what, who, number):
    author, blocks = CHAINS[who]
    match what:
        case "put":
            return blocks[number - 1]
        case "bare":
            return blocks[number - 1]._replace(body=None, item=None)
        case "body":
            return DropBody(blocks[number - 1].id)
        case "log":
            return log_of(author, number)
        case "drop":
            return drop_log(author)
        case _:
            return CutLog(author.device, author.log, number, 3)


@settings(max_examples=200, deadline=None)
@given(chain_writes)
def test_one_batch_of_blocks_is_the_same_as_one_commit_for_each(steps):
    together, singly = Store(":memory:"), Store(":memory:")
    writes = [chain_write(*step) for step in steps]
    together.commit(writes)
    for write in writes:
        singly.commit([write])
    for author, _ in CHAINS:
        assert held(together, author) == held(singly, author)
    # numbers may differ: kinds are grouped
    assert sorted(texts(together.timeline())) == sorted(texts(singly.timeline()))
    assert sorted(together.logs()) == sorted(singly.logs())
    together.close()
    singly.close()
