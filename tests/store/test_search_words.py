"""How text becomes words, and how alike two words are."""

# ruff: noqa: RUF001 - words of many scripts

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.search_marked import marked
from store.search_query import MAX_PHRASE, MAX_TERMS, read
from store.search_words import (
    MAX_TEXT,
    MAX_WORD,
    distance,
    errors_forgiven,
    fold,
    mark,
    swapped,
    trigrams,
)

ANYTHING = st.text(st.characters(exclude_categories=()), max_size=200)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Clean Water, v1.2!", ["clean", "water", "v1", "2"]),
        ("snake_case", ["snake", "case"]),
        ("Café CAFE\u0301 ﬁne Straße", ["cafe", "cafe", "fine", "strasse"]),
        ("Ёж йод", ["еж", "йод"]),
        ("Άνθρωπος", ["ανθρωποσ"]),
        ("مَرْحَبًا \u202eשָׁלוֹם\u202c", ["مرحبا", "שלום"]),
        ("می\u200cخواهم", ["میخواهم"]),
        ("検索 engine", ["検", "索", "engine"]),
        ("ราคา", ["ร", "า", "ค", "า"]),
        ("한국어 검색", ["한국어", "검색"]),
        ("हिन्दी", ["हिन्दी"]),
        ("so 🎉🏽 nice", ["so", "🎉", "nice"]),
        ("\ud800half \x00nul", ["half", "nul"]),
        ("a" * 70, ["a" * 64, "a" * 6]),
        ("", []),
        ('"*-^:(){}', []),
    ],
)
def test_what_is_typed_and_what_is_indexed_fold_alike(text, words):
    assert fold(text) == words


@given(ANYTHING)
def test_words_hold_nothing_that_fts5_could_take_for_its_own(text):
    for word in fold(text):
        assert 0 < len(word) <= MAX_WORD
        assert re.fullmatch(r"(?:[a-z0-9]|[^\x00-\x7f])+", word)
        word.encode()


@given(ANYTHING)
def test_folding_what_was_folded_changes_nothing(text):
    assert fold(" ".join(fold(text))) == fold(text)


@given(ANYTHING)
def test_anything_typed_is_read_within_bounds(text):
    terms = read(text)
    assert len(terms) <= MAX_TERMS
    assert all(0 < len(term.words) <= MAX_PHRASE for term in terms)


def test_a_text_longer_than_is_indexed_is_cut():
    assert len(fold("ab " * MAX_TEXT)) <= MAX_TEXT // 3 + 1


def test_marks_are_no_words():
    assert mark("t", "Clean water!") == "t_clean_water"
    assert mark("t", "検索") == "t_検_索"
    assert fold("t_clean_water") == ["t", "clean", "water"]


def test_what_is_typed_is_read_as_terms():
    terms = read('spring "Clean  water" wat* -salt -"table salt" e-mail "open')
    said = [(term.words, term.prefix, term.without) for term in terms]
    assert said == [
        (("spring",), False, False),
        (("clean", "water"), False, False),
        (("wat",), True, False),
        (("salt",), False, True),
        (("table", "salt"), False, True),
        (("e", "mail"), False, False),
        (("open",), False, False),
    ]


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ("water", "water", 0),
        ("water", "watre", 1),
        ("water", "wate", 1),
        ("water", "waters", 1),
        ("water", "wager", 1),
        ("water", "wagre", 2),
        ("abcd", "badc", 2),
        ("water", "fire", 3),
        ("a", "abcdefgh", 3),
    ],
)
def test_the_distance_is_one_a_typing_error_and_ends_above_two(one, other, apart):
    assert distance(one, other, 2) == distance(other, one, 2) == apart


LETTERS = st.text("abc", max_size=7)


@given(LETTERS, LETTERS)
def test_distance_is_that_of_the_definition(one, other):
    def slow(i, j):
        if not i or not j:
            return i + j
        best = min(
            slow(i - 1, j) + 1,
            slow(i, j - 1) + 1,
            slow(i - 1, j - 1) + (one[i - 1] != other[j - 1]),
        )
        if i > 1 and j > 1 and one[i - 1] == other[j - 2] and one[i - 2] == other[j - 1]:
            best = min(best, slow(i - 2, j - 2) + 1)
        return best

    assert distance(one[:5], other[:5], 2) == min(3, slow(len(one[:5]), len(other[:5])))


@given(st.text("abcdefgh", min_size=4, max_size=12), st.data())
def test_one_error_leaves_a_trigram_or_is_a_swap(word, data):
    at = data.draw(st.integers(0, len(word) - 1))
    for wrong in (word[:at] + word[at + 1 :], word[:at] + "x" + word[at + 1 :]):
        assert set(trigrams(word)) & set(trigrams(wrong)) or len(word) < 5
    assert all(distance(word, other, 1) == 1 for other in swapped(word))


def test_errors_are_forgiven_by_length():
    assert [
        errors_forgiven(word) for word in ("cat", "farm", "gardens", "gardener", "1234")
    ] == [
        0,
        1,
        1,
        2,
        0,
    ]


def test_what_was_found_is_marked_within_one_line():
    text = (
        "A long story about many things. " * 10
        + "Then\nthe Wells of water\tcame. "
        + "End. " * 60
    )
    line = marked(text, read("wel* water -story"))
    assert "the «Wells» of «water» came." in line
    assert line.startswith("…")
    assert line.endswith("…")
    assert len(line) < 300


def test_a_text_without_the_words_is_shown_from_its_beginning():
    assert marked("Hello, you", read("water")) == "Hello, you"


@given(ANYTHING, ANYTHING)
def test_marking_never_fails_and_stays_short(text, words):
    assert len(marked(text, read(words))) <= 202 + 2 * 200
