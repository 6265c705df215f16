"""What is found for which words, in which order, and what the index does when items go."""

from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshpeer.core.chain_writes import DropBody, DropLog
from meshpeer.core.chains.question import Question
from meshpeer.core.file_writes import PutFile
from meshpeer.errors import StoreError, UsageError
from store import search, search_index
from store.store import Store
from tests.store.searching import ANNA, BOB, CARLA, DAN, block, look, names

WORDS = ("water", "well", "pump", "repair", "spring", "hills")


@pytest.fixture
def store():
    with closing(Store(":memory:")) as store:
        yield store


@pytest.fixture
def library(store):
    store.commit(
        [
            block(1, name="The old well", text="Water from the hills, cold and clear."),
            block(
                2,
                BOB,
                name="Pump repair",
                text="How to repair a water pump",
                tags=("water",),
            ),
            block(
                3, BOB, name="Café menu", text="Soup, bread, spring water", language="pt-BR"
            ),
            block(
                4,
                CARLA,
                name="Waterfall",
                kind="file",
                media_type="image/png",
                size=200_000,
            ),
            block(
                5,
                CARLA,
                name="検索の本",
                text="日本語の検索エンジンを作る",
                kind="file",
                size=50,
            ),
        ]
    )
    return store


def test_all_words_must_be_there(library):
    assert look(library, "water hills") == ["The old well"]
    assert look(library, "pump hills") == []


def test_a_prefix_finds_what_begins_so(library):
    assert set(look(library, "wat*")) == {
        "The old well",
        "Pump repair",
        "Café menu",
        "Waterfall",
    }
    assert look(library, "waterf*") == ["Waterfall"]


def test_quotes_keep_words_together(library):
    assert look(library, '"water pump"') == ["Pump repair"]
    assert look(library, '"pump water"') == []


def test_a_word_with_something_inside_is_a_phrase(library):
    assert look(library, "water-pump") == ["Pump repair"]


def test_a_minus_leaves_out(library):
    assert set(look(library, "water -repair")) == {"The old well", "Café menu"}
    assert set(look(library, '-"spring water" -well -検索')) == {"Pump repair", "Waterfall"}


def test_accents_and_case_do_not_matter(library):
    assert look(library, "CAFE") == look(library, "café") == ["Café menu"]


def test_languages_without_spaces_are_found_by_any_part(library):
    assert (
        look(library, "検索")
        == look(library, "エンジン")
        == look(library, "本")
        == ["検索の本"]
    )
    assert look(library, "索検") == []


@pytest.mark.parametrize("typed", ["watre", "wter", "wwater", "wager", "waterr"])
def test_a_typing_error_is_forgiven_and_said(library, typed):
    found = library.search(Question(f"{typed} repair"))
    assert names(found) == ["Pump repair"]
    assert "water" in found.spellings[typed]


def test_two_errors_are_forgiven_in_a_long_word(store):
    store.commit([block(1, name="Photovoltaics")])
    assert look(store, "fotovoltaiks") == []
    assert look(store, "photovotlaicz") == ["Photovoltaics"]


def test_short_words_and_numbers_are_taken_as_they_are(store):
    store.commit([block(1, name="cat 1234")])
    assert look(store, "cit") == look(store, "1235") == []


def test_what_was_asked_for_comes_before_what_was_perhaps_meant(store):
    store.commit(
        [block(1, name="form"), block(2, name="farm farm"), block(3, name="farms")]
    )
    assert look(store, "form")[0] == "form"
    assert set(look(store, "form")) == {"form", "farm farm"}


def test_a_word_that_is_found_often_is_not_spelled_otherwise(store):
    store.commit(
        [block(n, name=f"form {n}") for n in range(1, 10)] + [block(20, name="farm")]
    )
    found = store.search(Question("form"))
    assert "farm" not in names(found)
    assert not found.spellings


def test_name_and_tags_weigh_more_and_the_newest_comes_first_among_equals(store):
    store.commit(
        [
            block(1, name="water"),
            block(2, name="a", text="water"),
            block(3, name="b", text="water"),
            block(4, name="c", tags=("water",)),
        ]
    )
    assert look(store, "water") == ["water", "c", "b", "a"]


