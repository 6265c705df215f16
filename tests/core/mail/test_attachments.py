"""Files that go with messages: carried in pieces, and arrived only when all of them is there."""

from random import Random

import pytest

from meshpeer.core.files import parts as parts_module
from meshpeer.core.formats.attachment import Attachment
from meshpeer.core.formats.bundle import Bundle, Priority
from meshpeer.core.formats.manifest import CHUNK
from meshpeer.core.formats.want import ROOT, Kind, Part
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.identity.seal import Seal, destination_tag
from meshpeer.core.mail import attachments as attachments_module
from meshpeer.core.mail import pieces as pieces_module
from meshpeer.core.mail.letters import message_state
from meshpeer.core.mail.people import Status
from meshpeer.core.sync import depot as depot_module
from meshpeer.core.sync.fresh import fresh_header
from meshpeer.core.writes import Box, DeliveryState
from meshpeer.errors import UsageError
from tests.core.mail.carriers import Crash, World, manifest_of, opened

DAY = 86_400.0


def noise(chunks, seed=0):
    return Random(seed).randbytes(int(chunks * CHUNK))


def friends(*names):
    world = World(*names)
    world.friends(world.ann, world.bob)
    return world


def sizes(carrier):
    return sorted(row.size for row in carrier.held())


@pytest.mark.parametrize("data", [b"", b"small" * 50, noise(0.9), noise(3.2)], ids=len)
def test_a_message_with_a_file_crosses_the_gap_in_pieces(data):
    world = friends("ann", "ferry", "bob")
    message_id, (attachment,) = world.ann.writes(world.bob, "look at this", data)
    world.meet(world.ann, world.ferry)
    assert len(world.ferry.held()) >= 3
    world.meet(world.ferry, world.bob)
    world.later(2.0)
    world.meet(world.ferry, world.bob)
    world.later(5.0)
    assert world.bob.inbox() == ["look at this"]
    assert opened(world.bob.content(attachment.file), attachment.key) == data
    assert not world.ann.arrived(message_id, world.bob)

    world.meet(world.bob, world.ferry)
    world.meet(world.ferry, world.ann)
    assert world.ann.arrived(message_id, world.bob)
    assert world.ann.has_told_arrived(message_id)
    assert world.ann.held() == world.ferry.held() == []


def test_a_message_has_not_arrived_while_a_file_of_it_lacks():
    world = friends("ann", "ferry", "bob")
    message_id, _ = world.ann.writes(world.bob, "two files", noise(2), noise(1, seed=2))
    pipe = world.link(world.ann, world.bob, budget=3_000)
    world.run()
    world.unlink(pipe)
    world.meet(world.bob, world.ann, budget=4_000)
    assert world.bob.inbox() == ["two files"]
    assert DeliveryState.ARRIVED in world.ann.states(message_id), "the text did"
    assert not world.ann.arrived(message_id, world.bob)
    assert not world.ann.has_told_arrived(message_id)
    assert world.ann.store.counts(world.now).underway == 1
    world.crash(world.ann)
    world.meet(world.ann, world.bob)
    world.later(5.0)
    world.meet(world.ann, world.bob)
    assert world.ann.arrived(message_id, world.bob)
    assert world.ann.store.counts(world.now).underway == 0
    assert len([b for b in world.ann.told(message_id) if '"arrived"' in b]) == 1


@pytest.mark.parametrize(
    ("states", "lack", "over", "told"),
    [
        ({5}, False, False, 5),
        ({5, 0}, False, True, 5),
        ({5}, True, False, 1),
        ({5}, True, True, 4),
        ({5, 2}, True, False, 2),
        ({0, 1}, True, False, 1),
        ({3, 0}, False, False, 0),
        ({4}, False, True, 4),
    ],
)
def test_what_a_screen_says_of_a_message(states, lack, over, told):
    found = message_state(map(DeliveryState, states), files_lack=lack, over=over)
    assert found is DeliveryState(told)


def test_pieces_wait_in_small_numbers_in_the_own_queue(monkeypatch):
    monkeypatch.setattr(pieces_module, "IN_QUEUE", 2 * CHUNK)
    world = friends("ann", "bob")
    world.ann.writes(world.bob, "long", noise(8))
    assert sum(sizes(world.ann)) < 4 * CHUNK
    world.link(world.ann, world.bob)
    for _ in range(10):
        world.run()
        world.later(2.0)
    assert world.ann.held() == []
    assert len(world.bob.store.messages(Box.INBOX)) == 1


