import pytest

from meshpeer.core.formats.bundle import MAX_LIFETIME, Bundle
from meshpeer.core.formats.card import Card
from meshpeer.core.identity.certificate import Certificate
from meshpeer.core.identity.keys import DeviceKey
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.identity.preimage import one_way
from meshpeer.core.mail import inbox as inbox_module
from meshpeer.core.mail.inbox import MAX_REQUESTS, PUT_OFF, STRANGER_BURST
from meshpeer.core.mail.people import Status
from meshpeer.core.sync.account import Account, Kind
from meshpeer.core.sync.verdict import Deferred, Opened, Rejected
from meshpeer.core.writes import MESSAGE_COST, Box, DeliveryState
from meshpeer.errors import UsageError
from tests.core.mail.post import HOUR, Person, introduced


def inbox(person: Person) -> list[str]:
    return [row.text for row in person.store.messages(Box.INBOX)]


def state_of(person: Person, bundle: Bundle) -> DeliveryState:
    row = person.store.delivery(bundle.id)
    assert row is not None
    return row.state


def test_a_message_arrives_and_its_receipt_proves_it():
    alice, bob = introduced()
    bundle = alice.writes(bob, "come for tea")
    assert state_of(alice, bundle) is DeliveryState.QUEUED

    verdict = bob.receives(bundle)
    assert isinstance(verdict, Opened)
    assert inbox(bob) == ["come for tea"]

    alice.mail.outbox.value_seen(verdict.value, now=5.0)
    alice.commit()
    assert state_of(alice, bundle) is DeliveryState.ARRIVED


def test_a_copy_is_not_shown_again_but_gets_its_receipt_also_after_a_restart_and_deletion():
    alice, bob = introduced()
    bundle = alice.writes(bob, "once")
    first = bob.receives(bundle)
    assert bob.receives(bundle) == first
    bob.restart(now=1.0)
    assert bob.receives(bundle) == first
    (row,) = bob.store.messages(Box.INBOX)
    bob.store.commit([_erase(row)])
    assert bob.receives(bundle) == first
    assert inbox(bob) == []
    assert len(bob.told("message")) == 1


def test_a_copy_that_comes_before_the_first_is_durable_is_not_shown_twice():
    alice, bob = introduced()
    bundle = alice.writes(bob, "once")
    first = bob.mail.inbox.receive(bundle, Account(Kind.CONTACT, "x"), 0.0)
    second = bob.mail.inbox.receive(bundle, Account(Kind.CONTACT, "y"), 0.0)
    bob.commit()
    assert first == second
    assert inbox(bob) == ["once"]


def test_a_strangers_first_message_brings_its_card_and_waits_in_the_requests_box():
    alice, bob = Person("alice"), Person("bob")
    alice.knows(bob)
    assert isinstance(bob.receives(alice.writes(bob, "hello, do you know me?")), Opened)
    assert inbox(bob) == []
    (request,) = bob.store.messages(Box.REQUESTS)
    assert request.text == "hello, do you know me?"
    known = bob.mail.people.get(alice.key.public)
    assert known is not None
    assert (known.status, known.card.nickname) == (Status.STRANGER, "alice")

    second = bob.receives(alice.writes(bob, "answer me"))
    assert isinstance(second, Deferred), "one message a stranger"


def test_an_accepted_stranger_is_a_contact_and_no_longer_sends_its_card():
    alice, bob = Person("alice"), Person("bob")
    alice.knows(bob)
    first = alice.writes(bob, "hello")
    receipt = bob.receives(first)
    bob.mail.inbox.accept_request(alice.key.public, "ally", wall=0)
    bob.commit()
    alice.mail.outbox.value_seen(receipt.value, now=1.0)
    alice.commit()
    second = alice.writes(bob, "hello")
    assert len(second.payload) < len(first.payload) - 150
    assert isinstance(bob.receives(second), Opened)
    assert inbox(bob) == ["hello"]


def test_the_requests_box_is_bounded():
    bob = Person("bob")
    verdicts = []
    for n in range(MAX_REQUESTS + 3):
        stranger = Person("stranger", seed=n)
        stranger.knows(bob)
        bundle = stranger.writes(bob, "buy this")
        verdicts.append(bob.mail.inbox.receive(bundle, Account(Kind.CONTACT, str(n)), 0.0))
    assert sum(isinstance(v, Opened) for v in verdicts) == MAX_REQUESTS
    assert len(bob.mail.people) <= MAX_REQUESTS


def test_who_is_blocked_gets_a_recall_and_no_receipt():
    alice, bob = introduced()
    bob.journal.add(bob.mail.people.change(alice.key.public, status=Status.BLOCKED))
    bundle = alice.writes(bob, "let me in")
    verdict = bob.receives(bundle)
    assert isinstance(verdict, Opened)
    assert inbox(bob) == []
    assert one_way(verdict.value) == bundle.header.receipt_hash
    alice.mail.outbox.value_seen(verdict.value, now=1.0)
    alice.commit()
    assert state_of(alice, bundle) is DeliveryState.QUEUED, "a recall is no arrival"


def test_a_card_that_claims_anothers_sealing_key_does_not_get_her_messages():
    alice, bob = introduced()
    mallory = Person("mallory")
    mallory.card = Card.sign(
        mallory.key,
        number=1,
        nickname="mallory",
        devices=[
            Certificate(
                DeviceKey.generate(mallory.rng).public,
                alice.sealing.public,
                KeyPair.generate(mallory.rng).public,
            )
        ],
    )
    bob.knows(mallory)
    bob.receives(alice.writes(bob, "it is me"))
    (row,) = bob.store.messages(Box.INBOX)
    assert row.contact == alice.key.public


