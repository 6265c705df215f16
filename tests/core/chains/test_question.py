"""Questions as bytes: what a neighbour may ask of us, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.chains.question import LARGEST, MAX_WORDS, Question
from meshpeer.core.formats.cbor import encode
from meshpeer.errors import LocalProtocolError, RemoteProtocolError

CHOICES = st.lists(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), max_size=4
)
NUMBERS = st.none() | st.integers(0, LARGEST)
QUESTIONS = st.builds(
    Question,
    words=st.text(st.characters(codec="utf-8"), max_size=60),
    kinds=CHOICES.map(tuple),
    authors=st.lists(st.binary(min_size=32, max_size=32), max_size=3).map(tuple),
    tags=CHOICES.map(tuple),
    languages=CHOICES.map(tuple),
    media_types=CHOICES.map(tuple),
    smallest=NUMBERS,
    largest=NUMBERS,
    since=NUMBERS,
    until=NUMBERS,
    held=st.booleans(),
)


@given(QUESTIONS)
def test_parsing_undoes_encoding(question):
    assert Question.parse(question.to_bytes()) == question


@given(st.binary(max_size=300))
def test_noise_gives_a_question_or_a_protocol_error(noise):
    try:
        question = Question.parse(noise)
    except RemoteProtocolError:
        return
    assert question.to_bytes() == noise


@given(
    st.dictionaries(st.integers(-1, 12), st.integers() | st.text() | st.lists(st.text()))
)
def test_a_map_of_anything_gives_a_question_or_a_protocol_error(parts):
    try:
        noise = encode(parts)
    except LocalProtocolError:
        return
    try:
        Question.parse(noise)
    except RemoteProtocolError:
        return


@pytest.mark.parametrize(
    "parts",
    [
        {0: "a" * (MAX_WORDS + 1)},
        {0: ""},
        {1: []},
        {1: ["post"] * 17},
        {1: [""]},
        {2: [b"short"]},
        {3: ["x" * 129]},
        {6: -1},
        {6: True},
        {7: 2**63},
        {10: False},
        {11: "later"},
        {"words": "x"},
        ["words"],
        {0: "水" * MAX_WORDS},
    ],
)
def test_what_is_no_question_of_ours_is_refused(parts):
    with pytest.raises(RemoteProtocolError):
        Question.parse(encode(parts))


@pytest.mark.parametrize(
    "question",
    [
        Question("a" * (MAX_WORDS + 1)),
        Question("水" * MAX_WORDS),
        Question(tags=("",)),
        Question("\ud800"),
    ],
)
def test_what_a_neighbour_would_refuse_is_not_sent(question):
    with pytest.raises(LocalProtocolError):
        question.to_bytes()


def test_an_empty_question_asks_for_everything_in_one_byte():
    assert Question().to_bytes() == b"\xa0"
