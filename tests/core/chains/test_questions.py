"""Questions that go to the neighbours and one hop on, and what liars and floods make of them."""

import pytest

from meshpeer.core.chains.events import AllAnswered, AnswerCame, Held, Question
from meshpeer.core.chains.limits import ChainLimits
from meshpeer.core.chains.messages import (
    Answer,
    Blocks,
    Query,
)
from meshpeer.core.chains.questions import ANSWERS
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


# -- the end of an answer


def answered(bob, id):
    return [one.query_id for one in bob.heard(AllAnswered)] == [id]


def answers(peer, *blocks):
    """All questions that the peer heard and didn't answer yet are answered so."""
    for asked in peer.heard(Question):
        peer.chains.answer(asked.neighbour, asked.query_id, blocks, 0.0)
    peer.events.clear()


def test_who_asks_is_told_when_all_gave_their_answers_also_those_one_hop_on():
    bob, carla, dan, eve = Peer("bob"), Peer("carla"), Peer("dan"), Peer("eve")
    village = Village()
    for left, right in ((bob, carla), (carla, dan), (carla, eve)):
        village.link(left, right)
    post = dan.say(Post("apples"))
    id = bob.chains.ask(b"apples?", 0.0)
    village.run()
    for peer in (carla, dan, eve):
        assert bob.chains.waits(id)
        assert not bob.heard(AllAnswered)
        answers(peer, *([post] if peer is dan else []))
        village.run()
    assert answered(bob, id)
    assert [one.blocks for one in bob.heard(AnswerCame)] == [(post,)]


def test_who_answers_before_those_one_hop_on_and_after_them_ends_it_once():
    for order in ((0, 1), (1, 0)):
        bob, carla, dan = Peer("bob"), Peer("carla"), Peer("dan")
        village = Village()
        for left, right in ((bob, carla), (carla, dan)):
            village.link(left, right)
        id = bob.chains.ask(b"apples?", 0.0)
        village.run()
        for at in order:
            answers((carla, dan)[at])
            village.run()
        assert answered(bob, id)


def test_nobody_near_is_all_that_there_is():
    bob = Peer("bob")
    id = bob.chains.ask(b"apples?", 0.0)
    assert answered(bob, id)
    assert not bob.chains.waits(id)


def test_a_neighbour_that_goes_is_waited_for_no_longer():
    bob, carla, dan = Peer("bob"), Peer("carla"), Peer("dan")
    village = Village()
    village.link(bob, carla)
    far = village.link(carla, dan)
    id = bob.chains.ask(b"apples?", 0.0)
    village.run()
    answers(carla)
    village.run()
    assert not bob.heard(AllAnswered)
    village.unlink(far)
    village.run()
    assert answered(bob, id)


def test_an_end_that_comes_early_only_cuts_off_who_said_it(bob, ann):
    eve, log = Stranger(bob), Log(ann)
    olga = Stranger(bob, "olga")
    id, block = bob.chains.ask(b"apples?", 0.0), log.add()
    eve.say(Answer(id, (), ()), Answer(id, (), ()))
    eve.say(Answer(id, (ann.card.to_bytes(),), (block,)))
    assert not bob.heard(AnswerCame)
    assert not bob.heard(AllAnswered)
    olga.say(Answer(id, (ann.card.to_bytes(),), (block,)), Answer(id, (), ()))
    assert len(bob.heard(AnswerCame)) == 1
    assert answered(bob, id)


def test_the_last_answer_that_is_taken_is_an_end(bob, ann):
    eve, log = Stranger(bob), Log(ann)
    id, block = bob.chains.ask(b"apples?", 0.0), log.add()
    for _ in range(ANSWERS):
        assert not bob.heard(AllAnswered)
        eve.say(Answer(id, (ann.card.to_bytes(),), (block,)))
    assert answered(bob, id)
