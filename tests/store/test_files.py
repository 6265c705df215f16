"""Files as the store keeps them: where their bytes are, and who still waits for them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshpeer.core.file_writes import (
    DropAnswered,
    DropBlob,
    DropFetch,
    DropFile,
    DropMirror,
    DropMirrored,
    DropPlace,
    DropWant,
    DropWatched,
    PutAnswered,
    PutAttachment,
    PutBlob,
    PutChunks,
    PutFetch,
    PutFile,
    PutMirror,
    PutMirrored,
    PutPlace,
    PutWant,
    PutWatched,
)
from meshpeer.core.files.shelf import Held
from meshpeer.core.formats.manifest import Manifest, want_tag
from meshpeer.core.writes import Box, EraseMessage, PutMessage
from store.restore import restore_files
from store.store import Store

ANNA, BOB = b"a" * 32, b"b" * 32
SIZE = 600_000


def manifest(number):
    return Manifest(SIZE, b"".join(bytes([number, n]) * 16 for n in range(3)))


def file(number, have=None, *, known=True):
    made = manifest(number)
    root = made.to_bytes() if known else b""
    return PutFile(made.id, want_tag(made.id), SIZE, root, have)


def place(path, number, **more):
    return PutPlace(path, file(number).id, 5, SIZE, **more)


def fetch(number, state="fetching", **more):
    target = more.pop("target", "")
    return PutFetch(
        file(number).id, f"{number}.txt", target, SIZE, state, "", 0, False, 9, **more
    )


def sent(number, contact=BOB, box=Box.OUTBOX):
    id = bytes([number]) * 16
    return PutMessage(id, box, ANNA, contact, "hi", "text", 1, 1, 1.0, 1, 60, None)


def attached(message, position, number, state="underway"):
    return PutAttachment(
        message.message_id,
        message.contact,
        message.box == Box.OUTBOX,
        position,
        file(number).id,
        SIZE,
        "a.jpg",
        "image/jpeg",
        bytes(32),
        state,
    )


@pytest.fixture(params=["memory", "file"])
def store(request, tmp_path):
    where = ":memory:" if request.param == "memory" else tmp_path / "meshpeer.db"
    store = Store(where)
    yield store
    store.close()


def test_a_file_is_found_by_its_tag_once_its_manifest_is_known(store):
    store.commit([file(1, b"", known=False)])
    assert store.held(file(1).tag) is None
    assert store.manifest(file(1).id) is None
    store.commit([file(1, b"\x01")])
    assert store.held(file(1).tag) == Held(file(1).id, SIZE, False)
    assert store.manifest(file(1).id) == manifest(1).to_bytes()
    store.commit([file(1)])
    assert store.held(file(1).tag) == Held(file(1).id, SIZE, True)
    assert store.whole_file(file(1).id) == file(1)
    assert [row.have for row in store.files()] == [None]
    assert (store.held(bytes(16)), store.manifest(bytes(32))) == (None, None)


def test_one_file_lies_in_many_places_and_each_holds_it_plain_or_sealed(store):
    store.commit(
        [file(1), file(2), place("/a/x", 1), place("/a/y", 1), place("/ab", 2, inode=7)]
    )
    assert [row.path for row in store.places(file(1).id)] == ["/a/x", "/a/y"]
    store.commit([place("/a/x", 1), place("/a/x", 2)])
    assert store.place("/a/x") == place("/a/x", 2)
    sealed = place("/a/x", 1, key=bytes(32))
    store.commit([sealed, sealed._replace(mtime_ns=6)])
    assert store.place("/a/x") == place("/a/x", 2)
    assert sealed._replace(mtime_ns=6) in store.places(file(1).id)
    assert [row.path for row in store.places_in("/a")] == ["/a/x", "/a/x", "/a/y"]
    assert [row.path for row in store.places_in("/a")][2:] == ["/a/y"]
    store.commit([DropPlace("/a/x"), DropPlace("/nowhere")])
    assert store.place("/a/x") is None
    assert store.place("/ab").inode == 7


def test_a_path_that_is_no_text_is_kept_as_the_disk_has_it(store):
    path = b"/f\xfcr".decode(errors="surrogateescape")
    store.commit([file(1), place(path, 1), PutMirror(path, BOB, "c", None, 60)])
    store.commit([PutWatched(path, ANNA, "c", b"{}"), fetch(1, target=path)])
    assert store.places(file(1).id)[0].path == path
    assert store.mirrors()[0].directory == path
    assert store.watched()[0].directory == path
    assert store.fetch(file(1).id).target == path


def test_a_place_or_blob_of_a_file_not_known_is_not_kept_and_stops_nothing(store):
    store.commit([place("/x", 1), PutBlob(file(1).id, b"data"), PutChunks(file(1).id, b"")])
    assert (store.place("/x"), store.blob(file(1).id)) == (None, None)


def test_a_small_file_lies_in_the_database_until_it_lies_elsewhere(store):
    id = file(1).id
    store.commit([file(1), PutBlob(id, b"data")])
    assert store.blob(id) == b"data"
    store.commit([place("/x", 1), DropBlob(id)])
    assert store.blob(id) is None


def test_equal_chunks_are_found_in_files_that_are_held_whole(store):
    hashes = manifest(1).hashes
    store.commit([file(1), PutChunks(file(1).id, hashes)])
    store.commit([PutChunks(file(1).id, hashes)])
    assert store.chunk_elsewhere(hashes[32:64]) == (file(1).id, 1)
    assert store.chunk_elsewhere(bytes(32)) is None
    store.commit([file(1, b"\x01")])
    assert store.chunk_elsewhere(hashes[32:64]) is None
    store.commit([DropFile(file(1).id)])
    assert store._one("SELECT count(*) FROM chunk") == (0,)


def test_in_one_batch_a_file_may_go_and_come_again(store):
    id = file(1).id
    parts = [place("/x", 1), PutBlob(id, b"data")]
    store.commit([file(1), *parts, DropFile(id), file(1, b"\x01"), place("/y", 1)])
    assert [row.path for row in store.places(id)] == ["/y"]
    assert store.blob(id) is None
    assert store.file(id).have == b"\x01"
    store.commit([file(1), *parts, DropFile(id)])
    assert (store.file(id), store.place("/x"), store.blob(id)) == (None, None, None)


def test_fetches_are_taken_up_again_unless_they_are_over(store):
    late = fetch(4, "waiting", key=bytes(32))._replace(in_order=True)
    store.commit([fetch(1), fetch(2, "done"), fetch(3, "failed"), late])
    store.commit([file(1, b"\x01"), fetch(1, "paused")])
    restored = restore_files(store)
    assert restored.fetches == (fetch(1, "paused"), late)
    assert restored.files == {file(1).id: file(1, b"\x01")}
    assert [row.state for row in store.fetches()] == ["paused", "done", "failed", "waiting"]
    store.commit([DropFetch(file(1).id)])
    assert store.fetch(file(1).id) is None


def test_wants_and_what_was_answered_outlive_a_restart(store):
    want = PutWant(file(1).id, b"w" * 32, b"p" * 32, b"r" * 16, 9.0)
    store.commit([want, PutAnswered(b"x" * 32, 8.0), PutAnswered(b"y" * 32, 7.0)])
    assert store.wants() == [want]
    assert [row.until for row in store.answered()] == [7.0, 8.0]
    store.commit([DropWant(want.bundle), DropAnswered(b"y" * 32)])
    assert (store.wants(), len(store.answered())) == ([], 1)


def test_attachments_go_with_their_message(store):
    ours, theirs = sent(1), sent(1, box=Box.INBOX)
    store.commit([attached(ours, 1, 2), attached(ours, 0, 1), ours])
    store.commit([theirs, attached(theirs, 0, 3, "arrived")])
    assert store.attachments(ours.message_id, BOB, sent=True) == [
        attached(ours, 0, 1),
        attached(ours, 1, 2),
    ]
    assert store.attachments_of(file(3).id) == [attached(theirs, 0, 3, "arrived")]
    store.commit([attached(ours, 0, 1, "arrived")])
    assert store.attachments_underway() == [attached(ours, 1, 2)]
    store.commit([EraseMessage(ours.message_id, BOB, sent=True)])
    assert store.attachments(ours.message_id, BOB, sent=True) == []
    assert len(store.attachments(ours.message_id, BOB, sent=False)) == 1
    store.commit([attached(sent(9), 0, 1)])
    assert store.attachments_of(file(1).id) == [], "nobody knows the message"


def test_folders_that_are_watched_and_mirrored(store):
    watched = PutWatched("/w", ANNA, "photos", b"{}")
    mirror = PutMirror("/m", BOB, "music", None, 60)
    row = PutMirrored("/m", "a/b.mp3", file(1).id, 5, 6)
    store.commit([row, row._replace(path="c"), mirror, watched])
    store.commit([mirror._replace(block=bytes(32)), row._replace(size=7)])
    assert store.watched() == [watched]
    assert store.mirrors() == [mirror._replace(block=bytes(32))]
    assert store.mirrored("/m") == [row._replace(size=7), row._replace(path="c")]
    store.commit([DropMirrored("/m", "c"), DropMirrored("/x", "c"), DropWatched("/w")])
    assert [found.path for found in store.mirrored("/m")] == ["a/b.mp3"]
    store.commit([DropMirror("/m"), mirror])
    assert (store.mirrored("/m"), store.watched()) == ([], [])
    store.commit([row, DropMirror("/m")])
    assert store.mirrors() == []


def test_a_manifest_is_written_once_however_often_its_file_is_put(store):
    store.commit([file(1, b"")])
    changes = store._db.conn.total_changes
    store.commit([file(1, b"\x01"), file(1, b"\x03")])
    assert store._db.conn.total_changes - changes == 2


numbers = st.integers(1, 3)
paths = st.sampled_from(["/x", "/y"])
file_writes = st.lists(
    st.one_of(
        st.builds(file, numbers, st.sampled_from([None, b"\x01"])),
        st.builds(lambda n: DropFile(file(n).id), numbers),
        st.builds(place, paths, numbers),
        st.builds(DropPlace, paths),
        st.builds(lambda n: PutBlob(file(n).id, b"data"), numbers),
        st.builds(lambda n: DropBlob(file(n).id), numbers),
        st.builds(lambda n: PutChunks(file(n).id, manifest(n).hashes), numbers),
        st.builds(lambda n: PutMirror("/m", BOB, str(n), None, n), numbers),
        st.builds(lambda n: PutMirrored("/m", str(n), file(n).id, n, n), numbers),
        st.builds(lambda n: DropMirrored("/m", str(n)), numbers),
        st.just(DropMirror("/m")),
    ),
    max_size=10,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(numbers, max_size=2), file_writes)
def test_one_batch_of_files_is_the_same_as_one_commit_for_each(known, writes):
    together, singly = Store(":memory:"), Store(":memory:")
    begin = [*(file(n) for n in known), PutMirror("/m", BOB, "", None, 0)]
    # nobody puts a part of what is not known
    files, mirrored, kept = set(known), True, []
    for write in writes:
        match write:
            case PutFile():
                files.add(write.id)
            case DropFile():
                files.discard(write.id)
            case PutMirror():
                mirrored = True
            case DropMirror():
                mirrored = False
        if isinstance(write, PutMirrored) and not mirrored:
            continue
        if isinstance(write, PutPlace | PutBlob | PutChunks) and write.file not in files:
            continue
        kept.append(write)
    together.commit([*begin, *kept])
    for write in [*begin, *kept]:
        singly.commit([write])
    assert sorted(row[1:] for row in together.files()) == sorted(
        row[1:] for row in singly.files()
    )
    for number in range(1, 4):
        id = file(number).id
        for read in (Store.places, Store.blob):
            assert read(together, id) == read(singly, id)
        short = manifest(number).hashes[:32]
        assert together.chunk_elsewhere(short) == singly.chunk_elsewhere(short)
    assert together.mirrors() == singly.mirrors()
    assert together.mirrored("/m") == singly.mirrored("/m")
    together.close()
    singly.close()
