"""What a hostile carrier, asker or answerer can make of wants: nothing that others pay for."""

from random import Random

import pytest

from meshpeer.core.files import answers as answers_module
from meshpeer.core.files import wants as wants_module
from meshpeer.core.files.answers import CLOSED_S, MAX_HELD, STRANGER_BUDGET
from meshpeer.core.files.limits import Limits
from meshpeer.core.files.post import Lacking, Taken
from meshpeer.core.files.wants import PATIENCE_S, Wants
from meshpeer.core.formats.bundle import Bundle, Priority
from meshpeer.core.formats.manifest import CHUNK, want_tag
from meshpeer.core.formats.want import MAX_BUDGET, ROOT, SUITE_WANT, Kind, Part, Want
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.identity.preimage import one_way
from meshpeer.core.identity.seal import Seal, destination_tag
from meshpeer.core.journal import Journal
from meshpeer.core.sync.account import Kind as AccountKind
from meshpeer.core.sync.fresh import fresh_header
from tests.core.files.test_wants import bundles_of, noise, wants_in
from tests.core.mail.carriers import World, manifest_of

RNG = Random("mallory").randbytes


def want_bundle(file, want, *, receipt_hash=None, lifetime=86_400):
    header = fresh_header(
        tag=want_tag(file),
        receipt_hash=receipt_hash or RNG(16),
        lifetime=lifetime,
        priority=Priority.NORMAL,
        wall=0.0,
        rng=RNG,
        suite=SUITE_WANT,
    )
    payload = want if isinstance(want, bytes) else want.to_bytes()
    return Bundle.make(header, payload)


def answer_bundle(sealing, file, part, data, kind=Kind.ANSWER):
    seal = Seal(
        sender=KeyPair.generate(RNG),
        receiver=sealing,
        message_id=RNG(16),
        ephemeral=KeyPair.generate(RNG),
    )
    header = fresh_header(
        tag=destination_tag(sealing),
        receipt_hash=seal.receipt_hash,
        lifetime=86_400,
        priority=Priority.BULK,
        wall=0.0,
        rng=RNG,
    )
    body = Part(kind, file, part, data).to_bytes()
    return Bundle.make(header, seal.close(header.immutable, body))


def brings(carrier, bundle):
    """This carrier has the bundle, from wherever."""
    assert carrier.sync.submit(bundle, carrier.world.now) is None
    carrier.settle()


def answers_of(carrier):
    return [one for one in bundles_of(carrier) if one.header.suite != SUITE_WANT]


def bytes_of(bundles):
    return sum(len(bundle.payload) for bundle in bundles)


def key():
    return KeyPair.generate(RNG).public


def test_a_want_that_claims_a_huge_budget_gets_what_its_bringer_may_cost(monkeypatch):
    world = World("ann", "mallory")
    file = world.ann.publishes(noise(12))
    brings(world.mallory, want_bundle(file, Want(key(), MAX_BUDGET)))
    world.meet(world.mallory, world.ann, AccountKind.STRANGER)
    assert bytes_of(answers_of(world.ann)) < 1.1 * STRANGER_BUDGET

    monkeypatch.setattr(answers_module, "CONTACT_BUDGET", 5 * CHUNK)
    brings(world.mallory, want_bundle(file, Want(key(), MAX_BUDGET)))
    world.meet(world.mallory, world.ann, AccountKind.CONTACT)
    assert bytes_of(answers_of(world.ann)) < 1.1 * (STRANGER_BUDGET + 5 * CHUNK)


def test_a_want_with_a_small_budget_is_not_given_more():
    world = World("ann", "mallory")
    file = world.ann.publishes(noise(3))
    brings(world.mallory, want_bundle(file, Want(key(), 1_000)))
    world.meet(world.mallory, world.ann)
    assert bytes_of(answers_of(world.ann)) < 1_000


def test_the_same_want_under_other_headers_is_answered_once_also_after_a_restart():
    world = World("ann", "mallory")
    file = world.ann.publishes(noise(1))
    want = Want(key(), MAX_BUDGET)
    for turn in range(4):
        brings(world.mallory, want_bundle(file, want, lifetime=86_400 + turn))
        world.meet(world.mallory, world.ann)
        if turn == 1:
            world.crash(world.ann)
        world.later(1.0)
    assert len(answers_of(world.ann)) == 2, "root and chunk"


def test_what_answers_cost_is_charged_to_who_brought_the_want():
    world = World("ann", "mallory")
    file = world.ann.publishes(noise(1))
    brings(world.mallory, want_bundle(file, Want(key(), MAX_BUDGET)))
    world.meet(world.mallory, world.ann, AccountKind.STRANGER)
    assert {row.account for row in world.ann.held()} == {"stranger:mallory"}


def test_wants_for_thousands_of_files_that_are_here_go_by_their_bringers_rate(monkeypatch):
    monkeypatch.setattr(answers_module, "STRANGER_BURST", 20)
    world = World("ann", "mallory")
    files = [world.ann.publishes(bytes([n]) * 5_000) for n in range(40)]
    for file in files:
        brings(world.mallory, want_bundle(file, Want(key(), MAX_BUDGET)))
    world.meet(world.mallory, world.ann, AccountKind.STRANGER)
    assert len(answers_of(world.ann)) <= 21
    assert world.ann.answers.next_wakeup() is not None
    for _ in range(40):
        world.later(answers_module.PUT_OFF_S)
    assert 21 < len(answers_of(world.ann)) <= 2 * 40, "the rest comes slowly"


