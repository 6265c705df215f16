"""What the API answered has happened: a kill -9 right behind the answer undoes none of it."""

import pytest

from meshpeer.errors import NotFoundError
from tests.system.daemon import LOOPBACK

pytestmark = pytest.mark.system


@pytest.fixture
def pair(daemon):
    ann, bob = (daemon(name, settings=LOOPBACK).start() for name in ("ann", "bob"))
    ann.knows(bob)
    bob.knows(ann)
    bob.connects_to(ann)
    return ann, bob


def die_and_return(peer):
    peer.kill()
    peer.start()


def test_every_answer_outlives_a_kill(pair):
    ann, bob = pair
    bob.api.patch("contacts", "ann", body={"petname": "anna", "verified": True})
    die_and_return(bob)
    contact = bob.api.get("contacts", "anna")
    assert (contact["petname"], contact["verified"]) == ("anna", True)

    bob.linked_with(ann)
    first, second = ann.send(bob, "to be read", "to be deleted")
    bob.until(lambda: len(bob.texts()) == 2, "two messages")
    bob.api.post("messages", "read", body={"which": [first]})
    die_and_return(bob)
    assert bob.status()["unread"] == 1
    bob.api.post("messages", "delete", body={"which": [second]})
    die_and_return(bob)
    assert bob.texts() == ["to be read"]

    bob.linked_with(ann)
    ann.until(lambda: ann.delivery(second)["state"] == "arrived", "both receipts")
    assert ann.delivery(first)["state"] == "arrived"
    assert bob.texts() == ["to be read"], "deleted, and not shown again"

    bob.api.put("online", body={"online": False})
    (third,) = ann.send(bob, "to be recalled")
    ann.api.post("messages", third, "recall", body={})
    die_and_return(ann)
    assert ann.delivery(third)["state"] == "recall_asked"
    ann.api.delete("contacts", "bob")
    die_and_return(ann)
    with pytest.raises(NotFoundError):
        ann.api.get("contacts", "bob")
    ann.stop()
    bob.stop()
