"""What a neighbour can try with files, and what it gets."""

import struct
from random import Random

from meshpeer.core.files.events import FetchFailed, HolderBanned
from meshpeer.core.files.giving import AHEAD, MAX_ASKS, MAX_SOUGHT
from meshpeer.core.files.messages import (
    CONTROL,
    PAGE0,
    PART_HEAD,
    PARTS,
    ROOT,
    Ask,
    Cancel,
    Coming,
    Forget,
    Have,
    Hold,
    No,
    Seek,
    Why,
)
from meshpeer.core.files.session import STRIKES, TELLS_BURST
from meshpeer.core.files.source import MAX_ASKED, SILENT_S
from meshpeer.core.formats.manifest import MAX_FILE, chunk_hash, want_tag
from tests.core.files.stranger import Stranger
from tests.core.files.town import Town, manifest_of

MIB = 1 << 20
TAG = b"t" * 16


def content(size, seed=1):
    return Random(seed).randbytes(size)


def meet(**settings):
    town = Town()
    host = town.host("host", **settings)
    return town, host, Stranger(host)


def asked(stranger):
    return [
        part
        for message in stranger.heard()
        if isinstance(message, Ask)
        for part in message.parts
    ]


def lure(size=4 * MIB):
    """The host fetches a file, of which the stranger says that it holds it."""
    town, host, stranger = meet()
    manifest = manifest_of(content(size))
    host.fetch(manifest.id)
    town.run(0.01)
    ((_, (sought,)),) = [("seek", message.wanted) for message in stranger.heard()]
    handle, tag = sought
    assert tag == want_tag(manifest.id)
    stranger.say(Hold((handle,)))
    return town, host, stranger, manifest, handle


def test_malformed_messages_close_the_link_after_some():
    town, _, stranger = meet()
    for strike in range(STRIKES):
        assert stranger.closed is None, strike
        stranger.send(CONTROL, b"\x02\x03abc")
    assert stranger.closed
    town.run(1)


def test_a_frame_without_end_closes_the_link():
    _, host, stranger = meet()
    stranger.send(CONTROL, b"\x01\xff\xff\xff\x7f")
    assert stranger.closed
    assert host.files.counters["frame"]


def test_seeking_without_end_is_answered_no():
    _, host, stranger = meet()
    for first in range(0, 2 * MAX_SOUGHT, 1_024):
        stranger.say(Seek(tuple((h, h.to_bytes(16)) for h in range(first, first + 1_024))))
    whys = [why for no in stranger.heard() for _, _, why in no.parts]
    assert whys.count(Why.UNKNOWN) == MAX_SOUGHT
    assert whys.count(Why.LIMIT) == MAX_SOUGHT
    assert host.files._swarm.sought == MAX_SOUGHT
    host.files.link_down(stranger, host.now)
    assert host.files._swarm.sought == 0
    assert not host.files._swarm.seekers


def test_seeking_and_forgetting_in_turn_is_slowed_down():
    _, host, stranger = meet()
    looked = []
    host.held = lambda tag: looked.append(tag)
    for turn in range(100):
        handles = range(turn * 1_000, turn * 1_000 + 1_000)
        stranger.say(
            Seek(tuple((h, h.to_bytes(16)) for h in handles)), Forget(tuple(handles))
        )
    assert len(looked) < 10_000


def test_one_handle_can_not_be_used_twice():
    _, _, stranger = meet()
    for _ in range(STRIKES + 1):
        stranger.say(Seek(((1, TAG),)))
    assert stranger.closed


def test_asking_for_all_and_reading_nothing_costs_a_few_mib():
    town, host, stranger = meet()
    data = content(64 * MIB)
    manifest = host.publish(data)
    stranger.reads = False
    stranger.say(Seek(((1, want_tag(manifest.id)),)))
    stranger.say(Ask(tuple((1, part) for part in range(256))))
    town.run(5)
    assert stranger.unread <= AHEAD + MIB


def test_asking_for_roots_without_end_is_a_few_mib_and_then_a_closed_link():
    town, host, stranger = meet()
    manifest = host.publish(content(64 * MIB))
    handle = 1
    stranger.reads = False
    stranger.say(Seek(((handle, want_tag(manifest.id)),)))
    for _ in range(2_000):
        stranger.say(Ask(((handle, ROOT),)))
    town.run(5)
    assert stranger.unread <= AHEAD + MIB


