"""Questions that go to the neighbours and one hop on, and what liars and floods make of them."""

import pytest

from meshpeer.core.chains.events import AnswerCame, Held, Question
from meshpeer.core.chains.limits import ChainLimits
from meshpeer.core.chains.messages import (
    Answer,
    Blocks,
    Query,
)
from meshpeer.core.formats.record import Post
from tests.core.chains.stranger import Stranger, changed
from tests.core.chains.village import Log, Peer, Person, Village

pytestmark = pytest.mark.usefixtures("disk")


def signed_by(thief, log, **lies):
    """The next block of a log as somebody else would sign it."""
    other = Log(log.person, id=log.id)
    other.key, other.blocks = thief, list(log.blocks)
    return other.add(**lies)


def test_a_question_reaches_the_neighbours_and_one_hop_on(ann):
    bob, carla, dan = Peer("bob"), Peer("carla"), Peer("dan")
    village = Village()
    for left, right in ((bob, carla), (carla, dan)):
        village.link(left, right)
    post = dan.say(Post("apples"))
    id = bob.chains.ask(b"apples?", 0.0)
    village.run()
    (asked,) = carla.heard(Question)
    assert asked.query == b"apples?"
    (passed,) = dan.heard(Question)
    assert passed.query_id != id
    dan.chains.answer(passed.neighbour, passed.query_id, [post], 0.0)
    village.run()
    (came,) = bob.heard(AnswerCame)
    assert came.query_id == id
    assert came.blocks == (post,)
    assert came.cards == (dan.person.card,)
    assert not bob.rows(dan.person)


def test_a_peer_that_passes_no_questions_on_answers_itself():
    bob, carla, dan = (
        Peer("bob"),
        Peer("carla", limits=ChainLimits(pass_on=False)),
        Peer("d"),
    )
    village = Village()
    for left, right in ((bob, carla), (carla, dan)):
        village.link(left, right)
    bob.chains.ask(b"apples?", 0.0)
    village.run()
    assert carla.heard(Question)
    assert not dan.heard(Question)


def test_a_false_answer_is_struck_and_never_shown(bob, ann):
    eve, log = Stranger(bob), Log(ann)
    eve.heard()
    id = bob.chains.ask(b"apples?", 0.0)
    block, card = log.add(), ann.card.to_bytes()
    eve.say(Answer(id, (card,), (changed(block, signature=bytes(64)),)))
    eve.say(Answer(id, (), (block,)))
    eve.say(Answer(id, (card, Person("x").card.to_bytes()), (block,)))
    thief = signed_by(Person("mallory").devices[0][0], log)
    eve.say(Answer(id, (card,), (thief,)))
    eve.say(Answer(b"unasked!", (card,), (block,)))
    assert not bob.heard(AnswerCame)
    eve.say(Answer(id, (card,), (block,)))
    assert len(bob.heard(AnswerCame)) == 1


def test_a_flood_of_questions_is_cut_off(bob):
    eve = Stranger(bob)
    for n in range(40):
        if eve.end.closed is None:
            eve.say(Query(n.to_bytes(8), 1, b"apples?"))
    assert eve.end.closed is not None
    assert len(bob.heard(Question)) == 10


def test_a_flood_of_answers_ends(bob, ann):
    eve, log = Stranger(bob), Log(ann)
    id, block = bob.chains.ask(b"apples?", 0.0), log.add()
    for _ in range(100):
        eve.say(Answer(id, (ann.card.to_bytes(),), (block,)))
    assert len(bob.heard(AnswerCame)) == 8
    assert not bob.heard(Held)


def test_blocks_that_nobody_asked_for_are_checked_like_all(bob, ann):
    eve, log = Stranger(bob), Log(ann)
    eve.say(Blocks(log.key.public, log.id, 1, 3, tuple(reversed(log.grow(3)))))
    assert len(bob.rows(ann)) == 3