def test_a_word_said_often_weighs_more(store):
    store.commit(
        [
            block(1, name="much", text="water, water everywhere, water"),
            block(2, name="little", text="water, and so on and so"),
        ]
    )
    assert look(store, "water") == ["much", "little"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"kinds": ("file",)}, ["検索の本", "Waterfall"]),
        ({"kinds": ("file", "post"), "authors": (BOB,)}, ["Café menu", "Pump repair"]),
        ({"authors": (DAN,)}, []),
        ({"authors": (b"short",)}, []),
        ({"tags": ("Water",)}, ["Pump repair"]),
        ({"tags": ("water", "none")}, []),
        ({"languages": ("pt",)}, ["Café menu"]),
        ({"languages": ("pt-BR",)}, ["Café menu"]),
        ({"languages": ("pt-PT",)}, []),
        ({"media_types": ("image",)}, ["Waterfall"]),
        ({"media_types": ("image/png",)}, ["Waterfall"]),
        ({"media_types": ("image/jpeg",)}, []),
        ({"smallest": 51}, ["Waterfall"]),
        ({"smallest": 1, "largest": 50}, ["検索の本"]),
        ({"smallest": 500, "largest": 400}, []),
        ({"largest": 2**80}, 5),
        ({"smallest": 2**80}, []),
        ({"since": -(2**80), "until": 2**80}, 5),
        ({"since": 1}, []),
    ],
)
def test_each_filter_leaves_what_fits_it(library, filters, expected):
    found = look(library, **filters)
    assert found == expected or len(found) == expected


def test_a_filter_can_not_be_had_by_writing_it(library):
    for mark in ("k_post", "x_x", "k post", "a_1"):
        assert look(library, f'"{mark}"') == []


def test_what_is_held_here_can_be_asked_for(store):
    whole, part = bytes(32), b"p" * 32
    store.commit(
        [
            block(1, name="whole", kind="file", file=whole),
            block(2, name="part", kind="file", file=part),
            block(3, name="nothing", kind="file", file=b"n" * 32),
            PutFile(whole, b"w" * 16, 1, b"", None),
            PutFile(part, b"p" * 16, 1, b"", b"\0"),
        ]
    )
    assert look(store, held=True) == ["whole"]


def test_facets_count_all_hits(library):
    facets = library.search(Question("water*"), limit=1).facets
    assert dict(facets.kinds) == {"post": 3, "file": 1}
    assert dict(facets.tags) == {"water": 1}
    assert dict(facets.authors) == {ANNA: 1, BOB: 2, CARLA: 1}
    assert dict(facets.languages) == {"pt-BR": 1}
    assert dict(facets.media_types) == {"image/png": 1}
    assert dict(facets.sizes) == {0: 3, 2: 1}


def test_pages_follow_each_other_though_new_items_come(store):
    store.commit([block(n, name=f"water {n}") for n in range(1, 8)])
    seen, after = [], None
    for number in range(10, 20):
        page = store.search(Question("water"), after=after, limit=3)
        seen += names(page)
        store.commit([block(number, name="water new")])
        after = page.after
        if after is None:
            break
    assert seen == [f"water {n}" for n in range(7, 0, -1)]


@pytest.mark.parametrize(
    "after", ["", "x", "1", "1.", "-1.2", "1.2.3", "9" * 40 + ".1", "٣.٣"]
)
def test_what_is_no_cursor_is_refused(library, after):
    with pytest.raises(UsageError):
        library.search(Question("water"), after=after)


def test_a_cursor_beyond_the_end_gives_an_empty_page(library):
    assert names(library.search(Question("water"), after="3.999")) == []


def test_more_hits_than_are_counted_are_said_to_be_more(store, monkeypatch):
    monkeypatch.setattr(search, "RANKED", 5)
    store.commit([block(n, name=f"water {n}") for n in range(1, 20)])
    found = store.search(Question("water"))
    assert (found.total, found.more) == (5, True)
    assert names(found) == [f"water {n}" for n in range(19, 14, -1)]


def test_ranking_goes_on_below_those_whose_texts_are_read(store, monkeypatch):
    monkeypatch.setattr(search, "WEIGHED", 2)
    items = [block(n, name=f"text {n}", text="water") for n in range(1, 10)]
    store.commit(
        [*items, block(10, name="water"), *[block(n, text="water") for n in (11, 12)]]
    )
    assert look(store, "water")[0] == "water"


def test_a_search_that_is_out_of_time_says_so(store, monkeypatch):
    monkeypatch.setattr(search, "FIRST_SPAN", 4)
    monkeypatch.setattr(search, "QUICK", -1)
    store.commit([block(n, name=f"water {n}") for n in range(1, 20)])
    ticks = iter(range(1000))
    found = store.search(Question("water"), seconds=6, clock=lambda: next(ticks))
    assert found.partial
    assert 0 < found.total < 19
    assert names(found)[0] == "water 19"


