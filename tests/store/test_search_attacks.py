"""Searches made to be slow or to break something, and items made to spoil searches."""

from contextlib import closing
from random import Random
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshpeer.core.chains.question import Question
from store import search_index
from store.search import RANKED
from store.store import Store
from tests.store.searching import ANNA, BOB, block, look

COMMON = [f"common{chr(97 + n)}" for n in range(16)]
ITEMS = 40_000
LATE = 1.0
"""Seconds: five times what a search may take, for a machine that does other things too."""


@pytest.fixture(scope="module")
def crowd():
    """Many items with the same words, in two halves that share all words but two."""
    random = Random(1)
    with closing(Store(":memory:")) as store:
        for first in range(1, ITEMS, 2_000):
            store.commit(
                [
                    block(
                        n,
                        name=f"only{'ab'[n % 2]}",
                        text=f"{' '.join(COMMON)} {chr(97 + n % 26)}{random.getrandbits(40):x}",
                        tags=(f"tag{n}",),
                    )
                    for n in range(first, first + 2_000)
                ]
            )
        yield store


@pytest.fixture(scope="module")
def small():
    with closing(Store(":memory:")) as store:
        items = [
            block(1, name="a b ab"),
            block(2, text="水 and 本"),
            block(3, tags=("a-b",)),
        ]
        store.commit(items)
        yield store


SLOW = {
    "a hundred thousand words": " ".join(f"w{n}" for n in range(100_000)),
    "the same word": "commona " * 100_000,
    "all common words": " ".join(COMMON),
    "common words that never meet": "onlya onlyb",
    "common words in no such order": " ".join(
        f'"{COMMON[n + 1]} {COMMON[n]}"' for n in range(15)
    ),
    "a phrase of all of them": '"' + " ".join(COMMON) + '"',
    "everything but": " ".join("-" + word for word in COMMON),
    "one but the others": "commona " + " ".join("-" + word for word in COMMON[1:]),
    "quotes": '"' * 100_000,
    "quotes and stars": '"*' * 50_000,
    "stars": "*" * 1_000 + " *",
    "one letter": "c*",
    "every letter": " ".join(f"{chr(97 + n)}*" for n in range(16)),
    "digits": " ".join(f"{n}*" for n in range(10)),
    "near": 'NEAR("commona" "commonb", 1000000)',
    "columns": "{name tags} : commona AND rowid:1 OR marks:k_post NOT x",
    "a number": "9" * 100_000,
    "a huge number": "1e999999999",
    "right to left": "\u202e" * 400 + "שלום مرحبا",
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈" * 60,
    "no spaces": "水" * 500,
    "ligatures": "\ufdfa" * 500,
    "accents": "e" + "\u0301" * 500,
    "surrogates": "\ud800 \udfff" * 100,
    "nul": "common\x00a \x00",
    "sql": "'; DROP TABLE item; --",
    "typing errors": " ".join(f"comomn{chr(97 + n)}" for n in range(16)),
    "long words nearly spelled": " ".join("commonab"[:7] + "x" * n for n in range(16)),
    "one word of all trigrams": "abcdefghijklmnopqrstuvwxyzabcdef",
    "not a thing": "",
}


@pytest.mark.parametrize("words", SLOW.values(), ids=SLOW.keys())
def test_no_search_is_slow_or_fails(crowd, words):
    start = perf_counter()
    found = crowd.search(Question(words))
    assert perf_counter() - start < LATE
    assert found.total <= RANKED


@pytest.mark.parametrize("words", SLOW.values(), ids=SLOW.keys())
def test_no_standing_search_is_slow_or_fails(crowd, words):
    start = perf_counter()
    crowd.items_after(Question(words), 0, crowd.newest_item())
    assert perf_counter() - start < LATE


def test_filters_that_nothing_fits_are_not_slow(crowd):
    start = perf_counter()
    found = crowd.search(Question("commona", smallest=0, since=2**40, held=True))
    assert perf_counter() - start < LATE
    assert not found.hits


def test_filters_with_many_values_are_not_slow(crowd):
    start = perf_counter()
    persons = (ANNA, *(bytes([n]) * 32 for n in range(100, 110)))
    kinds = tuple(f'"k{n}' for n in range(15))
    crowd.search(Question(" ".join(COMMON), kinds=(*kinds, "post"), authors=persons))
    assert perf_counter() - start < LATE


def test_time_is_looked_at_while_nothing_is_found(crowd):
    ticks = iter(range(1000))
    found = crowd.search(Question("onlya onlyb"), seconds=0.5, clock=lambda: next(ticks))
    assert found.partial


def test_the_last_page_is_as_quick_as_the_first(crowd):
    start = perf_counter()
    found = crowd.search(Question("commona"), after=f"{crowd.newest_item()}.{RANKED - 20}")
    assert perf_counter() - start < LATE
    assert (len(found.hits), found.total, found.more, found.after) == (
        20,
        RANKED,
        True,
        None,
    )


def test_a_prefix_of_too_many_words_says_that_it_is_partial(crowd):
    assert crowd.search(Question("a*")).partial
    assert not crowd.search(Question("onl*")).partial


def test_a_flood_of_new_words_does_not_hide_the_words_of_others(monkeypatch):
    monkeypatch.setattr(search_index, "VOCABULARY", 2_000)
    monkeypatch.setattr(search_index, "SAMPLED", 2)
    random = Random(2)
    with closing(Store(":memory:")) as store:
        store.commit([block(n, name="honest waterworks") for n in range(1, 9)])
        for n in range(10, 200):
            store.commit(
                [
                    block(
                        n,
                        BOB,
                        text=" ".join(f"z{random.getrandbits(60):x}" for _ in range(99)),
                    )
                ]
            )
        assert len(look(store, "watrewoks")) == 8
        assert len(look(store, "waterw*")) == 8


def test_an_item_of_one_endless_word_is_indexed_and_goes():
    with closing(Store(":memory:")) as store:
        store.commit([block(1, name="x" * 255, text="y" * 16_384, tags=("z" * 32,) * 16)])
        assert look(store, "y" * 64) == ["x" * 255]


@settings(max_examples=300, deadline=None)
@given(
    st.text(st.characters(exclude_categories=()), max_size=60)
    | st.text('ab "*-:()^{}+', max_size=40)
)
def test_anything_typed_is_answered(small, words):
    found = small.search(Question(words))
    assert found.total <= 3
