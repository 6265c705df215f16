"""Whatever the order, whatever is lost on the way: in the end all hold the same blocks."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from meshpeer.core.chains.spans import MAX_SPANS, Spans, top_gap
from meshpeer.core.formats.block import Block
from meshpeer.core.formats.record import Post, Withdraw
from tests.core.chains.village import Log, Peer, Person, Village

NUMBERS = st.integers(1, 60)


@given(st.lists(st.tuples(st.booleans(), NUMBERS, NUMBERS), max_size=30), NUMBERS, NUMBERS)
def test_spans_are_a_set_of_numbers(steps, first, last):
    spans, plain = Spans(), set()
    for add, one, other in steps:
        low, high = sorted((one, other))
        if add:
            spans.add(low, high)
            plain |= set(range(low, high + 1))
        else:
            spans.remove(low, high)
            plain -= set(range(low, high + 1))
    assert {n for low, high in spans for n in range(low, high + 1)} == plain
    assert [n in spans for n in range(62)] == [n in plain for n in range(62)]
    assert spans.count == len(plain)
    assert spans.top == max(plain, default=0)
    assert all(a[1] + 1 < b[0] for a, b in zip(list(spans), list(spans)[1:], strict=False))
    assert spans.below(last) == max((n for n in plain if n < last), default=0)
    lacking = [n for n in range(first, last + 1) if n not in plain]
    gap = top_gap(first, last, 5, (spans,))
    if lacking:
        assert gap is not None
        assert gap[1] == lacking[-1]
        assert set(range(gap[0], gap[1] + 1)) <= set(lacking)
        assert gap[1] - gap[0] == 4 or gap[0] - 1 not in lacking
    else:
        assert gap is None


class AnyOrder(RuleBasedStateMachine):
    """One follower, two devices that post and withdraw, blocks that come as they like."""

    @initialize(seed=st.integers(0, 1_000))
    def begin(self, seed):
        self.person = Person("ann", devices=2, seed=seed)
        self.logs = [Log(self.person), Log(self.person, device=1)]
        self.bob = Peer("bob")
        self.bob.knows(self.person)
        self.waiting = []
        self.all = []

    @rule(which=st.integers(0, 1), count=st.integers(1, 12))
    def post(self, which, count):
        blocks = self.logs[which].grow(count)
        self.all += blocks
        self.waiting += blocks

    @rule(which=st.integers(0, 1), pick=st.integers(0, 1_000))
    def withdraw(self, which, pick):
        posts = [block for block in self.all if block.body[1:4] == b"\0\2\1"]
        if posts:
            target = posts[pick % len(posts)]
            block = self.logs[which].add(Withdraw(target.id))
            self.all.append(block)
            self.waiting.append(block)

    @rule(picks=st.lists(st.integers(0, 1_000), max_size=15), bare=st.booleans())
    def some_come(self, picks, bare):
        for pick in picks:
            if self.waiting:
                block = self.waiting.pop(pick % len(self.waiting))
                if bare:
                    self.waiting.append(block)
                    block = Block(block.header, None)
                self.bob.take(block)

    @rule(pick=st.integers(0, 1_000))
    def one_is_lost(self, pick):
        if self.waiting:
            self.waiting.pop(pick % len(self.waiting))

    @rule(pick=st.integers(0, 1_000))
    def one_comes_again(self, pick):
        if self.all:
            self.bob.take(self.all[pick % len(self.all)])

    @rule()
    def the_disk_holds_and_all_starts_anew(self):
        self.bob.start()

    @rule()
    def what_was_not_committed_is_forgotten(self):
        for block in self.waiting[:3]:
            self.bob.chains.intake.take(block, 0.0)
        self.bob.start()

    @invariant()
    def what_is_known_is_what_is_held(self):
        if not hasattr(self, "bob"):
            return
        for log in self.bob.chains.book.logs.values():
            held = {n for d, i, n in self.bob.disk.places if (d, i) == log.log_key}
            assert {n for a, b in log.held for n in range(a, b + 1)} == held
            assert len(log.held) <= MAX_SPANS
            assert not log.claims.keys() & held
            assert all(log.claims[n].id == self._block(log, n).id for n in log.claims)
        assert not self.bob.disk.kept_forks

    def _block(self, log, sequence):
        return next(m for m in self.logs if m.key.public == log.device).blocks[sequence - 1]

    def teardown(self):
        if not hasattr(self, "bob"):
            return
        for _ in range(3):
            self.bob.take(*reversed(self.all))
        straight = Peer("straight")
        straight.knows(self.person)
        straight.take(*self.all)
        assert self.bob.rows(self.person) == straight.rows(self.person)
        assert len(self.bob.rows(self.person)) == len(self.all)


AnyOrder.TestCase.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None
)
TestAnyOrder = AnyOrder.TestCase


class AnyMeetings(RuleBasedStateMachine):
    """Four peers, two of one person, whose links are cut in the middle of anything."""

    @initialize(seed=st.integers(0, 1_000))
    def begin(self, seed):
        self.random = Random(seed)
        ann = Person("ann", devices=2, seed=seed)
        self.peers = [
            Peer("phone", ann),
            Peer("desk", ann, device=1),
            Peer("bob"),
            Peer("carla"),
        ]
        persons = [peer.person for peer in self.peers]
        for peer in self.peers:
            peer.knows(*(one for one in persons if one is not peer.person))
        self.village = Village()
        self.posted = {}

    @rule(who=st.integers(0, 3), count=st.integers(1, 80))
    def post(self, who, count):
        peer = self.peers[who]
        for n in range(count):
            peer.posts(f"{peer.name} {n}")
        peer.commit(0.0)

    @rule(who=st.integers(0, 3))
    def take_back(self, who):
        peer = self.peers[who]
        rows = peer.disk.blocks.values()
        mine = [row for row in rows if row.person == peer.person.id and row.item]
        if mine:
            peer.say(Withdraw(self.random.choice(mine).id))

    @rule(one=st.integers(0, 3), other=st.integers(0, 3), steps=st.integers(1, 12))
    def meet_for_a_moment(self, one, other, steps):
        if one == other:
            return
        link = self.village.link(self.peers[one], self.peers[other])
        for _ in range(steps):
            for pipe in list(self.village.pipes):
                self.village.carry(pipe)
            for peer in self.village.peers():
                self.village.work(peer)
        self.village.unlink(link)

    @rule(who=st.integers(0, 3))
    def restart(self, who):
        self.peers[who].start()

    @rule(who=st.integers(0, 3))
    def post_and_crash(self, who):
        peer = self.peers[who]
        peer.posts("lost")
        peer.start()

    def teardown(self):
        if not hasattr(self, "peers"):
            return
        for _ in range(3):
            for one, other in ((0, 1), (1, 2), (2, 3), (3, 0), (0, 2), (1, 3)):
                self.village.meet(self.peers[one], self.peers[other])
        for person in {peer.person.id: peer.person for peer in self.peers}.values():
            rows = [peer.rows(person) for peer in self.peers]
            assert rows[0] == rows[1] == rows[2] == rows[3]
        assert not any(peer.disk.kept_forks for peer in self.peers)


AnyMeetings.TestCase.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None
)
TestAnyMeetings = AnyMeetings.TestCase


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 15), st.integers(1, 15), st.integers(1, 15))
def test_a_fork_ends_alike_for_all_below_it(seed, common, left, right):
    """Two branches, shuffled for each of two followers, who then meet."""
    random, ann = Random(seed), Person("ann")
    log = Log(ann)
    log.grow(common)
    other = log.branch(common)
    log.grow(left)
    other.add(Post("another truth"))
    other.grow(right - 1)
    blocks = list({block.id: block for block in log.blocks + other.blocks}.values())
    bob, carla = Peer("bob"), Peer("carla")
    for peer in (bob, carla):
        peer.knows(ann)
        random.shuffle(blocks)
        peer.take(*blocks[: random.randint(1, len(blocks))])
    village = Village()
    for _ in range(3):
        village.meet(bob, carla)
    below = [{row for row in p.rows(ann) if row[2] <= common} for p in (bob, carla)]
    assert below[0] == below[1]
    assert bool(bob.disk.kept_forks) == bool(carla.disk.kept_forks)
