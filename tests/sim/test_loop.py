"""Virtual time."""

from hypothesis import given
from hypothesis import strategies as st

from meshpeer.sim.loop import Alarm, Loop


def test_things_happen_in_order_of_time_and_then_of_asking():
    loop, seen = Loop(), []
    for name, when in [("late", 2.0), ("first", 1.0), ("second", 1.0)]:
        loop.at(when, lambda name=name: seen.append((loop.now, name)))
    loop.run(until=5.0)
    assert seen == [(1.0, "first"), (1.0, "second"), (2.0, "late")]
    assert loop.now == 5.0


def test_what_is_asked_for_in_the_past_happens_now():
    loop, seen = Loop(), []
    loop.run(until=10.0)
    loop.at(3.0, lambda: seen.append(loop.now))
    loop.run()
    assert seen == [10.0]


def test_an_alarm_moved_later_rings_once_and_one_silenced_never():
    loop, rung = Loop(), []
    alarm = Alarm(loop, lambda: rung.append(loop.now))
    alarm.set(1.0)
    alarm.set(4.0)
    loop.run(until=3.0)
    assert rung == []
    loop.run(until=6.0)
    alarm.set(8.0)
    alarm.set(None)
    loop.run()
    assert rung == [4.0]


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5))))
def test_an_alarm_rings_only_at_a_time_it_was_last_set_to(steps):
    loop, rung, due = Loop(), [], None
    alarm = Alarm(loop, lambda: rung.append(loop.now))
    for delay, wait in steps:
        due = loop.now + delay
        alarm.set(due)
        before = len(rung)
        loop.run(until=loop.now + wait)
        assert rung[before:] == ([due] if due <= loop.now else [])