def test_wants_for_thousands_of_unknown_files_fill_no_memory(monkeypatch):
    monkeypatch.setattr(answers_module, "MAX_HELD", 50)
    assert MAX_HELD > 50
    world = World("ann", "mallory")
    for _ in range(200):
        brings(world.mallory, want_bundle(RNG(32), Want(key(), 1_000)))
    world.meet(world.mallory, world.ann, AccountKind.STRANGER)
    assert sum(map(len, world.ann.answers._held.values())) == 50
    assert len(world.ann.held()) == 200, "they are carried all the same"


@pytest.mark.parametrize(
    "payload", [b"\x00", b"x" * 20_000, Want(b"\x09" + bytes(31), 1).to_bytes()]
)
def test_a_want_that_makes_no_sense_is_carried_and_not_answered(payload):
    world = World("ann", "mallory")
    file = world.ann.publishes(noise(1))
    brings(world.mallory, want_bundle(file, payload))
    world.meet(world.mallory, world.ann)
    world.later(60.0)
    assert bytes_of(answers_of(world.ann)) == 0


def asked(world, data=b"what bob wants" * 9_000):
    """Bob asks for a file; mallory carries his want and so knows its key."""
    file = World("else", seed=9).carriers[0].publishes(data)
    world.bob.fetches(file)
    world.later(PATIENCE_S)
    world.meet(world.bob, world.mallory)
    ((_, want),) = wants_in(world.mallory)
    return file, want


def test_answers_with_wrong_bytes_are_refused_and_the_right_ones_still_taken():
    data = noise(1.5)
    world = World("ann", "mallory", "bob")
    file, want = asked(world, data)
    for part, lie in ((ROOT, bytes(43)), (0, bytes(CHUNK)), (2**31, bytes(32)), (9, b"x")):
        brings(world.mallory, answer_bundle(want.sealing, file, part, lie))
    brings(world.mallory, answer_bundle(want.sealing, RNG(32), 0, b"another file"))
    brings(world.mallory, answer_bundle(want.sealing, file, 0, b"x", Kind.PIECE))
    world.meet(world.mallory, world.bob)
    assert world.bob.files.progress(file).have == 0

    assert world.ann.publishes(data) == file
    world.meet(world.mallory, world.ann)
    brings(world.mallory, answer_bundle(want.sealing, file, 0, bytes(CHUNK)))
    world.meet(world.mallory, world.bob)
    assert world.bob.content(file) == data
    values = {row.value for row in world.bob.store.values()}
    lies = [one for one in answers_of(world.mallory) if len(one.payload) > CHUNK]
    assert lies, "a lie gets no receipt"
    assert not any(
        one_way(one_way(value)) == lie.header.receipt_hash
        for value in values
        for lie in lies
    )


def test_a_want_takes_only_so_many_answers(monkeypatch):
    monkeypatch.setattr(wants_module, "SPARE_ANSWERS", 3)
    monkeypatch.setattr(wants_module, "ANSWERS_FOR_EACH", 0)
    world = World("mallory", "bob")
    file, want = asked(world)
    root = World("else", seed=9).carriers[0]
    manifest = root.publishes(b"what bob wants" * 9_000)
    data = root.store.manifest(manifest)
    for _ in range(10):
        brings(world.mallory, answer_bundle(want.sealing, file, ROOT, data))
    world.meet(world.mallory, world.bob)
    assert len(list(world.bob.store.values())) <= 3


def test_a_holder_can_not_be_made_to_send_much_to_somebody_who_asked_for_little():
    """Mallory puts the key of bob's want into wants for everything that ann holds."""
    world = World("ann", "mallory", "bob")
    file, want = asked(world)
    for n in range(10):
        other = world.ann.publishes(noise(1, seed=n))
        brings(world.mallory, want_bundle(other, Want(want.sealing, MAX_BUDGET)))
    world.meet(world.mallory, world.ann, AccountKind.STRANGER)
    assert answers_of(world.ann)
    assert {row.account for row in world.ann.held() if row.size > 1_000} == {
        "stranger:mallory"
    }
    world.meet(world.ann, world.bob)
    assert world.bob.files.progress(file).have == 0
    over = {row.id for row in world.bob.store.overs()}
    assert {one.id for one in answers_of(world.ann)} <= over, "refused for good, on sight"


def test_answers_from_many_strangers_at_once_are_put_off(monkeypatch):
    monkeypatch.setattr(wants_module, "STRANGER_BURST", 2)
    world = World("mallory", "bob")
    file, want = asked(world)
    for _ in range(6):
        brings(world.mallory, answer_bundle(want.sealing, file, ROOT, RNG(100)))
    world.link(world.mallory, world.bob, AccountKind.STRANGER)
    world.run()
    assert len(list(world.bob.store.overs())) == 2
    for so_far in (4, 6):
        world.later(wants_module.PUT_OFF_S)
        world.run()
        assert len(list(world.bob.store.overs())) == so_far, "asked for when there is time"


