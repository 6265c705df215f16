"""Whoever meets whom in whatever order, and whoever loses power: what is promised holds."""

from hypothesis import given, settings
from hypothesis import strategies as st

from meshpeer.core.files.wants import AGAIN_S, QUIET_S
from tests.core.mail.carriers import World, opened
from tests.core.mail.test_attachments import noise

NAMES = ("ann", "east", "west", "bob")
MEETINGS = st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)).filter(
    lambda pair: pair[0] != pair[1]
)
STEPS = st.one_of(
    MEETINGS,
    st.tuples(MEETINGS, st.integers(1_000, 400_000)),
    st.sampled_from(NAMES),
    st.floats(1.0, 200.0),
    st.just("key"),
)


@settings(deadline=None, max_examples=40)
@given(st.lists(STEPS, max_size=14), st.sampled_from([0.01, 1.2, 2.4]))
def test_a_message_with_a_file_and_a_file_that_is_wanted_come_once_and_whole(steps, size):
    world = World(*NAMES)
    world.friends(world.ann, world.bob)
    sent, public = noise(size), noise(size, seed=5)
    message_id, (attachment,) = world.ann.writes(world.bob, "both", sent)
    file = world.ann.publishes(public)
    world.bob.fetches(file)
    for step in steps:
        take(world, step)
        check(world, message_id, attachment)
    for _ in range(4):
        world.later(AGAIN_S + QUIET_S)
        world.chain_of_meetings(world.bob, world.east, world.ann, world.east, world.bob)
    world.chain_of_meetings(world.bob, world.west, world.ann, world.west, world.bob)
    check(world, message_id, attachment)
    assert world.ann.arrived(message_id, world.bob)
    assert opened(world.bob.content(attachment.file), attachment.key) == sent
    assert world.bob.content(file) == public
    assert [one.name for one in world.carriers if one.held()] == []


def take(world, step):
    match step:
        case "key":
            record = world.bob.mail.keys.renew(world.bob.own, world.now)
            world.bob.retag()
            world.bob.publishes_key(record)
        case str(name):
            world.crash(getattr(world, name))
        case float(seconds):
            world.later(seconds)
        case ((one, other), int(budget)):
            world.meet(getattr(world, one), getattr(world, other), budget=budget)
        case (one, other):
            world.meet(getattr(world, one), getattr(world, other))


def check(world, message_id, attachment):
    """What holds at each moment."""
    assert len(world.bob.inbox()) <= 1
    if world.ann.arrived(message_id, world.bob):
        assert world.bob.inbox() == ["both"]
        assert world.bob.parts.is_whole(attachment.file)
    told = [body for body in world.ann.told(message_id) if '"arrived"' in body]
    assert bool(told) == world.ann.arrived(message_id, world.bob)