def test_too_many_asks_close_the_link():
    _, host, stranger = meet()
    manifest = host.publish(content(64 * MIB))
    stranger.reads = False
    stranger.say(Seek(((1, want_tag(manifest.id)),)))
    for _ in range(STRIKES):
        stranger.say(
            *(
                Ask(tuple((1, at + part) for part in range(1_024)))
                for at in (0, 1_024, 2_048, 3_072)
            )
        )
    assert stranger.closed
    assert len(host.files._sessions[stranger.peer_id].giving._asks) <= MAX_ASKS


def test_asking_for_what_there_is_not_is_answered_no():
    town, host, stranger = meet()
    manifest = host.publish(content(MIB))
    stranger.say(Seek(((1, want_tag(manifest.id)), (2, TAG))))
    stranger.say(Ask(((1, 4), (1, PAGE0), (2, 0), (9, 0), (9, ROOT))))
    town.run(1)
    refused = {
        (handle, part): why
        for message in stranger.heard()
        if isinstance(message, No)
        for handle, part, why in message.parts
    }
    assert refused == {
        (2, ROOT): Why.GONE,
        (1, 4): Why.UNKNOWN,
        (1, PAGE0): Why.UNKNOWN,
        (9, 0): Why.UNKNOWN,
        (9, ROOT): Why.UNKNOWN,
    }
    assert stranger.closed is None


def test_what_was_cancelled_is_not_sent():
    town, host, stranger = meet()
    manifest = host.publish(content(4 * MIB))
    stranger.say(Seek(((1, want_tag(manifest.id)),)))
    stranger.say(Ask(tuple((1, part) for part in range(16))))
    stranger.say(Cancel(tuple((1, part) for part in range(1, 16))))
    town.run(1)
    assert [part for _, part, _ in stranger.parts()] == [0]


def test_a_root_of_another_file_bans_who_sent_it():
    town, host, stranger, _, handle = lure()
    assert asked(stranger) == [(handle, ROOT)]
    stranger.part(handle, ROOT, manifest_of(b"another").root)
    town.run(0.1)
    assert [type(event) for event in host.events if isinstance(event, HolderBanned)]
    assert host.files.progress(host.files.fetches()[0].file).sources == 0
    stranger.say(Hold((handle,)))
    assert asked(stranger) == []


def test_a_manifest_that_claims_more_than_there_may_be_is_refused():
    root = struct.pack(">BBBQ", 1, 1, 18, 2**60)
    assert MAX_FILE < 2**60
    town, host, stranger = meet()
    host.fetch(chunk_hash(root))
    town.run(0.01)
    ((handle, _),) = stranger.heard()[0].wanted
    stranger.say(Hold((handle,)))
    stranger.part(handle, ROOT, root)
    town.run(0.1)
    assert host.banned[0].peer == stranger.peer_id
    assert host.files._landing.requests == []


def test_a_chunk_of_another_length_is_not_even_kept():
    town, host, stranger, manifest, handle = lure()
    stranger.part(handle, ROOT, manifest.root)
    chunk = asked(stranger)[1][1]
    stranger.send(PARTS, PART_HEAD.pack(handle, chunk, 16 * MIB))
    for _ in range(16):
        stranger.send(PARTS, bytes(MIB))
    incoming = host.files._sessions[stranger.peer_id]._incoming
    assert incoming._slices == []
    town.run(0.1)
    assert host.banned[0].peer == stranger.peer_id


def test_parts_that_nobody_asked_for_are_dropped_and_close_the_link():
    _, host, stranger, manifest, handle = lure()
    stranger.part(handle, ROOT, manifest.root)
    wanted = {part for _, part in asked(stranger)}
    other = next(part for part in range(manifest.count) if part not in wanted)
    for _ in range(STRIKES):
        assert stranger.closed is None
        stranger.part(handle, other, content(262_144, seed=3))
    assert stranger.closed
    assert host.files.progress(manifest.id).have == 0


def test_a_part_larger_than_any_closes_the_link_at_once():
    _, _, stranger = meet()
    stranger.send(PARTS, PART_HEAD.pack(1, 1, 1 << 31))
    assert stranger.closed