def test_files_above_the_limit_of_pieces_come_by_wants(monkeypatch):
    monkeypatch.setattr(pieces_module, "MAX_PIECES", CHUNK)
    world = friends("ann", "ferry", "bob")
    data = noise(2)
    message_id, (attachment,) = world.ann.writes(world.bob, "large", data)
    assert len(world.ann.held()) == 1, "the message alone"
    for _ in range(2):
        world.chain_of_meetings(world.ann, world.ferry, world.bob)
        world.chain_of_meetings(world.bob, world.ferry, world.ann)
    assert opened(world.bob.content(attachment.file), attachment.key) == data
    world.chain_of_meetings(world.bob, world.ferry, world.ann)
    assert world.ann.arrived(message_id, world.bob)


def test_a_strangers_file_is_not_fetched_before_the_stranger_is_accepted():
    world = World("ann", "ferry", "bob")
    world.ann.journal.add(world.ann.mail.people.accept(world.bob.card, None, wall=0))
    world.ann.settle()
    _, (attachment,) = world.ann.writes(world.bob, "let us meet", noise(1))
    world.chain_of_meetings(world.ann, world.ferry, world.bob)
    (request,) = world.bob.store.messages(Box.REQUESTS)
    assert request.text == "let us meet"
    assert world.bob.files.fetches() == []
    assert len(world.ferry.held()) > 1, "carriers keep it meanwhile"
    world.crash(world.bob)

    world.link(world.ferry, world.bob)
    world.run()
    assert world.bob.files.fetches() == []
    world.bob.mail.inbox.accept_request(world.ann.person.public, None, wall=0)
    world.run()
    world.later(5.0)
    world.run()
    assert opened(world.bob.content(attachment.file), attachment.key) == noise(1)


def test_what_a_blocked_person_sends_is_asked_back():
    world = friends("ann", "bob")
    world.bob.journal.add(
        world.bob.mail.people.change(world.ann.person.public, status=Status.BLOCKED)
    )
    message_id, _ = world.ann.writes(world.bob, "look", noise(1))
    world.meet(world.ann, world.bob)
    assert world.bob.store.messages(Box.INBOX) == []
    assert world.bob.files.fetches() == []
    assert not world.ann.arrived(message_id, world.bob)


def test_a_recall_takes_the_pieces_back_too():
    world = friends("ann", "ferry", "bob")
    message_id, _ = world.ann.writes(world.bob, "no, wait", noise(2))
    world.meet(world.ann, world.ferry)
    world.ann.mail.recall(message_id, world.now)
    world.ann.settle()
    world.meet(world.ann, world.ferry)
    assert world.ann.held() == world.ferry.held() == []


def test_a_restart_makes_no_second_copy_of_a_piece():
    world = friends("ann", "ferry", "bob")
    world.ann.writes(world.bob, "once", noise(2))
    before = {row.id for row in world.ann.held()}
    world.meet(world.ann, world.ferry)
    for _ in range(2):
        world.crash(world.ann)
        assert {row.id for row in world.ann.held()} == before
    world.meet(world.ann, world.ferry)
    assert {row.id for row in world.ferry.held()} == before


def test_a_piece_that_our_own_queue_gave_up_is_made_again():
    world = friends("ann", "bob")
    world.ann.writes(world.bob, "once", noise(1))
    piece = max(world.ann.held(), key=lambda row: row.size)
    world.ann.mail.dropped(piece.id, world.now)
    world.ann.settle()
    world.later(pieces_module.RETRY_S)
    assert piece.id in {row.id for row in world.ann.held()}


def test_a_full_disk_puts_pieces_off_and_gives_no_receipt():
    world = friends("ann", "bob")
    message_id, _ = world.ann.writes(world.bob, "room?", noise(1))
    world.bob.full = True
    pipe = world.link(world.ann, world.bob)
    world.run()
    assert world.bob.inbox() == ["room?"]
    assert len(world.ann.held()) > 0
    assert not world.ann.arrived(message_id, world.bob)
    world.bob.full = False
    for _ in range(4):
        world.later(10.0)
        world.run()
    world.unlink(pipe)
    assert world.ann.arrived(message_id, world.bob)