def test_a_seal_put_under_another_header_is_refused():
    alice, bob = introduced()
    bundle = alice.writes(bob, "mine")
    other = Bundle.make(bundle.header._replace(lifetime=99), bundle.payload)
    assert isinstance(bob.receives(other), Rejected)
    assert inbox(bob) == []


def test_a_recall_is_shown_and_an_arrival_may_still_follow_it():
    alice, bob = introduced()
    bundle = alice.writes(bob, "never mind")
    delivery = alice.store.delivery(bundle.id)
    ((recall, _),) = alice.mail.outbox.recall(delivery.message_id, now=1.0)
    alice.commit()
    assert state_of(alice, bundle) is DeliveryState.RECALL_ASKED
    assert one_way(recall) == bundle.header.receipt_hash
    verdict = bob.receives(bundle)
    alice.mail.outbox.value_seen(verdict.value, now=2.0)
    alice.commit()
    assert state_of(alice, bundle) is DeliveryState.ARRIVED
    with pytest.raises(UsageError, match="under way"):
        alice.mail.outbox.recall(delivery.message_id, now=3.0)


def test_what_expired_may_still_turn_out_to_have_arrived_also_after_a_restart():
    alice, bob = introduced()
    bundle = alice.writes(bob, "late", lifetime=HOUR)
    verdict = bob.receives(bundle)
    assert alice.mail.outbox.next_wakeup() == HOUR
    alice.mail.outbox.wake(now=HOUR)
    alice.commit()
    assert state_of(alice, bundle) is DeliveryState.EXPIRED
    alice.restart(now=HOUR + 1.0)
    alice.mail.outbox.value_seen(verdict.value, now=HOUR + 2.0)
    alice.commit()
    assert state_of(alice, bundle) is DeliveryState.ARRIVED


def test_a_state_never_falls_and_each_carrier_is_news():
    alice, bob = introduced()
    bundle = alice.writes(bob, "slowly")
    alice.mail.outbox.carried(bundle.id, b"p" * 32, now=1.0)
    alice.mail.outbox.carried(bundle.id, b"q" * 32, now=2.0)
    alice.mail.outbox.recall(alice.store.delivery(bundle.id).message_id, now=3.0)
    alice.mail.outbox.carried(bundle.id, b"r" * 32, now=4.0)
    alice.commit()
    assert state_of(alice, bundle) is DeliveryState.RECALL_ASKED
    assert len(alice.told("state")) == 4


def test_strangers_can_make_us_open_only_so_many_seals():
    alice, bob = introduced()
    bundle = alice.writes(bob, "again and again")
    stranger = Account(Kind.STRANGER, "192.0.2.0/24/x")
    verdicts = [
        bob.mail.inbox.receive(bundle, stranger, 0.0) for _ in range(STRANGER_BURST + 1)
    ]
    assert [type(v) for v in verdicts[-2:]] == [Opened, Deferred]
    assert bob.mail.inbox.next_wakeup() == PUT_OFF
    assert [bob.mail.inbox.wake(now) for now in (PUT_OFF - 1, PUT_OFF, PUT_OFF)] == [
        False,
        True,
        False,
    ], "once, they are asked again"
    assert isinstance(bob.mail.inbox.receive(bundle, stranger, 1.0), Opened)


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("", {}),
        ("x" * 131_073, {}),
        ("\ud800", {}),
        ("hello", {"lifetime": 0}),
        ("hello", {"lifetime": 36 * 86_400}),
    ],
)
def test_what_cannot_be_sent_is_refused_with_a_sentence(text, how):
    alice, bob = introduced()
    with pytest.raises(UsageError):
        alice.writes(bob, text, **how)
    assert alice.store.messages(Box.OUTBOX) == []


def test_a_lamport_counter_goes_on_above_what_it_has_seen():
    alice, bob = introduced()
    for _ in range(5):
        bob.receives(alice.writes(bob, "tick"))
    bob.restart(now=0.0)
    bob.writes(alice, "tock")
    (row,) = bob.store.messages(Box.OUTBOX)
    assert row.lamport == 6


def _erase(row):
    from meshpeer.core.writes import EraseMessage

    return EraseMessage(row.message_id, row.contact, sent=False)


def test_one_contact_can_fill_only_its_own_share(monkeypatch):
    monkeypatch.setattr(inbox_module, "CONTACT_SHARE", 1_000 + MESSAGE_COST)
    alice, bob = introduced()
    assert isinstance(bob.receives(alice.writes(bob, "x" * 900)), Opened)
    bob.restart(now=0.0)
    more = alice.writes(bob, "x" * 200)
    assert isinstance(bob.receives(more), Deferred)
    (row,) = bob.store.messages(Box.INBOX)
    bob.store.commit([_erase(row)])
    bob.mail.inbox.erased(alice.key.public)
    assert isinstance(bob.receives(more), Opened)


def test_what_expired_long_ago_is_forgotten():
    alice, bob = introduced()
    bundle = alice.writes(bob, "too late", lifetime=HOUR)
    assert alice.mail.outbox.wake(now=HOUR) == []
    much_later = HOUR + MAX_LIFETIME
    assert alice.mail.outbox.wake(much_later) == [bundle.header.receipt_hash]
    assert list(alice.mail.outbox.watched()) == []
    assert alice.mail.outbox.next_wakeup() is None
