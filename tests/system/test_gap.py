"""The main job, on real input: a message and its receipt cross a gap between two who never meet."""

import os

import pytest

pytestmark = pytest.mark.system
FERRIED = int(os.environ.get("MESHPEER_FERRY", "200"))
TEXT = "The bridge is open again."


def test_a_message_and_its_receipt_cross_the_gap(gap):
    ann, bob, carla = gap.peers
    (message,) = ann.send(carla, TEXT)
    assert ann.delivery(message)["state"] == "queued"

    gap.meet(ann)
    ann.hear("state", id=message, state="carried", peer=bob.peer)
    gap.part(ann)
    seen = ann.delivery(message)
    assert (seen["state"], [each["peer"] for each in seen["carriers"]]) == (
        "carried",
        [bob.peer],
    )

    gap.meet(carla)
    assert carla.hear("message", id=message)["contact"]["petname"] == "ann"
    gap.part(carla)
    assert carla.texts() == [TEXT]
    assert ann.delivery(message)["state"] == "carried", "nobody told Ann yet"

    gap.meet(ann)
    ann.hear("state", id=message, state="arrived")
    assert ann.delivery(message)["state"] == "arrived"
    gap.part(ann)

    gap.meet(carla)
    assert carla.texts() == [TEXT]
    assert bob.status()["queue_bundles"] == 0, "the receipt purged what Bob carried"
    assert not bob.texts()
    assert not bob.texts("requests")
    met = {e.body["peer"] for e in ann.history() + carla.history() if e.kind == "link"}
    assert met == {bob.peer}
    for peer in gap.peers:
        peer.stop()


def test_a_ferry_brings_many_messages_each_way_each_once(gap):
    ann, _, carla = gap.peers
    there = [f"there {number}" for number in range(FERRIED)]
    back = [f"back {number}" for number in range(FERRIED)]
    ann.send(carla, *there)
    carla.send(ann, *back)

    gap.meet(ann)
    ann.hear_all("state", FERRIED, state="carried")
    gap.part(ann)

    gap.meet(carla)
    carla.hear_all("message", FERRIED, box="inbox")
    assert sorted(carla.texts()) == sorted(there)
    carla.until(lambda: states(carla) == {"carried"}, "Bob carries what Carla wrote")
    gap.part(carla)

    gap.meet(ann)
    ann.hear_all("message", FERRIED, box="inbox")
    ann.until(lambda: states(ann) == {"arrived"}, "the receipts")
    assert sorted(ann.texts()) == sorted(back)
    gap.part(ann)

    gap.meet(carla)
    carla.until(lambda: states(carla) == {"arrived"}, "the receipts")
    for one in (ann, carla):
        shown = [
            event.body["id"]
            for event in one.history()
            if event.kind == "message" and event.body["box"] == "inbox"
        ]
        assert len(shown) == len(set(shown)) == FERRIED
    for peer in gap.peers:
        peer.stop()


def states(peer):
    """What the sender sees of all its messages."""
    return {
        message["delivery"]["state"] for message in peer.api.all("messages", box="outbox")
    }