def test_no_receipt_leaves_while_a_chunk_is_not_flushed_and_a_crash_then_loses_nothing():
    world = friends("ann", "ferry", "bob")
    message_id, (attachment,) = world.ann.writes(world.bob, "slowly", noise(2))
    world.meet(world.ann, world.ferry)
    world.bob.lazy = True
    chunks = {row.id for row in world.ferry.held() if row.size > CHUNK // 2}
    for _ in range(2):
        world.link(world.ferry, world.bob)
        for _ in range(3):
            world.run()
            world.later(5.0)
        assert world.bob.inbox() == ["slowly"]
        assert world.bob.asked
        assert chunks <= {row.id for row in world.ferry.held()}
        world.crash(world.bob)
    world.bob.lazy = False
    world.link(world.ferry, world.bob)
    for _ in range(3):
        world.run()
        world.later(5.0)
    assert opened(world.bob.content(attachment.file), attachment.key) == noise(2)
    world.meet(world.ferry, world.ann)
    assert world.ann.arrived(message_id, world.bob)


def test_roots_of_files_that_never_come_hold_nobody_else_back(monkeypatch):
    """A contact names many small files and sends of each only what must wait for the rest."""
    monkeypatch.setattr(depot_module, "INTAKE_LIMIT", 2_000)
    monkeypatch.setattr(parts_module, "MAX_WAITING", 20)
    world = World("ann", "bob", "carol")
    world.friends(world.ann, world.bob, world.carol)
    contact = world.ann.mail.people.get(world.bob.person.public)
    manifests = [manifest_of(bytes([n]) * 500) for n in range(32)]
    for half in (manifests[:16], manifests[16:]):
        files = [Attachment(one.id, 500, "never", "", bytes(32)) for one in half]
        draft = world.ann.draft("look", *files)
        world.ann.mail.send(world.ann.own, contact, draft, world.now)
    world.meet(world.ann, world.bob)
    for one in manifests:
        root = piece(world.ann, world.bob, one.id, ROOT, one.root)
        world.ann.sync.submit(root, world.now)
    world.meet(world.ann, world.bob)
    assert len(world.bob.sync._depot.writing) == 20

    message_id, _ = world.carol.writes(world.bob, "and mine?", noise(0.5))
    world.link(world.carol, world.bob)
    for _ in range(3):
        world.run()
        world.later(5.0)
    assert world.carol.arrived(message_id, world.bob)


def piece(sender, receiver, file, part, data, kind=Kind.PIECE):
    seal = Seal(
        sender=sender.sealing,
        receiver=receiver.sealing.public,
        message_id=sender.rng(16),
        ephemeral=KeyPair.generate(sender.rng),
    )
    header = fresh_header(
        tag=destination_tag(receiver.sealing.public),
        receipt_hash=seal.receipt_hash,
        lifetime=86_400,
        priority=Priority.BULK,
        wall=0.0,
        rng=sender.rng,
    )
    body = Part(kind, file, part, data).to_bytes()
    return Bundle.make(header, seal.close(header.immutable, body))


def test_pieces_with_wrong_bytes_are_refused_and_the_file_still_comes():
    world = friends("ann", "bob")
    data = noise(1)
    _, (attachment,) = world.ann.writes(world.bob, "true", data)
    for part, lie in ((0, bytes(CHUNK)), (ROOT, bytes(43)), (7, b"x")):
        world.ann.sync.submit(
            piece(world.ann, world.bob, attachment.file, part, lie), world.now
        )
    world.ann.sync.submit(
        piece(world.ann, world.bob, attachment.file, 0, b"x", Kind.ANSWER), world.now
    )
    world.link(world.ann, world.bob)
    for _ in range(3):
        world.run()
        world.later(5.0)
    assert opened(world.bob.content(attachment.file), attachment.key) == data


def test_nobody_else_can_bring_pieces_of_a_message():
    world = World("ann", "bob", "mallory")
    world.friends(world.ann, world.bob, world.mallory)
    _, (attachment,) = world.ann.writes(world.bob, "mine", noise(1))
    world.meet(world.ann, world.bob, budget=3_000)
    theirs = piece(world.mallory, world.bob, attachment.file, ROOT, b"whatever")
    world.mallory.sync.submit(theirs, world.now)
    world.meet(world.mallory, world.bob)
    assert len(world.mallory.held()) == 1
    assert world.bob.sync.queue.values.of(theirs.header.receipt_hash) == []


def test_pieces_of_a_message_that_never_comes_are_left_with_who_brings_them():
    world = friends("ann", "bob")
    world.ann.sync.submit(piece(world.ann, world.bob, b"f" * 32, 0, noise(1)), world.now)
    world.meet(world.ann, world.bob)
    assert len(world.ann.held()) == 1
    assert world.bob.sync._depot.writing == {}
    assert world.bob.files.fetches() == []


def test_one_contact_can_not_make_us_fetch_without_end(monkeypatch):
    monkeypatch.setattr(attachments_module, "CONTACT_SHARE", 2 * CHUNK)
    world = friends("ann", "bob")
    contact = world.ann.mail.people.get(world.bob.person.public)
    for n in range(4):
        huge = Attachment(bytes([n]) * 32, int(1.5 * CHUNK), "huge", "", bytes(32))
        draft = world.ann.draft("fetch this", huge)
        world.ann.mail.send(world.ann.own, contact, draft, world.now)
    world.ann.settle()
    world.meet(world.ann, world.bob)
    assert len(world.bob.inbox()) == 4
    assert len(world.bob.files.fetches()) == 1


def test_a_draft_says_what_is_wrong_with_its_files():
    world = friends("ann", "bob")
    contact = world.ann.mail.people.get(world.bob.person.public)
    bad = Attachment(b"f" * 32, 5, "a/b", "", bytes(32))
    for files in ((bad,), (bad._replace(name="a"),) * 2):
        with pytest.raises(UsageError, match="attachment"):
            world.ann.mail.send(
                world.ann.own, contact, world.ann.draft("x", *files), world.now
            )
    assert world.ann.store.messages(Box.OUTBOX) == []


def test_a_file_that_is_here_already_arrives_with_its_message():
    world = friends("ann", "bob")
    message_id, (attachment,) = world.ann.writes(world.bob, "again", noise(1))
    assert world.bob.publishes(world.ann.whole[attachment.file]) == attachment.file
    world.meet(world.ann, world.bob)
    assert world.ann.arrived(message_id, world.bob)
    assert world.ann.held() == []


def test_a_message_whose_files_did_not_all_come_in_time_has_expired():
    world = friends("ann", "bob")
    message_id, _ = world.ann.writes(world.bob, "too long", noise(2))
    world.meet(world.ann, world.bob, budget=3_000)
    world.meet(world.ann, world.bob, budget=3_000)
    world.later(8 * DAY)
    assert any('"expired"' in body for body in world.ann.told(message_id))
    assert not world.ann.has_told_arrived(message_id)
    assert world.ann.held() == []


def test_a_crash_at_any_commit_of_anybody_breaks_no_promise():
    data = noise(1.3)
    for name in ("ann", "ferry", "bob"):
        for before in (True, False):
            for at in range(1, 60):
                if not lives(data, name, at, before=before):
                    assert at > 3
                    break


def lives(data, name, at, *, before):
    world = friends("ann", "ferry", "bob")
    carrier = getattr(world, name)
    carrier.crash_at, carrier.before, carrier.commits = at, before, 0

    def live():
        if not world.ann.store.messages(Box.OUTBOX):
            world.ann.writes(world.bob, "promised", data)
        for _ in range(3):
            world.chain_of_meetings(world.ann, world.ferry, world.bob, pause=3.0)
            world.chain_of_meetings(world.bob, world.ferry, world.ann, pause=3.0)

    try:
        live()
    except Crash:
        world.crash(carrier)
        live()
    (row,) = world.ann.store.messages(Box.OUTBOX)
    (attachment,) = world.ann.store.attachments(
        row.message_id, world.bob.person.public, sent=True
    )
    assert world.bob.inbox() == ["promised"]
    assert opened(world.bob.content(attachment.file), attachment.key) == data
    assert world.ann.arrived(row.message_id, world.bob), (name, at, before)
    told = [body for body in world.ann.told(row.message_id) if '"arrived"' in body]
    assert len(told) == 1
    for one in world.carriers:
        assert one.held() == [], (name, at, before, one.name)
    return carrier.commits >= at


def test_a_contact_can_not_have_files_without_end_looked_for(monkeypatch):
    """Each is a fetch that waits, and a question to each neighbour, for weeks."""
    monkeypatch.setattr(attachments_module, "CONTACT_FILES", 20)
    world = friends("ann", "bob")
    bob = world.ann.mail.people.get(world.bob.person.public)
    for _ in range(5):
        nowhere = [Attachment(world.ann.rng(32), 1, "x", "", bytes(32)) for _ in range(16)]
        draft = world.ann.draft("look", *nowhere)
        world.ann.mail.send(world.ann.own, bob, draft, world.now)
        world.ann.settle()
    world.meet(world.ann, world.bob)
    assert world.bob.inbox() == ["look"] * 5
    assert len(world.bob.files.fetches()) == 20
    _, (attachment,) = world.ann.writes(world.bob, "a real one", b"real")
    world.meet(world.ann, world.bob)
    assert "a real one" in world.bob.inbox()
    assert attachment.file not in {row.file for row in world.bob.files.fetches()}
