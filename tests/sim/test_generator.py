"""Villages and buses."""

from hypothesis import given
from hypothesis import strategies as st

from meshpeer.sim.contacts import ContactTime
from meshpeer.sim.generator import DAY, World, generate, merged

WORLD = World(villages=3, people=4, buses=2, days=2)


def test_the_same_seed_gives_the_same_world():
    assert generate(WORLD, seed=7) == generate(WORLD, seed=7)
    assert generate(WORLD, seed=7) != generate(WORLD, seed=8)


def test_villages_meet_only_by_bus():
    for contact in generate(WORLD, seed=1).contacts:
        bus = contact.b >= WORLD.villages * WORLD.people
        assert bus or contact.a // WORLD.people == contact.b // WORLD.people


def test_every_message_is_between_two_people_and_has_until_the_end():
    people = WORLD.villages * WORLD.people
    messages = generate(WORLD, seed=1, messages=200).messages
    assert len(messages) == 200
    for message in messages:
        assert message.src != message.dst
        assert max(message.src, message.dst) < people
        assert message.created + message.lifetime == WORLD.days * DAY


@given(
    st.lists(
        st.builds(
            lambda start, length, a: ContactTime(start, start + length, a, 3),
            st.integers(0, 50),
            st.integers(0, 10),
            st.integers(0, 2),
        )
    )
)
def test_merging_keeps_who_hears_whom_when_and_leaves_no_overlap(contacts):
    def moments(some):
        return {(c.a, c.b, t) for c in some for t in range(int(c.start), int(c.end) + 1)}

    joined = merged(contacts)
    assert moments(joined) >= moments(contacts)
    assert sum(c.end - c.start + 1 for c in joined) == len(moments(joined))
