"""Receipts and recalls: who knows what, and how they travel."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.formats.receipt import (
    MAX_HOURS,
    Meaning,
    ValueEntry,
    meaning,
    pack_entries,
    parse_entries,
    value_hashes,
)
from meshpeer.errors import LocalProtocolError, RemoteProtocolError

ENTRIES = st.lists(
    st.builds(ValueEntry, st.binary(min_size=16, max_size=16), st.integers(1, MAX_HOURS)),
    max_size=20,
)


def test_the_receipt_the_recall_and_nothing_else_fit_a_header():
    receipt = bytes(range(16))
    recall, header_hash = value_hashes(receipt)
    assert meaning(receipt, header_hash) is Meaning.RECEIPT
    assert meaning(recall, header_hash) is Meaning.RECALL
    assert meaning(header_hash, header_hash) is None
    assert meaning(bytes(16), header_hash) is None


@given(ENTRIES)
def test_what_is_packed_is_parsed(entries):
    assert parse_entries(pack_entries(entries)) == entries


@given(st.binary(max_size=100))
def test_noise_gives_entries_or_a_protocol_error(noise):
    try:
        entries = parse_entries(noise)
    except RemoteProtocolError:
        return
    assert pack_entries(entries) == noise


@pytest.mark.parametrize("hours", [0, MAX_HOURS + 1, 0xFFFF])
def test_hours_out_of_range_are_refused(hours):
    with pytest.raises(RemoteProtocolError, match="hours"):
        parse_entries(bytes(16) + hours.to_bytes(2, "big"))
    with pytest.raises(LocalProtocolError):
        pack_entries([ValueEntry(bytes(16), hours)])