def test_saying_no_to_everything_is_not_asked_again_and_again():
    town, _, stranger, manifest, handle = lure()
    stranger.part(handle, ROOT, manifest.root)
    questions = 0
    for _ in range(100):
        parts = asked(stranger)
        questions += len(parts)
        for part in parts:
            stranger.say(No(((*part, Why.LATER),)))
        town.run(0.3)
    assert questions <= manifest.count + 1


def test_saying_that_all_is_coming_delays_each_chunk_once():
    town = Town()
    source, fetcher = town.host("source"), town.host("fetcher")
    data = content(8 * MIB)
    file = source.publish(data).id
    fetcher.fetch(file)
    liar = Stranger(fetcher, "liar")
    town.run(0.01)
    ((handle, _),) = liar.heard()[0].wanted
    liar.say(Have(handle, ()), Coming(handle, ((0, 32),)))

    def repeat():
        liar.say(Coming(handle, ((0, 32),)))
        town.loop.at(town.loop.now + 0.1, repeat)

    repeat()
    town.link(source, fetcher)
    assert town.run_until(lambda: file in fetcher.completed) < 15


def test_haves_without_end_are_malformed():
    _, _, stranger, _, handle = lure()
    for _ in range(TELLS_BURST + STRIKES):
        stranger.say(Have(handle, ((0, 1),)))
    assert stranger.closed


def test_chunks_beyond_the_end_are_left_out():
    town, host, stranger, manifest, handle = lure()
    stranger.say(No(((handle, ROOT, Why.GONE),)), Have(handle, ((3, 60_000),)))
    stranger.part(handle, ROOT, manifest.root)
    town.run(0.5)
    fetch = host.files._swarm.fetch(manifest.id)
    assert fetch.reach(fetch.holdings[stranger.peer_id]) < 1 << manifest.count
    assert {part for _, part in asked(stranger)} <= {ROOT, *range(3, 16)}


def test_a_holder_that_never_answers_is_left_alone_after_a_while():
    town, host, stranger, manifest, handle = lure()
    stranger.part(handle, ROOT, manifest.root)
    town.run(SILENT_S + 2)
    cancelled = [m for m in stranger.heard() if isinstance(m, Cancel)]
    assert cancelled
    fetch = host.files._swarm.fetch(manifest.id)
    assert not fetch.asked


def test_one_neighbour_is_asked_for_only_so_much():
    town, host, stranger = meet()
    files = [number.to_bytes(32) for number in range(2_000)]
    for file in files:
        host.fetch(file, size=1)
    town.run(0.01)
    handles = [handle for m in stranger.heard() for handle, _ in m.wanted]
    stranger.say(Hold(tuple(handles)))
    assert len(asked(stranger)) <= MAX_ASKED


def test_strangers_about_nothing_are_forgotten_with_their_links():
    _, host, stranger = meet()
    host.files.link_down(stranger, host.now)
    assert not host.files._swarm.sources
    assert not host.files._swarm.turns
    assert not [event for event in host.events if isinstance(event, FetchFailed)]


def test_asking_without_end_for_what_is_not_there_closes_the_link():
    town, host, stranger = meet()
    manifest = host.publish(content(MIB))
    stranger.say(Seek(((1, want_tag(manifest.id)),)))
    looked = []
    held = host.held
    host.held = lambda tag: looked.append(tag) or held(tag)
    for _ in range(100):
        if stranger.closed:
            break
        stranger.say(Ask(tuple((1, part) for part in range(4, 1_024))))
        town.run(0.01)
    assert stranger.closed
    assert len(looked) < 8_000


def test_saying_no_and_have_in_turn_is_cheap_and_ends():
    _, host, stranger, manifest, handle = lure()
    stranger.part(handle, ROOT, manifest.root)
    every_other = tuple((first, 1) for first in range(0, 8_192, 2))
    told = 0
    while stranger.closed is None and told < 1_000:
        stranger.say(Have(handle, every_other))
        stranger.say(No(tuple((handle, part, Why.GONE) for part in range(1_500))))
        told += 1
    assert stranger.closed
    assert told < 50
    host.files.link_down(stranger, host.now)
    assert host.files.progress(manifest.id).sources == 0
