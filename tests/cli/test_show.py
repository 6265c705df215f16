"""What others wrote can not deceive the eye, and what we say of a message is never too much."""

from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.cli import show

ANY = st.text(st.characters(), max_size=60)


@given(ANY)
def test_nothing_unseen_passes(text):
    assert not any(category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in show.safe(text))


@given(ANY)
def test_lines_keep_breaks_and_joiners_only(text):
    shown = show.safe(text, lines=True)
    unseen = {c for c in shown if category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert unseen <= set("\n\t\u200c\u200d")


@given(ANY)
def test_a_list_shows_one_short_line(text):
    shown = show.first_line(text)
    assert len(shown) <= 60
    assert "\n" not in shown


def test_a_nickname_is_never_shown_like_a_petname():
    assert show.name({"petname": "bob", "nickname": "x"}) == "bob"
    assert show.name({"petname": None, "nickname": "bob"}) == "~bob"


def test_somebody_who_was_removed_is_shown_by_id():
    assert (
        show.name({"petname": None, "nickname": "", "id": "5vh2-me3p-bm6i"}) == "5vh2-me3p…"
    )


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (86_400 * 8, "8 d")]
)
def test_spans(seconds, shown):
    assert show.span(seconds) == shown


def test_a_table_stays_straight_with_emoji_and_accents_of_their_own():
    rows = [("Grüße 🎉.txt", "6 B"), ("u\u0308.txt", "2 B"), ("plain.txt", "1 B")]
    head, *lines = show.table(("name", "size"), rows)
    assert {show.columns(line[: line.index(" B") - 1]) for line in lines} == {14}
    assert head.index("size") == 14


def test_sizes():
    assert [show.size(n) for n in (0, 999, 1_500, 32e9, 5e12)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "32.0 GB",
        "5.0 TB",
    ]


def test_only_arrived_is_called_arrived():
    told = {
        "text_arrived": False,
        "carriers": [{"peer": "abcd-efgh-ijkl", "name": "~bus", "ago_s": 70}],
    }
    for state in ("queued", "carried", "recall_asked", "expired"):
        assert "has arrived" not in show.delivery(told | {"state": state})
        assert show.delivery(told | {"state": state}) != "arrived"
    assert "~bus since 1 min" in show.delivery(told | {"state": "carried"})
