"""The two CSV files of a simulation, and what their errors say."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.errors import UsageError
from meshpeer.sim.contacts import (
    ContactTime,
    Planned,
    read_contacts,
    read_messages,
    write_contacts,
    write_messages,
)

HEAD = "start_s,end_s,a,b\n"
times = st.integers(0, 10**9)
peers = st.integers(0, 10**6)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "contacts.csv"
    path.write_text(text)
    return path


def test_two_meetings_are_read(tmp_path):
    path = written(tmp_path, HEAD + "0,1080,6,17\n88.5,1092,16,26\n")
    assert read_contacts(path) == [
        ContactTime(0.0, 1080.0, 6, 17),
        ContactTime(88.5, 1092.0, 16, 26),
    ]


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("start,end,a,b\n", "line 1", "expected the columns start_s,end_s,a,b"),
        ("", "line 1", "found ''"),
        (HEAD + "0,5,1,2\nx,5,1,2\n", "line 3, column start_s", "found 'x'"),
        (HEAD + "0,nan,1,2\n", "line 2, column end_s", "expected seconds"),
        (HEAD + "0,5,-1,2\n", "line 2, column a", "whole number"),
        (HEAD + "0,5,1,2.5\n", "line 2, column b", "found '2.5'"),
        (HEAD + "9,5,1,2\n", "line 2, column end_s", "before start_s"),
        (HEAD + "0,5,1,1\n", "line 2, column b", "meets itself"),
        (HEAD + "0,5,1\n", "line 2", "3 columns, expected 4"),
    ],
)
def test_a_mistake_is_named_by_line_and_column(tmp_path, text, where, what):
    with pytest.raises(UsageError) as caught:
        read_contacts(written(tmp_path, text))
    assert where in str(caught.value)
    assert what in str(caught.value)
    assert "contacts.csv" in str(caught.value)


def test_a_missing_or_binary_file_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="cannot read"):
        read_contacts(tmp_path / "nowhere.csv")
    (tmp_path / "noise.csv").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(UsageError, match="not a CSV file"):
        read_messages(tmp_path / "noise.csv")


@given(st.lists(st.tuples(times, times, peers, peers)))
def test_contacts_survive_writing_and_reading(tmp_path_factory, rows):
    contacts = [
        ContactTime(float(start), float(start + length), a, a + b + 1)
        for start, length, a, b in rows
    ]
    out = io.StringIO()
    write_contacts(contacts, out)
    path = tmp_path_factory.mktemp("csv") / "contacts.csv"
    path.write_text(out.getvalue())
    assert read_contacts(path) == contacts


def test_messages_survive_writing_and_reading(tmp_path):
    messages = [Planned(181.0, 16, 6, 53_874, 84_660.0, "m0000")]
    path = tmp_path / "workload.csv"
    with path.open("w") as out:
        write_messages(messages, out)
    assert path.read_text() == (
        "created_s,src,dst,size_bytes,ttl_s,id\n181,16,6,53874,84660,m0000\n"
    )
    assert read_messages(path) == messages