def test_a_dropped_body_is_found_no_more(library):
    library.commit([DropBody((2).to_bytes(32, "big"))])
    assert "Pump repair" not in look(library, "water")
    assert look(library, "repair") == []
    check(library)


def test_a_dropped_log_is_found_no_more(library):
    library.commit([DropLog(BOB, BOB[:16])])
    assert set(look(library)) == {"The old well", "Waterfall", "検索の本"}
    check(library)


def test_a_body_that_comes_back_is_found_again(library):
    again = block(2, BOB, name="Pump repair", text="How to repair a water pump")
    library.commit([DropBody(again.id)])
    library.commit([again])
    assert look(library, "repair") == ["Pump repair"]
    check(library)


def test_an_item_that_comes_and_goes_in_one_batch_leaves_nothing(store):
    store.commit([block(1, name="water"), DropBody((1).to_bytes(32, "big"))])
    assert look(store, "water") == []
    check(store)


def test_a_batch_undone_leaves_no_words(tmp_path):
    with closing(Store(tmp_path / "db")) as store:
        store.commit([block(1, name="water")])
        broken = block(2, name="spring")._replace(received_wall=2**70)
        with pytest.raises(StoreError):
            store.commit([broken])
        assert look(store, "spring") == []
        store.commit([block(3, name="spring")])
        assert look(store, "sprnig") == ["spring"]
        check(store)


def test_what_was_indexed_otherwise_is_indexed_anew(tmp_path):
    with closing(Store(tmp_path / "db")) as store:
        store.commit([block(n, name=f"water {n}") for n in range(1, 10)])
        store._db.conn.execute("UPDATE search_state SET folding = 'older'")
    with closing(Store(tmp_path / "db")) as store:
        assert len(look(store, "wtaer")) == 9
        store.commit([DropBody((1).to_bytes(32, "big"))])
        check(store)


def test_a_database_without_an_index_gets_one(tmp_path, monkeypatch):
    monkeypatch.setattr(search_index, "AT_ONCE", 4)
    with closing(Store(tmp_path / "db")) as store:
        store.commit([block(n, name=f"water {n}") for n in range(1, 10)])
        for table in ("text", "facet", "word", "near", "state"):
            store._db.conn.execute(f"DROP TABLE search_{table}")
    with closing(Store(tmp_path / "db")) as store:
        assert len(look(store, "water")) == 9


def test_the_vocabulary_is_bounded_and_whole_words_are_found_beyond_it(store, monkeypatch):
    monkeypatch.setattr(search_index, "VOCABULARY", 50)
    for n in range(1, 40):
        store.commit([block(n, name=" ".join(f"word{n}x{m}" for m in range(20)))])
        (many,) = store._one("SELECT count(*) FROM search_word")
        assert many <= 50
    assert len(look(store, "word1x3")) == 1
    store._db.conn.execute(
        "INSERT INTO search_near(search_near) VALUES ('integrity-check')"
    )


SAID = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join)
STEPS = st.lists(st.tuples(st.integers(1, 6), st.none() | SAID), max_size=12)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.sampled_from(WORDS))
def test_the_index_is_what_the_items_are(steps, word):
    with closing(Store(":memory:")) as store:
        held: dict[int, str] = {}
        for number, text in steps:
            if text is None:
                held.pop(number, None)
                store.commit([DropBody(number.to_bytes(32, "big"))])
            else:
                held.setdefault(number, text)
                store.commit([block(number, name=str(number), text=text)])
        found = store.search(Question(f'"{word}"'))
        if not found.spellings:
            fitting = {str(n) for n, text in held.items() if word in text.split()}
            assert set(names(found)) == fitting
        check(store)


def check(store: Store) -> None:
    """The index holds exactly the items, and FTS5 finds its own tables whole."""
    run = store._db.conn.execute
    items = run("SELECT block FROM item ORDER BY block").fetchall()
    assert run("SELECT n FROM search_facet ORDER BY n").fetchall() == items
    every = "SELECT rowid FROM search_text WHERE search_text MATCH '\"x_x\"' ORDER BY rowid"
    assert run(every).fetchall() == items
    run("INSERT INTO search_text(search_text) VALUES ('integrity-check')")
