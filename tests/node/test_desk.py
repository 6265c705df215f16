"""What people type for a person or a message, and what they are told when it names none."""

from types import SimpleNamespace

import pytest

from meshpeer.core.identity import idtext
from meshpeer.core.writes import Box
from meshpeer.errors import NotFoundError, UsageError
from meshpeer.node.desk import Desk
from tests.core.mail.post import Person, introduced


def desk_of(person: Person) -> Desk:
    return Desk(SimpleNamespace(store=person.store, peer=person))


def test_a_person_is_found_by_nickname_and_by_id():
    alice, bob = Person("alice"), Person("bob")
    alice.knows(bob)
    id = idtext.encode(bob.key.public)
    assert desk_of(alice).find("~bob") == desk_of(alice).find(f" {id.upper()} ")
    with pytest.raises(UsageError, match="typing error"):
        desk_of(alice).find(id[:-1] + ("a" if id[-1] != "a" else "b"))


@pytest.mark.parametrize(
    ("who", "told"),
    [
        ("bob", "is '~bob', with the quotes"),
        ("/home/bob", "your shell"),
        ("carla", "lists them"),
        ("~carla", "calls themself 'carla'"),
    ],
)
def test_a_name_that_names_nobody_tells_what_may_be_meant(who, told):
    alice, bob = Person("alice"), Person("bob")
    alice.knows(bob)
    with pytest.raises(NotFoundError, match=told):
        desk_of(alice).find(who)


def test_only_what_was_sent_can_be_recalled():
    alice, bob = introduced()
    bob.receives(alice.writes(bob, "hello"))
    bob.commit()
    (row,) = bob.store.messages(Box.INBOX)
    assert desk_of(bob).find_message(str(row.number)) == row
    with pytest.raises(UsageError, match="not one that you sent"):
        desk_of(bob).find_message(str(row.number), box=Box.OUTBOX)
    with pytest.raises(NotFoundError, match="no such message"):
        desk_of(bob).find_message("99", box=Box.OUTBOX)


def test_a_person_is_not_taken_for_a_peer():
    alice, bob = introduced()
    (device,) = bob.card.devices
    assert desk_of(alice).read_peer(idtext.encode(device.peer)) == device.peer
    for person in (alice, bob):
        with pytest.raises(UsageError, match="a person's id"):
            desk_of(alice).read_peer(idtext.encode(person.key.public))
