import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from meshpeer.core.sync import sorted_set
from meshpeer.core.sync.sorted_set import SortedSet

NUMBERS = st.integers(0, 3)
IDS = st.integers(0, 40).map(lambda n: n.to_bytes(2, "little") * 8)


class LikeAPlainSet(RuleBasedStateMachine):
    """Whatever is added and taken out, it is what sorted() gives."""

    def __init__(self):
        super().__init__()
        self.ours, self.plain = SortedSet(16), set()

    @rule(number=NUMBERS, id=IDS)
    def add(self, number, id):
        assert self.ours.add(number, id) == ((number, id) not in self.plain)
        self.plain.add((number, id))

    @rule(number=NUMBERS, id=IDS)
    def discard(self, number, id):
        assert self.ours.discard(number, id) == ((number, id) in self.plain)
        self.plain.discard((number, id))

    @invariant()
    def the_same_order(self):
        expected = sorted(self.plain)
        assert list(self.ours) == expected
        assert list(reversed(self.ours)) == expected[::-1]
        assert [self.ours[place] for place in range(len(self.ours))] == expected

    @rule(number=NUMBERS, id=IDS, start=st.integers(0, 80), end=st.integers(0, 80))
    def the_same_ranges(self, number, id, start, end):
        expected = sorted(self.plain)
        assert self.ours.index(number, id) == sum(one < (number, id) for one in expected)
        end = min(end, len(expected))
        start = min(start, end)
        ids = [id for _, id in expected[start:end]]
        assert self.ours.ids(start, end) == ids
        total = sum(int.from_bytes(id, "little") for id in ids) % 2**128
        assert self.ours.sum(start, end) == total


@pytest.fixture(autouse=True, scope="module")
def small_blocks():
    """Blocks of 4, so that a few items already halve and join them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorted_set, "BLOCK", 4)
        yield


LikeAPlainSet.TestCase.settings = settings(max_examples=40, deadline=None)
TestLikeAPlainSet = LikeAPlainSet.TestCase


@given(st.sets(st.tuples(NUMBERS, IDS)))
@settings(max_examples=50)
def test_built_at_once_or_one_by_one_it_is_the_same(items):
    grown = SortedSet(16)
    for item in items:
        grown.add(*item)
    assert list(SortedSet(16, items)) == list(grown)
    assert SortedSet(16, items).sum(0, len(items)) == grown.sum(0, len(items))


def test_a_place_outside_is_an_index_error():
    with pytest.raises(IndexError):
        SortedSet()[0]
