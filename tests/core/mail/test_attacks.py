"""Attacks by whoever can seal a message to somebody here: each was tried, and must stay vain."""

from meshpeer.core.formats.bundle import Bundle, Header, Priority
from meshpeer.core.formats.message import Message
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.identity.seal import Seal, destination_tag
from meshpeer.core.mail import inbox
from meshpeer.core.sync.account import Account, Kind
from meshpeer.core.sync.verdict import Deferred, Opened
from meshpeer.core.writes import MESSAGE_COST
from tests.core.mail.post import Person, introduced


def sealed(writer: Person, other: Person, message: Message, *, sender: bytes) -> Bundle:
    """What a changed program makes: any message, between whom it likes."""
    seal = Seal(
        sender=writer.sealing,
        receiver=other.sealing.public,
        message_id=writer.rng(16),
        ephemeral=KeyPair.generate(writer.rng),
    )
    tag = destination_tag(other.sealing.public)
    header = Header(Priority.NORMAL, 4, tag, seal.receipt_hash, 3_600, 1)
    body = message.to_bytes(sender=sender, receiver=other.key.public)
    return Bundle.make(header, seal.close(header.immutable, body))


def test_strangers_who_write_as_somebody_else_leave_no_trace():
    bob = Person("bob")
    for n in range(20):
        eve = Person(f"eve{n}")
        said = Message("hi", 1, 1, card=eve.card.to_bytes())
        assert isinstance(bob.receives(sealed(eve, bob, said, sender=bytes(32))), Opened)
    assert len(bob.mail.people) == 0
    assert bob.store.contacts() == []


def test_a_crowd_of_strangers_makes_us_open_no_more_than_its_network_may(monkeypatch):
    monkeypatch.setattr(inbox, "STRANGER_BURST", 4)
    monkeypatch.setattr(inbox, "NETWORK_BURST", 10)
    eve, bob = introduced()
    bundle = sealed(eve, bob, Message("hi", 1, 1), sender=eve.key.public)

    def opened(network: str, strangers: int) -> int:
        accounts = [Account(Kind.STRANGER, f"{network}/{n % strangers}") for n in range(50)]
        verdicts = [bob.mail.inbox.receive(bundle, account, 0.0) for account in accounts]
        return sum(isinstance(verdict, Opened) for verdict in verdicts)

    assert opened("10.0.1.0/24", strangers=1) == 4
    assert opened("10.0.2.0/24", strangers=50) == 10
    assert opened("10.0.3.0/24", strangers=2) == 8


def test_a_contact_cannot_fill_the_disk_with_messages_of_no_text(monkeypatch):
    monkeypatch.setattr(inbox, "CONTACT_SHARE", 10 * MESSAGE_COST)
    eve, bob = introduced()
    taken = 0
    for _ in range(12):
        bundle = sealed(eve, bob, Message("", 1, 1), sender=eve.key.public)
        taken += isinstance(bob.receives(bundle), Opened)
        bob.restart(now=0.0)
    assert taken == 10
    last = sealed(eve, bob, Message("", 1, 1), sender=eve.key.public)
    assert isinstance(bob.receives(last), Deferred)
