"""Neighbours and strangers that forge, flood, announce and never send, or ask for ever."""

from random import Random

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from meshpeer.core.broadcast import symbol
from meshpeer.core.broadcast.code import MAX_SYMBOLS
from meshpeer.core.broadcast.sessions import Announced, Missing
from meshpeer.core.broadcast.taking import QUIET_S
from meshpeer.core.broadcast.takings import EARLY_BYTES, NEIGHBOUR_LIMIT, NEIGHBOUR_TAKINGS
from meshpeer.core.link.packet import BROADCAST
from meshpeer.core.link.path import Datagram
from meshpeer.core.sync.messages import Code, Ended, Offer, Result, Run, Want
from meshpeer.sim.medium import path_to
from tests.core.broadcast.air import Place, bundle
from tests.core.broadcast.test_air import held
from tests.core.sync.stranger import Stranger
from tests.core.sync.village import Peer

WIRE = 256 * 1024
CIPHER = ChaCha20Poly1305(bytes(32))


def told_of(lacking, transfer=b"tttt", symbol_size=1_400, size=None):
    return Announced(
        transfer, b"k" * 32, lacking.id, size or len(lacking.wire), symbol_size, 0
    )


def offered(eve, lacking):
    """Eve offers a bundle, and is asked for it."""
    heard = eve.say(Offer(lacking.id, len(lacking.wire), lacking.header))
    assert Want(((lacking.id, 0),)) in heard


def results(heard):
    return [run for said in heard if isinstance(said, Result) for run in said.runs]


# ---- on the air


def test_a_neighbour_with_the_key_forges_and_the_bundle_comes_by_the_link():
    place = Place(4)

    def forge(source, target, data):
        if target != 1 or data[0] != BROADCAST:
            return data
        transfer, number = symbol.parse(data)
        if number % 9 or not (
            takings := place.machines[2].peer.sync.broadcast.takings._open.get(transfer)
        ):
            return data
        cipher = takings[0]._cipher
        honest = symbol.unseal(cipher, data, number)
        return symbol.pack(cipher, transfer, number, honest.left, bytes(len(honest.data)))

    place.air.tamper = forge
    lacking = [bundle(1), bundle(2)]
    place.submit(lacking[0])
    place.run_until(lambda: place.durable(lacking[:1]), 10)
    assert place.heard["broadcast poisoned"] == 1
    place.submit(lacking[1])
    place.run_until(lambda: place.durable(lacking), 10)
    assert place.heard["broadcast poisoned"] == 1  # the victim is left out for a time
    assert place.counters["broadcasts"] == 2
    assert held(place, lacking)


def test_a_stranger_without_the_key_changes_nothing():
    place, rng = Place(4), Random(1)

    def flood(source, target, data):
        if data[0] == BROADCAST:
            false = data[:7] + rng.randbytes(len(data) - 7)
            for noise in (false, b"\x05" + rng.randbytes(300), b"\x05", data[:20]):
                place.machines[target].hear([Datagram(path_to(9), noise)])
        return data

    place.air.tamper = flood
    place.submit(lacking := bundle(1))
    place.run_until(lambda: place.durable([lacking]), 10)
    assert held(place, [lacking])
    assert place.heard["broadcast unopened"] > 100
    assert not place.heard["broadcast poisoned"]


def test_packets_that_are_recorded_and_sent_again_change_nothing():
    place = Place(3)

    def repeat(source, target, data):
        if data[0] == BROADCAST:
            place.machines[target].hear([Datagram(path_to(9), data)])
        return data

    place.air.tamper = repeat
    place.submit(lacking := bundle(1))
    place.run_until(lambda: place.durable([lacking]), 10)
    place.machines[1].hear([Datagram(path_to(9), data) for data in place.air.seen])
    place.run(1)
    assert held(place, [lacking])
    assert len(place.machines[1].peer.sync.broadcast.takings) == 0


def test_a_neighbour_that_asks_for_ever_is_sent_no_more_than_its_share():
    place = Place(4)
    place.air.tamper = lambda source, target, data: (
        None if target == 1 and data[0] == BROADCAST else data
    )
    liar = place.machines[1].peer.sync
    honest = place.receivers[1:]
    place.submit(lacking := bundle(1))
    for _ in range(200):
        place.run(0.02)
        for told in list(liar.broadcast.takings._open):
            session = liar._sessions[place.sender.keys.static.public]
            session.say_missing(Missing(told, 180, 10**9))
            place.machines[1]._settle()
    assert place.durable([lacking], honest)
    assert len(place.air.seen) <= 2 * WIRE / 1_425 + 34
    place.run_until(lambda: place.durable([lacking]), 10)  # by its link
    before = len(place.air.seen)
    place.submit(another := bundle(2))
    place.run_until(lambda: place.durable([another]), 10)
    assert len(place.air.seen) - before < 1.1 * WIRE / 1_425  # it takes no part any more


# ---- what a neighbour says over its link


def test_what_was_not_asked_for_is_not_taken():
    eve = Stranger(Peer("bob"))
    heard = eve.say(told_of(bundle(1)))
    assert results(heard) == [Run(4, 0, 1, Code.LATER)]
    assert len(eve.peer.sync.broadcast.takings) == 0


def test_what_is_asked_of_another_is_not_taken_from_this_one():
    bob, lacking = Peer("bob"), bundle(1)
    eve, mallory = Stranger(bob), Stranger(bob, name="mallory")
    offered(eve, lacking)
    assert results(mallory.say(told_of(lacking))) == [Run(4, 0, 1, Code.LATER)]
    eve.say(told_of(lacking))
    mallory.say(Ended(b"tttt"))
    assert len(bob.sync.broadcast.takings) == 1