class Swarm:
    """A fetch of which somebody near holds something, or not."""

    def __init__(self, holders):
        self.holders = holders

    def lacking(self, file):
        return Lacking(self.holders, None, 0)

    def take_part(self, file, part, data, stored, now):
        return Taken.NOT_NOW


class Nothing:
    """A queue that counts what is submitted."""

    def __init__(self):
        self.submitted = []

    def submit(self, bundle, now, account=None):
        self.submitted.append(bundle)

    def add_value(self, value, hours, now):
        pass


def test_no_want_is_sent_while_a_holder_is_up():
    swarm, post = Swarm(holders=1), Nothing()
    wants = Wants(
        files=swarm, post=post, journal=Journal(), rng=RNG, wall=lambda: 0.0, now=0.0
    )
    wants.look(b"f" * 32, now=0.0)
    assert wants.next_wakeup() is None
    swarm.holders = 0
    wants.look(b"f" * 32, now=10.0)
    assert wants.next_wakeup() == 10.0 + PATIENCE_S
    swarm.holders = 1
    wants.wake(now=10.0 + PATIENCE_S)
    assert post.submitted == []
    swarm.holders = 0
    wants.wake(wants.next_wakeup())
    assert len(post.submitted) == 1


def test_hundreds_of_fetches_that_nobody_holds_have_only_so_many_wants():
    post = Nothing()
    wants = Wants(
        files=Swarm(0), post=post, journal=Journal(), rng=RNG, wall=lambda: 0.0, now=0.0
    )
    for n in range(300):
        wants.look(n.to_bytes(32), now=0.0)
    wants.wake(now=PATIENCE_S)
    assert len(post.submitted) == len(wants.tags) == wants_module.MAX_WANTS


@pytest.mark.parametrize(
    "closed", [Limits(serve=False), Limits(hours=(0, 0))], ids=["never", "not now"]
)
def test_wants_are_not_answered_where_the_owner_lets_nothing_be_given(closed):
    world = World("ann", "mallory")
    file = world.ann.publishes(noise(2))
    world.ann.files.limits = closed
    brings(world.mallory, want_bundle(file, Want(key(), MAX_BUDGET)))
    world.meet(world.mallory, world.ann)
    for _ in range(5):
        world.later(CLOSED_S)
    assert answers_of(world.ann) == []
    world.ann.files.limits = Limits()
    brings(world.mallory, want_bundle(file, Want(key(), MAX_BUDGET)))
    world.meet(world.mallory, world.ann)
    world.later(CLOSED_S)
    assert answers_of(world.ann), "but once it is allowed"


def test_answers_go_no_faster_than_the_owner_lets_files_be_given():
    world = World("ann", "mallory")
    file = world.ann.publishes(noise(12))
    world.ann.files.limits = Limits(rate=CHUNK / 100)
    brings(world.mallory, want_bundle(file, Want(key(), MAX_BUDGET)))
    world.meet(world.mallory, world.ann)
    assert bytes_of(answers_of(world.ann)) <= 3 * CHUNK
    for _ in range(60):
        world.later(10.0)
    assert 4 * CHUNK < bytes_of(answers_of(world.ann)) < 10 * CHUNK


def test_many_wants_for_one_huge_file_share_its_manifest():
    world = World("ann", "mallory")
    file = world.ann.publishes(noise(12))
    for _ in range(10):
        brings(world.mallory, want_bundle(file, Want(key(), MAX_BUDGET)))
    world.ann.lazy = True
    world.link(world.mallory, world.ann)
    world.run()
    jobs = world.ann.answers._jobs
    assert len(jobs) > 5
    assert len({id(job.manifest) for job in jobs}) == 1


def test_strangers_wants_for_nothing_do_not_push_out_what_a_contact_brings(monkeypatch):
    monkeypatch.setattr(answers_module, "MAX_HELD", 50)
    monkeypatch.setattr(answers_module, "MAX_PUT_OFF", 5)
    monkeypatch.setattr(answers_module, "STRANGER_BURST", 0)
    world = World("ann", "mallory", "bob")
    data = noise(1)
    file = manifest_of(data).id
    for _ in range(60):
        brings(world.mallory, want_bundle(RNG(32), Want(key(), 1_000)))
    for _ in range(40):
        brings(world.mallory, want_bundle(file, Want(key(), MAX_BUDGET)))
    world.meet(world.mallory, world.ann, AccountKind.STRANGER)
    brings(world.bob, want_bundle(file, Want(key(), MAX_BUDGET)))
    world.meet(world.bob, world.ann, AccountKind.CONTACT)
    assert world.ann.publishes(data) == file
    for _ in range(5):
        world.later(answers_module.PUT_OFF_S)
    assert {row.account for row in answers_rows(world.ann)} == {"contact:bob"}


def answers_rows(carrier):
    wants = {id for id, _, _ in carrier.sync.queue.wants()}
    return [row for row in carrier.held() if row.id not in wants]
