"""A newer card ends a device: what it wrote up to its cut stays, and nothing else."""

import pytest

from meshpeer.core.chains.messages import (
    Heads,
)
from meshpeer.core.formats.card import Cut, Revocation
from meshpeer.core.formats.record import Devices, Post
from tests.core.chains.stranger import Stranger
from tests.core.chains.village import Log, Peer, Person

pytestmark = pytest.mark.usefixtures("disk")


def revoke(person, log, device=0):
    cuts = (Cut(log.id, len(log.blocks), log.blocks[-1].id),) if log.blocks else ()
    return person.issue([Revocation(person.devices[device][0].public, cuts)])


@pytest.mark.parametrize("way", ["card", "people", "record", "heads"])
def test_what_a_thief_wrote_with_a_stolen_device_goes_with_its_revocation(bob, ann, way):
    log = Log(ann)
    log.grow(5)
    honest = log.branch(5)
    stolen = log.grow(3)
    foreign = Log(ann, id=b"the thief's log!")
    bob.take(*log.blocks, *foreign.grow(2))
    assert len(bob.rows(ann)) == 10
    card = revoke(ann, honest)
    match way:
        case "card":
            bob.chains.take_card(card, 0.0)
        case "people":
            bob.people.renew(card)
            bob.chains.wake(0.0)
        case "record":
            bob.take(Log(ann, device=1).add(Devices(card.to_bytes())))
        case "heads":
            Stranger(bob).say(Heads(ann.id, card.to_bytes(), ()))
    bob.commit(0.0)
    assert {row[3] for row in bob.rows(ann) if row[0] == log.key.public} == {
        block.id for block in honest.blocks
    }
    bob.take(*stolen, *foreign.blocks)
    assert len([row for row in bob.rows(ann) if row[0] == log.key.public]) == 5
    bob.start()
    bob.take(*stolen, *foreign.blocks)
    assert len([row for row in bob.rows(ann) if row[0] == log.key.public]) == 5
    rows = [row for row in bob.disk.blocks.values() if row.person == ann.id]
    assert bob.chains.weight(ann.id) == sum(max(512, 262 + len(r.body)) for r in rows)


def test_who_hears_of_the_revocation_first_takes_the_log_up_to_its_cut(bob, ann):
    log = Log(ann)
    log.grow(5)
    honest = log.branch(5)
    log.grow(3)
    bob.chains.take_card(revoke(ann, honest), 0.0)
    bob.take(*reversed(log.blocks))
    assert len(bob.rows(ann)) == 5
    thief = log.branch(3)
    thief.add(Post("below the cut"))
    carla = Peer("carla")
    carla.knows(ann)
    carla.take(thief.blocks[3])
    carla.take(*reversed(honest.blocks))
    assert {row[3] for row in carla.rows(ann)} >= {block.id for block in honest.blocks[:3]}


def test_an_older_card_undoes_no_revocation(bob, ann):
    old, log = ann.card, Log(ann)
    log.grow(2)
    bob.chains.take_card(revoke(ann, log), 0.0)
    eve = Stranger(bob)
    eve.say(Heads(ann.id, old.to_bytes(), ()))
    eve.gives(log, log.add())
    assert len(bob.rows(ann)) == 0
    assert bob.chains.card_of(ann.id).number == 2
    eve.gives(log, *log.blocks[:2])
    assert len(bob.rows(ann)) == 2


def test_a_card_of_another_person_or_a_forged_one_is_refused(bob, ann):
    eve, other = Stranger(bob), Person("other")
    other.issue()
    eve.say(Heads(ann.id, other.card.to_bytes(), ()))
    card = bytearray(ann.issue().to_bytes())
    card[-10] ^= 1
    eve.say(Heads(ann.id, bytes(card), ()))
    assert bob.chains.card_of(ann.id).number == 1
    assert sum(bob.chains.counters.values()) == 2
