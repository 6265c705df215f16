"""Names, tags and texts: what people write is taken, what acts on a screen is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.formats.card import nickname_fault
from meshpeer.core.formats.words import (
    MAX_NAME,
    language_fault,
    media_type_fault,
    name_fault,
    shows,
    tags_fault,
    text_fault,
)


@pytest.mark.parametrize(
    "name",
    [
        "holiday.jpg",
        ".profile",
        "what? a:b <c>",
        "Füße",
        "\u0646\u0627\u0645\u0647\u200c\u0627\u06cc",
        "\U0001f469\u200d\U0001f680",
        "\u5c71" * 85,
    ],
)
def test_names_that_people_give(name):
    assert name_fault(name) == ""


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty"),
        (".", "dots"),
        ("..", "dots"),
        (" a", "spaces"),
        ("a\u3000", "spaces"),
        ("a/b", "slash"),
        ("a\nb", "show"),
        ("\u202eb", "show"),
        ("\ud800", "show"),
        ("\u5c71" * 86, "258 bytes"),
    ],
)
def test_names_that_are_refused_and_why(name, why):
    assert why in name_fault(name)


@given(st.text(max_size=12))
def test_a_nickname_shows_and_so_does_whatever_may_stand_in_a_name(text):
    if not nickname_fault(text):
        assert shows(text)
    if shows(text):
        assert not any(
            ord(letter) < 32 or 0x202A <= ord(letter) <= 0x202E for letter in text
        )


@given(st.text(max_size=300))
def test_a_name_without_fault_is_one_part_of_a_path(name):
    if not name_fault(name):
        assert 0 < len(name.encode()) <= MAX_NAME
        assert "/" not in name
        assert "\0" not in name


def test_tags_languages_and_media_types():
    assert tags_fault(("one", "two words", "\u00fcber")) == ""
    assert "not up to 16 different" in tags_fault(("a", "a"))
    assert "'a\\tb'" in tags_fault(("a\tb",))
    assert language_fault("") == language_fault("en") == language_fault("zh-Hant-TW") == ""
    assert "such as en" in language_fault("English")
    assert media_type_fault("") == media_type_fault("image/svg+xml") == ""
    assert "lower case" in media_type_fault("Image/PNG")


def test_a_text_has_lines_and_tabs_and_no_other_controls():
    assert text_fault("one\n\ttwo \u200f\u0634", 100) == ""
    for control in "\0\x07\x08\x0b\r\x1b\x7f\x9b\u2028\ud800":
        assert "control" in text_fault(f"a{control}b", 100)
    assert text_fault("\u00e4\u00e4", 3) == "has 4 bytes, limit 3"
