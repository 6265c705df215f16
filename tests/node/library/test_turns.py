"""Who writes next: each file in turn, what came before what is copied, and nobody for ever last."""

from hypothesis import given
from hypothesis import strategies as st

from meshpeer.node.library.turns import EVERY, Turns

PUTS = st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.booleans()), max_size=40)


def taken(turns):
    return list(iter(turns.take, None))


def test_a_file_with_much_to_write_lets_others_have_their_turns():
    turns = Turns()
    for number in range(1_000):
        turns.put(b"greedy", f"greedy {number}")
    turns.put(b"modest", "modest")
    assert "modest" in [turns.take(), turns.take()]


def test_a_thousand_files_full_of_copies_let_what_came_go_first():
    turns = Turns()
    for number in range(1_000):
        for _ in range(8):
            turns.put(number.to_bytes(4), "copy", copies=True)
    turns.put(b"came", "came")
    assert "came" in [turns.take(), turns.take()]


def test_copies_have_a_turn_while_others_never_end():
    turns = Turns()
    turns.put(b"copied", "copy", copies=True)
    seen = []
    for number in range(EVERY):
        turns.put(b"endless", f"came {number}")
        turns.put(b"endless", "more")
        seen.append(turns.take())
    assert "copy" in seen


def test_what_is_dropped_is_given_back_and_not_taken():
    turns = Turns()
    turns.put(b"a", 1)
    turns.put(b"b", 2)
    turns.put(b"a", 3, copies=True)
    assert list(turns.drop(b"a")) == [1, 3]
    assert taken(turns) == [2]


@given(PUTS)
def test_all_that_was_put_is_taken_once_and_of_each_file_in_order(puts):
    turns = Turns()
    tasks = [(file, copies, number) for number, (file, copies) in enumerate(puts)]
    for task in tasks:
        turns.put(task[0], task, copies=task[1])
    out = taken(turns)
    assert sorted(out) == sorted(tasks)
    for file in (b"a", b"b", b"c"):
        mine = [task for task in out if task[0] == file]
        assert mine == sorted(mine, key=lambda task: (task[1], task[2]))
