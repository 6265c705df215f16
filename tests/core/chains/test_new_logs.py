"""Copies and backups go on in new logs, each of which is one of few."""

import pytest

from meshpeer.core.chains.limits import ChainLimits
from meshpeer.core.formats.record import Post
from meshpeer.core.mail.people import People
from meshpeer.errors import UsageError
from tests.core.chains.village import Peer, Person, Village

pytestmark = pytest.mark.usefixtures("disk")

FEW = ChainLimits(logs=3)


def begun(peer):
    return sorted(log.started for log in peer.chains.book.logs.values())


def test_a_copy_that_is_only_started_begins_no_log():
    bob = Peer("bob", limits=FEW)
    bob.say(Post("one"))
    for _ in range(10):
        bob.start(new_log=True)
    assert begun(bob) == [-1]
    bob.say(Post("two"))
    assert begun(bob) == [-1, 2]


def test_a_peer_that_has_begun_all_its_logs_starts_and_says_so_when_it_publishes():
    bob = Peer("bob", limits=FEW)
    for n in range(3):
        bob.start(new_log=True)
        bob.say(Post(f"{n}"))
    bob.start(new_log=True)
    with pytest.raises(UsageError, match="3 logs"):
        bob.say(Post("one more"))


def test_of_two_persons_here_neither_goes_on_with_a_log_of_before_the_copy():
    """The other one publishes first, and then the peer is started as what it is: no copy."""
    ann, bob = Person("ann"), Peer("bob")
    bob.people = People([bob.person.own(), ann.own()])
    bob.start()
    old = {}
    for person in (ann, bob.person):
        own = bob.people.own[person.id]
        old[person.id] = bob.chains.publish(own, Post("before"), 0.0).header.log
    bob.commit(0.0)
    bob.start(new_log=True)
    bob.say(Post("after"))
    bob.start(new_log=False)
    block = bob.chains.publish(bob.people.own[ann.id], Post("after"), 0.0)
    assert block.header.log != old[ann.id]
    bob.commit(0.0)
    newest = begun(bob)
    assert newest[-1] > newest[-2] > max(map(abs, newest[:-2]))


def test_the_copy_and_the_original_never_fork_whoever_publishes_first():
    ann, bob = Peer("ann"), Peer("bob")
    bob.knows(ann.person)
    ann.say(Post("one"))
    copy = Peer("ann", ann.person, disk=ann.disk.copy(), new_log=True)
    copy.start()
    copy.say(Post("copy"))
    ann.say(Post("original"))
    village = Village()
    village.meet(ann, bob)
    village.meet(copy, bob)
    assert sorted(bob.texts(ann.person)) == ["copy", "one", "original"]
    assert not bob.disk.kept_forks
