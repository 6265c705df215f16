"""What one decides about a stranger while its message is still on its way to the disk."""

import asyncio

import pytest

from meshpeer.core.identity import idtext
from meshpeer.core.mail.draft import Draft
from meshpeer.core.writes import Box
from meshpeer.errors import UsageError
from meshpeer.node.config import parse
from meshpeer.node.node import Node
from meshpeer.node.service import Service
from meshpeer.node.state import State
from tests.core.mail.post import NEIGHBOUR, Person
from tests.node.test_faults import QUIET


@pytest.fixture
def state(tmp_path):
    state = State(tmp_path / "ann")
    state.create()
    return state


def boxes_after(state, decide):
    """What lies in which box if this is decided at once when the message came."""

    async def story():
        ann = Node(state, parse(QUIET, "quiet"))
        await ann.start()
        (own,) = ann.peer.mail.people.own.values()
        eve = Person("eve")
        eve.mail.people.accept(own.card, None, wall=0)
        contact = eve.mail.people.get(own.person)
        _, (bundle,) = eve.mail.outbox.compose(eve.own, contact, Draft("hi"), 0.0)
        ann.peer.mail.inbox.receive(bundle, NEIGHBOUR, ann.now())
        try:
            await decide(Service(ann), eve)
            return {box: [row.text for row in ann.store.messages(box)] for box in Box}
        finally:
            await ann.close()

    return asyncio.run(story())


def id_of(person):
    return idtext.encode(person.key.public)


@pytest.mark.parametrize(
    "decide",
    [
        lambda service, eve: service.accept_request(id_of(eve), None),
        lambda service, eve: service.add_contact(eve.card.to_uri(), None),
    ],
    ids=["accept", "add"],
)
def test_what_an_accepted_stranger_just_wrote_is_in_the_inbox(state, decide):
    found = boxes_after(state, decide)
    assert found[Box.INBOX] == ["hi"]
    assert found[Box.REQUESTS] == []


@pytest.mark.parametrize(
    "decide",
    [
        lambda service, eve: service.refuse_request(id_of(eve), block=True),
        lambda service, eve: service.refuse_request(id_of(eve), block=False),
        lambda service, eve: service.block_contact(id_of(eve), True),
        lambda service, eve: service.remove_contact(id_of(eve)),
    ],
    ids=["refuse and block", "refuse", "block", "remove"],
)
def test_what_a_refused_stranger_just_wrote_is_gone(state, decide):
    assert boxes_after(state, decide) == {box: [] for box in Box}


def test_a_stranger_does_not_become_a_contact_by_being_unblocked(state):
    with pytest.raises(UsageError, match="not blocked"):
        boxes_after(state, lambda service, eve: service.block_contact(id_of(eve), False))
