"""Id text: what a person may type, and what is caught for sure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.identity.idtext import decode, encode
from meshpeer.errors import LocalProtocolError, UsageError

ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
IDS = [bytes(32), b"\xff" * 32, bytes(range(32)), bytes(range(224, 256))]


@given(st.binary(min_size=32, max_size=32))
def test_an_id_survives_its_text(identity):
    text = encode(identity)
    assert decode(text) == identity
    assert len(text) == 69
    assert [len(group) for group in text.split("-")] == [4] * 14


@given(st.binary(min_size=32, max_size=32))
def test_case_spaces_and_dashes_are_forgiven(identity):
    text = encode(identity)
    for typed in (text.upper(), text.replace("-", ""), f"  {text.replace('-', '  ')}\n"):
        assert decode(typed) == identity


@pytest.mark.parametrize("identity", IDS)
def test_every_single_wrong_character_is_caught(identity):
    letters = encode(identity).replace("-", "")
    for place, right in enumerate(letters):
        for wrong in ALPHABET:
            if wrong != right:
                with pytest.raises(UsageError, match="typing error"):
                    decode(letters[:place] + wrong + letters[place + 1 :])


@pytest.mark.parametrize("identity", IDS)
def test_every_swap_of_neighbours_is_caught(identity):
    letters = encode(identity).replace("-", "")
    for place in range(len(letters) - 1):
        one, other = letters[place], letters[place + 1]
        if one != other:
            with pytest.raises(UsageError, match="typing error"):
                decode(letters[:place] + other + one + letters[place + 2 :])


@given(
    st.binary(min_size=32, max_size=32),
    st.integers(0, 55),
    st.text(ALPHABET, min_size=1, max_size=4),
)
def test_up_to_four_wrong_characters_in_a_row_are_caught(identity, place, typed):
    letters = encode(identity).replace("-", "")
    changed = (letters[:place] + typed + letters[place + len(typed) :])[:56]
    if changed != letters:
        with pytest.raises(UsageError, match="typing error"):
            decode(changed)


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ("", "0 characters"),
        ("abcd", "4 characters"),
        ("a" * 57, "57 characters"),
        ("abc0", "'0', character 4 of the id, is in no id; did you mean o"),
        ("ab-c1", "character 4 of the id, is in no id; did you mean l or i"),
        ("abcd_efgh", "'_', character 5"),
    ],
)
def test_what_is_wrong_is_said(typed, complaint):
    with pytest.raises(UsageError, match=complaint):
        decode(typed)


@given(st.text(max_size=80))
def test_any_other_text_is_a_usage_error(text):
    with pytest.raises(UsageError):
        decode(text)


def test_only_32_bytes_are_an_id():
    with pytest.raises(LocalProtocolError):
        encode(bytes(31))