def test_too_many_symbols_are_declined_and_the_link_is_asked():
    eve, lacking = Stranger(Peer("bob")), bundle(1)
    offered(eve, lacking)
    heard = eve.say(told_of(lacking, symbol_size=len(lacking.wire) // (MAX_SYMBOLS + 1)))
    assert results(heard) == [Run(4, 0, 1, Code.LATER)]
    assert Want(((lacking.id, 0),)) in heard


def test_announcing_and_never_sending_costs_a_neighbour_nothing_but_time():
    eve, lacking = Stranger(Peer("bob")), bundle(1)
    offered(eve, lacking)
    assert eve.say(told_of(lacking)) == []
    eve.now = QUIET_S
    eve.peer.sync.wake(eve.now)
    heard = eve.heard()
    assert results(heard) == [Run(4, 0, 1, Code.DAMAGED)]
    assert Want(((lacking.id, 0),)) in heard
    assert len(eve.peer.sync.broadcast.takings) == 0


def test_a_silent_announcer_holds_nobody_else_up():
    bob, lacking = Peer("bob"), bundle(1, size=5_000)
    eve, mallory = Stranger(bob), Stranger(bob, name="mallory")
    offered(eve, lacking)
    eve.say(told_of(lacking))
    heard = mallory.say(Offer(lacking.id, len(lacking.wire), lacking.header))
    assert not any(isinstance(said, Want) for said in heard)
    bob.sync.wake(QUIET_S)
    assert Want(((lacking.id, 0),)) in mallory.heard()
    assert not any(isinstance(said, Want) for said in eve.heard())


def test_endless_announcements_hold_a_bounded_room():
    eve, lacking = Stranger(Peer("bob")), bundle(1)
    offered(eve, lacking)
    for n in range(200):
        eve.say(told_of(lacking, transfer=n.to_bytes(4)))
    takings = eve.peer.sync.broadcast.takings
    assert len(takings) * len(lacking.wire) <= NEIGHBOUR_LIMIT


def test_an_end_asks_the_link_and_a_second_end_does_nothing():
    eve, lacking = Stranger(Peer("bob")), bundle(1)
    offered(eve, lacking)
    eve.say(told_of(lacking))
    heard = eve.say(Ended(b"tttt"), Ended(b"tttt"), Ended(b"none"))
    heard += eve.heard()
    eve.peer.sync.take_broadcasts(0.0)
    heard += eve.heard()
    assert results(heard) == [Run(4, 0, 1, Code.LATER)]
    assert Want(((lacking.id, 0),)) in heard


def test_symbols_of_two_neighbours_with_one_transfer_number_are_told_apart():
    bob, mine, other = Peer("bob"), bundle(1, 5_000), bundle(2, 5_000)
    eve, mallory = Stranger(bob), Stranger(bob, name="mallory")
    offered(eve, mine)
    offered(mallory, other)
    eve.say(told_of(mine))
    mallory.say(told_of(other)._replace(key=b"m" * 32))
    assert len(bob.sync.broadcast.takings) == 2
    mallory.say(Ended(b"tttt"))
    assert len(bob.sync.broadcast.takings) == 1


@given(
    st.lists(
        st.one_of(
            st.builds(
                Missing,
                st.binary(min_size=4, max_size=4),
                st.integers(0, 999),
                st.integers(0, 999),
            ),
            st.builds(Ended, st.binary(min_size=4, max_size=4)),
            st.builds(
                Announced,
                st.binary(min_size=4, max_size=4),
                st.binary(min_size=32, max_size=32),
                st.binary(min_size=32, max_size=32),
                st.integers(1_000, 300_000),
                st.integers(1, 1_000),
                st.integers(0, 86_400),
            ),
        ),
        max_size=20,
    )
)
@settings(max_examples=60)
def test_any_words_at_any_time_hold_nothing_and_break_nothing(words):
    eve = Stranger(Peer("bob"))
    eve.say(*words)
    assert eve.end.closed is None
    assert len(eve.peer.sync.broadcast.takings) == len(eve.peer.sync.broadcast.givings) == 0


# ---- room


def test_ten_thousand_announcements_of_a_byte_hold_little():
    eve, lacking = Stranger(Peer("bob")), bundle(1)
    offered(eve, lacking)
    takings = eve.peer.sync.broadcast.takings
    for n in range(10_000):
        eve.say(told_of(lacking, transfer=n.to_bytes(4), size=1, symbol_size=1))
        eve.heard()
    assert len(takings) <= 1


def test_a_neighbour_has_one_transfer_of_a_bundle_and_few_in_all():
    eve = Stranger(Peer("bob"))
    takings = eve.peer.sync.broadcast.takings
    for n in range(2 * NEIGHBOUR_TAKINGS):
        lacking = bundle(n + 1, size=1_000)
        offered(eve, lacking)
        eve.say(told_of(lacking, transfer=n.to_bytes(4), symbol_size=100))
        eve.say(told_of(lacking, transfer=(n + 999).to_bytes(4), symbol_size=100))
    assert len(takings) <= NEIGHBOUR_TAKINGS


def test_packets_of_transfers_that_nobody_announced_hold_little_however_long_they_are():
    takings = Peer("bob").sync.broadcast.takings
    for n in range(1_000):
        takings.receive(symbol.pack(CIPHER, n.to_bytes(4), 1, 0, bytes(60_000)), 0.0)
    assert sum(map(len, takings._early)) <= EARLY_BYTES
