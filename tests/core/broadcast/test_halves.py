"""The sending and the receiving half, each by itself: when, how much, how long, and bounds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshpeer.core.broadcast import symbol
from meshpeer.core.broadcast.code import Encoder
from meshpeer.core.broadcast.gathering import (
    ENOUGH,
    GATHER_S,
    LONGEST_S,
    Gathering,
    Rank,
    worth,
)
from meshpeer.core.broadcast.giving import LIMIT_EXTRA, LIMIT_FACTOR, Giving
from meshpeer.core.broadcast.givings import (
    BACKLOG,
    LEFT_OUT_S,
    LEFT_OUT_SILENT_S,
    MAX_ACTIVE,
    WAIT_S,
)
from meshpeer.core.broadcast.pace import FASTER, SLOWEST, Pace
from meshpeer.core.broadcast.sessions import Missing
from meshpeer.core.broadcast.taking import QUIET_S, Taking
from meshpeer.core.broadcast.takings import (
    EARLY_LIMIT,
    EARLY_S,
    NEIGHBOUR_LIMIT,
    TAKINGS_LIMIT,
)
from meshpeer.core.link.path import Traits
from tests.core.broadcast.ears import AIR, TRAITS, Ears, announced

ID = b"i" * 32
FAST = Traits(rate=54e6)
SLOW = Traits(rate=6e6)


def packets(told, numbers, left=lambda number: 0):
    """Symbols of a transfer, with what they say of how many follow."""
    encoder = Encoder(bytes(told.size), told.symbol_size, told.transfer)
    cipher = Giving(told, bytes(told.size), AIR, Rank(0, 0), 0.1, 0.0)._cipher
    return [
        symbol.pack(cipher, told.transfer, n, left(n), encoder.symbol(n)) for n in numbers
    ]


# ---- when


@pytest.mark.parametrize(
    ("copies", "for_all", "answer"),
    [
        ([SLOW], SLOW, False),
        ([SLOW, SLOW], SLOW, True),
        ([FAST, FAST, FAST], SLOW, False),
        ([FAST] * 13, SLOW, True),
        ([FAST, SLOW, SLOW], SLOW, True),
        ([Traits()] * (ENOUGH - 1), Traits(), False),
        ([Traits()] * ENOUGH, Traits(), True),
        ([Traits()] * ENOUGH, SLOW, True),
    ],
)
def test_a_broadcast_has_to_save_time_of_the_air(copies, for_all, answer):
    assert worth(copies, for_all) is answer


@pytest.mark.parametrize(
    ("waited", "undecided", "busy", "answer"),
    [
        (0, False, False, True),
        (0, False, True, True),
        (0, True, False, False),
        (GATHER_S, True, False, True),
        (GATHER_S, True, True, False),
        (LONGEST_S, True, True, True),
    ],
)
def test_others_are_waited_for_while_that_may_pay(waited, undecided, busy, answer):
    gathering = Gathering(ID, AIR, Rank(0, 1), 10.0)
    assert gathering.ready(undecided, busy, 10.0 + waited) is answer


def test_all_answered_so_it_begins_at_once_and_each_is_told():
    ears = Ears()
    ears.wish(ID, b"a", b"b", b"c")
    out = ears.broadcast.outgoing(0.0)
    assert [peer for peer, _ in ears.announced] == [b"a", b"b", b"c"]
    assert len({told for _, told in ears.announced}) == 1
    assert out
    assert out[0].path == AIR


def test_nobody_else_may_want_it_so_nobody_waits():
    ears = Ears()
    ears.wish(ID, b"a")
    assert ears.by_link == [(b"a", ID)]
    assert ears.broadcast.next_wakeup() is None


def test_one_wish_waits_for_others_that_say_no():
    ears = Ears()
    ears.offers[ID] = {b"b", b"c"}
    ears.wish(ID, b"a")
    assert ears.pass_time(GATHER_S / 2) == []
    ears.offers[ID] = set()
    ears.givings.stir()
    ears.broadcast.outgoing(ears.now)
    assert ears.by_link == [(b"a", ID)]


def test_one_wish_waits_no_longer_than_it_should_for_silent_ones():
    ears = Ears()
    ears.offers[ID] = {b"b", b"c"}
    ears.wish(ID, b"a")
    ears.pass_time(GATHER_S + 0.1)
    assert ears.by_link == [(b"a", ID)]
    assert ears.announced == []


def test_a_wire_that_is_gone_sends_each_to_its_link():
    ears = Ears()
    ears.wires[ID] = None
    ears.wish(ID, b"a", b"b")
    ears.broadcast.outgoing(0.0)
    assert ears.by_link == [(b"a", ID), (b"b", ID)]


def test_what_is_urgent_overtakes():
    ears = Ears()
    for n in range(2):
        ears.wish(bytes((n,)) * 32, b"a", b"b")
    ears.pass_time(0.01)
    assert len(ears.givings) == 1  # the other waits until most of it is out
    ears.wish(ID, b"a", b"b", after=-2)
    before = ears.announced[-1][1].transfer
    out = ears.pass_time(0.05)
    urgent = ears.announced[-1][1].transfer
    assert urgent != before
    assert {symbol.parse(packet)[0] for packet in out} == {urgent}


# ---- how much and how fast


def test_the_pace_leaves_a_part_of_the_medium_to_others():
    ears = Ears()
    ears.wish(ID, b"a", b"b", size=300_000)
    out = ears.pass_time(0.2)
    assert 0.6 < sum(map(len, out)) * 8 / 0.2 / 6e6 < 0.8


def test_much_loss_slows_it_down_and_none_brings_it_back():
    pace = Pace(SLOW, 0.0)
    fast = pace.packet_s
    for _ in range(20):
        pace.learn([0.6, 0.5], 100, 0.0)
    assert pace.packet_s == pytest.approx(fast / SLOWEST)
    assert pace.loss > 0.4
    for _ in range(20):
        pace.learn([], 100, 0.0)
    assert pace.packet_s == fast
    assert pace.loss < 0.25


def test_an_unknown_medium_is_tried_faster_while_nothing_is_lost():
    pace = Pace(Traits(), 0.0)
    careful = pace.packet_s
    for _ in range(3):
        pace.learn([], 100, 0.0)
    assert pace.packet_s == careful / 8
    for _ in range(20):
        pace.learn([], 100, 0.0)
    assert pace.packet_s == careful / FASTER
    for _ in range(6):
        pace.learn([0.1], 100, 0.0)
    assert pace.packet_s == careful
    pace.learn([0.1], 100, 0.0)
    assert pace.packet_s == careful


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"a", b"b", b"x"]),
            st.integers(0, 2**64),
            st.integers(0, 2**64),
        )
    )
)
@settings(max_examples=200)
def test_no_answers_make_a_sender_send_more_than_twice_the_bundle(answers):
    told = announced()
    giving = Giving(told, bytes(told.size), AIR, Rank(0, 0), 0.1, 0.0)
    giving.join(b"a")
    giving.join(b"b")
    sent = 0
    for peer, missing, through in [(b"a", 0, 0), *answers]:
        giving.lacks(peer, Missing(told.transfer, missing, through))
        while giving.sending:
            giving.packet(1.0)
            sent += 1
    assert sent <= LIMIT_FACTOR * giving.count + LIMIT_EXTRA


def test_an_answer_makes_so_many_follow_as_are_lacking_and_no_more():
    told = announced()
    giving = Giving(told, bytes(told.size), AIR, Rank(0, 0), 0.2, 0.0)
    for peer in (b"a", b"b", b"c"):
        giving.join(peer)
    while giving.sending:
        giving.packet(0.0)
    end = giving.until
    assert giving.lacks(b"a", Missing(told.transfer, 8, end))
    assert end + 8 < giving.until < end + 20
    further = giving.until
    assert giving.lacks(b"b", Missing(told.transfer, 5, end))  # they cross: no more
    assert giving.until == further
    assert not giving.lacks(b"c", Missing(told.transfer, giving.count + 1, end))
    assert not giving.lacks(b"x", Missing(told.transfer, 5, end))


def test_who_heard_nothing_more_is_sent_so_many_again():
    told = announced()
    giving = Giving(told, bytes(told.size), AIR, Rank(0, 0), 0.2, 0.0)
    giving.join(b"a")
    giving.packet(0.0)
    first = giving.until
    assert giving.lacks(b"a", Missing(told.transfer, giving.count, 0))
    assert giving.until == first  # there is more on its way
    while giving.sending:
        giving.packet(0.0)
    assert giving.lacks(b"a", Missing(told.transfer, 3, first))
    while giving.sending:
        giving.packet(0.0)
    end = giving.until
    assert giving.lacks(b"a", Missing(told.transfer, 3, first))  # it is old
    assert giving.until == end
    assert giving.lacks(b"a", Missing(told.transfer, 3, 0))
    assert end + 3 < giving.until < end + 9


def test_on_a_slow_medium_the_next_begins_when_its_first_symbol_is_near():
    ears = Ears(traits=TRAITS._replace(rate=9_600.0))
    ears.wish(ID, b"a", b"b", size=30_000)
    ears.pass_time(1)
    ears.wish(b"j" * 32, b"a", b"b", size=30_000)
    while len(ears.givings) == 1:
        ears.pass_time(0.5)
    first, second = ears.givings._givings.values()
    assert first.until - first.next <= 1
    assert second.next == 0


def test_who_asks_for_little_and_often_is_left_to_its_link():
    ears = Ears()
    ears.wish(ID, b"a", b"b")
    ears.pass_time(1.0)
    ears.givings.settled(b"b", ID, failed=False, now=ears.now)
    (told,) = {told for _, told in ears.announced}
    for _ in range(400):
        ears.givings.lacks(b"a", Missing(told.transfer, 1, 0))
        ears.pass_time(0.5)
    assert ears.over == [(b"a", told.transfer)]
    assert ears.broadcast.counters["broadcast missing"] > 0


def test_the_next_begins_when_most_of_the_one_before_is_out():
    ears = Ears()
    for n in range(20):
        ears.wish(bytes((n,)) * 32, b"a", b"b", size=60_000)
    most = 0
    for _ in range(100):
        ears.pass_time(0.02)
        most = max(most, len(ears.givings))
    assert most == MAX_ACTIVE
    waiting = sum(giving.until - giving.next for giving in ears.givings._givings.values())
    assert waiting <= BACKLOG + 60


def test_who_falls_silent_is_told_and_left_out_for_a_while():
    ears = Ears()
    ears.wish(ID, b"a", b"b")
    ears.pass_time(1.0)
    ears.givings.settled(b"a", ID, failed=False, now=ears.now)
    ears.pass_time(WAIT_S + 1)
    assert [peer for peer, _ in ears.over] == [b"b"]
    assert len(ears.givings) == 0
    other = b"j" * 32
    ears.wish(other, b"b", b"a")
    assert ears.by_link == [(b"b", other), (b"a", other)]
    ears.now += LEFT_OUT_SILENT_S
    ears.wish(b"k" * 32, b"b", b"a")
    ears.broadcast.outgoing(ears.now)
    assert [peer for peer, _ in ears.announced[-2:]] == [b"b", b"a"]


def test_who_got_false_bytes_is_left_out_for_longer():
    ears = Ears()
    ears.wish(ID, b"a", b"b")
    ears.pass_time(1.0)
    ears.givings.settled(b"a", ID, failed=True, now=ears.now)
    ears.now += LEFT_OUT_SILENT_S + 1
    ears.wish(b"j" * 32, b"a", b"b")
    assert (b"a", b"j" * 32) in ears.by_link
    ears.now += LEFT_OUT_S
    ears.wish(b"k" * 32, b"a", b"b")
    assert (b"a", b"k" * 32) not in ears.by_link


# ---- receiving


def take(told, numbers, left, seconds=0.002, pace=0.0):
    """A receiver to which these came in even time; and when the last did."""
    taking = Taking(told, b"s", 0, lambda size: b"\x80" * size, 0.0, pace)
    now = 0.0
    for packet, number in zip(packets(told, numbers, left), numbers, strict=True):
        now = number * seconds
        taking.receive(number, packet, now)
    return taking, now


def test_nothing_is_said_before_the_last_is_out_and_then_once():
    taking, now = take(announced(), range(0, 60, 2), lambda n: 89 - n)
    end = 90 * 0.002
    assert taking.answer(now) is None
    assert taking.answer(end - 0.01) is None
    assert taking.answer(end + 0.06) == Missing(announced().transfer, 72 - 30, 90)
    assert taking.answer(end + 0.5) is None
    again = taking.answer(end + 0.7)  # all that was sent for it may be lost
    assert again == Missing(announced().transfer, 72 - 30, 0)
    assert taking.answer(end + 1.5) is None
    assert taking.answer(end + 1.8) == again


def test_who_hears_that_more_follows_keeps_silent_till_then():
    taking, _ = take(
        announced(), [*range(0, 60, 2), 60], lambda n: 20 if n == 60 else 59 - n
    )
    assert taking.answer(0.06 * 2 + 0.03) is None
    assert taking.answer(81 * 0.002 + 0.07).through == 81


def test_a_slow_medium_is_given_its_time():
    taking, now = take(announced(), range(0, 40, 2), lambda n: 89 - n, 4.0, 4.0)
    assert taking.answer(now + 100) is None
    assert not taking.given_up(now + QUIET_S + 1)
    assert not taking.given_up(now + 31 * 4.0)
    assert taking.given_up(now + 33 * 4.0)


def test_a_sender_that_slows_down_is_waited_for_no_longer():
    taking, now = take(announced(), range(0, 40, 2), lambda n: 89 - n, 4.0)
    assert taking.given_up(now + QUIET_S)


def test_silence_ends_a_transfer():
    ears = Ears()
    assert ears.takings.announced(b"s", 0, announced(), 0.0)
    ears.broadcast.wake(QUIET_S - 0.1)
    assert ears.said[0] == (b"s", Missing(announced().transfer, 72, 0))
    assert len(ears.takings) == 1
    ears.broadcast.wake(QUIET_S)
    (taken,) = ears.takings.collect(b"s")
    assert taken.wire is None
    assert len(ears.takings) == 0


def test_symbols_that_come_before_their_announcement_are_not_lost():
    ears, told = Ears(), announced()
    for packet in packets(told, range(72)):
        ears.broadcast.receive(packet, 0.0)
    ears.takings.announced(b"s", 3, told, 1.0)
    (taken,) = ears.takings.collect(b"s")
    assert taken[:3] == (told.id, 3, bytes(told.size))


def test_what_came_before_any_announcement_is_bounded_and_forgotten():
    ears = Ears()
    for n in range(3 * EARLY_LIMIT):
        ears.broadcast.receive(packets(announced(n % 7), [n % 50])[0], 0.0)
    assert len(ears.takings._early) == EARLY_LIMIT
    ears.broadcast.wake(EARLY_S)
    assert len(ears.takings._early) == 0
    assert ears.broadcast.next_wakeup() is None


def test_a_transfer_under_the_number_and_key_of_another_takes_nothing_from_it():
    ears, told = Ears(), announced()
    ears.takings.announced(b"m", 0, told._replace(id=b"false" + bytes(27)), 0.0)
    ears.takings.announced(b"s", 0, told, 0.0)
    for packet in packets(told, range(72)):
        ears.broadcast.receive(packet, 0.0)
    (taken,) = ears.takings.collect(b"s")
    assert taken.wire == bytes(told.size)


def test_the_age_counts_from_when_the_wire_was_written():
    ears, told = Ears(), announced(elapsed=30)
    ears.takings.announced(b"s", 0, told, 100.0)
    for packet in packets(told, range(72)):
        ears.broadcast.receive(packet, 101.0)
    (taken,) = ears.takings.collect(b"s")
    assert taken.since == 70.0


def test_transfers_are_bounded_for_each_neighbour_and_in_all():
    ears = Ears()
    answers = [
        ears.takings.announced(bytes((n % 9,)), n, announced(n, 327_000), 0.0)
        for n in range(90)
    ]
    assert answers[:9] == [True] * 9
    assert sum(answers) * 327_000 <= TAKINGS_LIMIT
    alone = Ears()
    taken = [alone.takings.announced(b"s", n, announced(n, 327_000), 0.0) for n in range(9)]
    assert sum(taken) * 327_000 <= NEIGHBOUR_LIMIT
    alone.takings.left(b"s")
    assert alone.takings.announced(b"s", 0, announced(50), 0.0)


def test_wires_that_nobody_collects_count_as_well():
    ears = Ears()
    for n in range(20):
        told = announced(n)
        if ears.takings.announced(b"s", n, told, 0.0):
            for packet in packets(told, range(72)):
                ears.broadcast.receive(packet, 0.0)
    assert len(ears.takings) == 0
    assert len(ears.takings.collect(b"s")) * 100_000 <= NEIGHBOUR_LIMIT
    assert ears.takings.announced(b"s", 0, announced(99), 0.0)
