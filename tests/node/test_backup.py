"""One file holds a whole peer; whatever happens to that file, nothing wrong comes out of it."""

import io
import os
import random
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshpeer.core.clock import ClockReading
from meshpeer.core.writes import PutBundle, PutSetting
from meshpeer.errors import MeshpeerError, StoreFullError, UsageError
from meshpeer.node import backup, vault
from meshpeer.node.backup import make_backup
from meshpeer.node.own_cards import load_own
from meshpeer.node.restoring import restore
from meshpeer.node.state import State
from meshpeer.node.vault import BACKUP, CHUNK, PERSON_KEY, VaultReader, VaultWriter
from store.store import Store
from tests.node.machines import WORDS

pytestmark = pytest.mark.usefixtures("quick")
KILLS = int(os.environ.get("MESHPEER_KILLS", "6"))


@pytest.fixture
def ann(tmp_path):
    state = State(tmp_path / "ann")
    state.create()
    state.config.write_text('nickname = "ann"\n')
    load_own(state, "ann", fresh=True)
    state.read_token()
    (state.keys / "sealing-7.json").write_text("renewed, in no backup")
    store = Store(state.database)
    store.clock = lambda: ClockReading(1.0, "boot", 1.0, 1.0)
    store.commit([PutSetting("colour", b"green"), bundle(1, own=True), bundle(2)])
    store.close()
    return state


def bundle(number, *, own=False, size=300):
    return PutBundle(bytes([number]) * 32, bytes(size), "account", 0.0, 0.0, own)


def everything_in(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def made(state, tmp_path):
    path = tmp_path / "ann.backup"
    make_backup(state, path, WORDS, nickname="ann")
    return path


def test_a_peer_comes_back_as_it_was(ann, tmp_path):
    path = made(ann, tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    back = State(tmp_path / "back")
    told = restore(path, back, WORDS)
    assert (told.nickname, told.new_device) == ("ann", False)
    assert (back.peer_key(), back.persons()) == (ann.peer_key(), ann.persons())
    assert back.kept_card(0) == ann.kept_card(0)._replace(restored=True)
    assert back.config.read_text() == ann.config.read_text()
    assert stat.S_IMODE(back.root.stat().st_mode) == 0o700
    for file in (*back.keys.iterdir(), back.database):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    store = Store(back.database)
    assert store.settings()["colour"] == b"green"
    store.close()


def test_renewed_sealing_keys_the_token_and_the_log_stay_where_they_are(ann, tmp_path):
    ann.machine.write_text("which log this machine writes")
    back = State(tmp_path / "back")
    restore(made(ann, tmp_path), back, WORDS)
    assert set(everything_in(back.root)) == {
        "config.toml",
        "keys/card-1.json",
        "keys/peer.json",
        "keys/person-1.json",
        "meshpeer.db",
    }


def test_what_is_carried_for_others_is_not_in_it(ann, tmp_path):
    back = State(tmp_path / "back")
    restore(made(ann, tmp_path), back, WORDS)
    store = Store(back.database)
    assert [row.own for row in store.queue_index()] == [True]
    store.close()


def test_as_a_new_device_it_has_new_keys_and_leaves_the_persons_key(ann, tmp_path):
    back = State(tmp_path / "back")
    told = restore(made(ann, tmp_path), back, WORDS, as_new_device=True)
    assert told.new_device
    (old,), (new,) = ann.persons(), back.persons()
    assert new.person is None
    assert len({*old, *new, ann.peer_key(), back.peer_key()} - {None}) == 7
    (own,) = load_own(back, "ann", fresh=False)
    assert own.card.to_bytes() == ann.kept_card(0).card
    assert not own.listed


def test_it_is_made_of_one_moment_while_the_peer_writes_on(ann, tmp_path):
    store = Store(ann.database)
    store.commit([bundle(n, own=True, size=40_000) for n in range(3, 250)])
    ended = threading.Event()

    def write_on():
        count = 0
        while not ended.is_set():
            count += 1
            one = count.to_bytes(8)
            store.commit([PutSetting("one", one), PutSetting("other", one)])

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        path = made(ann, tmp_path)
    finally:
        ended.set()
        writer.join()
        store.close()
    back = State(tmp_path / "back")
    restore(path, back, WORDS)
    store = Store(back.database)
    found = store.settings()
    assert found.get("one") == found.get("other")
    assert len(list(store.queue_index())) == 248
    store.close()


def test_progress_only_grows_and_ends_at_all(ann, tmp_path):
    told = []
    make_backup(ann, tmp_path / "b", WORDS, progress=lambda *now: told.append(now))
    done = [now[0] for now in told]
    assert done == sorted(done)
    assert told[-1][0] == told[-1][1]


def test_a_backup_that_is_called_off_leaves_the_older_one(ann, tmp_path):
    path = made(ann, tmp_path)
    before, folder = path.read_bytes(), set(os.listdir(tmp_path))

    def call_off(done, total):
        raise UsageError("called off")

    with pytest.raises(UsageError, match="called off"):
        make_backup(ann, path, WORDS, progress=call_off)
    assert path.read_bytes() == before
    assert set(os.listdir(tmp_path)) == folder
    assert not list(ann.root.glob(".meshpeer.db*"))


def test_a_backup_takes_the_place_of_a_backup_and_of_nothing_else(ann, tmp_path):
    path = made(ann, tmp_path)
    before = path.read_bytes()
    made(ann, tmp_path)
    assert path.read_bytes() != before
    photo, link = tmp_path / "photo.jpg", tmp_path / "link"
    photo.write_bytes(b"the only photo" * 20)
    link.symlink_to(path)
    for wrong in (photo, link, tmp_path, Path("relative"), tmp_path / "no" / "such"):
        with pytest.raises(UsageError):
            make_backup(ann, wrong, WORDS)
    assert photo.read_bytes() == b"the only photo" * 20


def test_without_room_for_the_copy_nothing_is_begun(ann, tmp_path, monkeypatch):
    monkeypatch.setattr("store.copy.ROOM_LEFT", 1 << 60)
    with pytest.raises(StoreFullError, match="MB free"):
        made(ann, tmp_path)
    assert not (tmp_path / "ann.backup").exists()


def test_a_short_passphrase_is_refused(ann, tmp_path):
    with pytest.raises(UsageError, match="at least"):
        make_backup(ann, tmp_path / "b", "1234567")


@pytest.mark.parametrize("there", ["config.toml", "anything"])
def test_a_backup_goes_into_an_empty_folder_only(ann, tmp_path, there):
    path = made(ann, tmp_path)
    full = State(tmp_path / "full")
    full.root.mkdir()
    (full.root / there).write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        restore(path, full, WORDS)
    assert everything_in(full.root) == {there: b"mine"}


def test_an_empty_folder_that_is_there_already_will_do(ann, tmp_path):
    back = State(tmp_path / "back")
    back.root.mkdir()
    restore(made(ann, tmp_path), back, WORDS)
    assert back.exists()


def refused(path, tmp_path, words=WORDS):
    """What restoring says, after a look that it changed nothing."""
    before = set(os.listdir(tmp_path))
    with pytest.raises(MeshpeerError) as told:
        restore(path, State(tmp_path / "back"), words)
    assert set(os.listdir(tmp_path)) == before
    return str(told.value)


def test_each_thing_that_can_be_wrong_is_told_apart(ann, tmp_path):
    path = made(ann, tmp_path)
    whole = path.read_bytes()
    assert "passphrase is wrong" in refused(path, tmp_path, WORDS + "s")
    path.write_bytes(whole[: len(whole) // 2])
    assert "cut short" in refused(path, tmp_path)
    path.write_bytes(whole[:40])
    assert "cut short" in refused(path, tmp_path)
    path.write_bytes(whole + b"x")
    assert "altered" in refused(path, tmp_path)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "altered" in refused(path, tmp_path)
    path.write_bytes(b"SQLite format 3" + whole)
    assert "none that" in refused(path, tmp_path)
    path.write_bytes(b"")
    assert "none that" in refused(path, tmp_path)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small vault, to be broken many times."""
    folder = tmp_path_factory.mktemp("vault")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vault, "PASSES", 1)
        patch.setattr(vault, "MEMORY_LOG", 10)
        file = io.BytesIO()
        writer = VaultWriter(file, BACKUP, WORDS)
        writer.write(random.Random(1).randbytes(3 * CHUNK + 100))
        writer.finish()
    (folder / "vault").write_bytes(file.getvalue())
    return file.getvalue()


def opened(data, words=WORDS, kind=BACKUP):
    reader = VaultReader(io.BytesIO(data), kind, words)
    content = reader.read(1 << 30)
    reader.finish()
    return content


@given(st.integers(0, 2**40))
@settings(max_examples=150)
def test_a_vault_with_any_bit_changed_does_not_open(small, place):
    data = bytearray(small)
    bit = place % (len(data) * 8)
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(UsageError):
        opened(bytes(data))


@given(st.integers(0, 2**40))
@settings(max_examples=100)
def test_a_vault_cut_anywhere_says_so(small, place):
    cut = 8 + place % (len(small) - 8)
    with pytest.raises(UsageError, match="cut short"):
        opened(small[:cut])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=5))
def test_chunks_in_another_order_do_not_open(small, order):
    size = CHUNK + 17 + 4
    start = vault.HEADER_BYTES
    chunks = [small[start + n * size : start + (n + 1) * size] for n in range(4)]
    data = small[:start] + b"".join(chunks[n] for n in order)
    if order == [0, 1, 2, 3]:
        assert opened(data)
        return
    with pytest.raises(UsageError):
        opened(data)


@given(
    st.lists(st.binary(max_size=2_000), max_size=20),
    st.integers(1, 50_000),
    st.text(min_size=8, max_size=20),
)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_goes_into_a_vault_comes_out(parts, at_once, words):
    file = io.BytesIO()
    writer = VaultWriter(file, PERSON_KEY, words)
    for part in parts * 40:
        writer.write(part)
    writer.finish()
    file.seek(0)
    reader = VaultReader(file, PERSON_KEY, words)
    content = b""
    while part := reader.read(at_once):
        content += part
    reader.finish()
    assert content == b"".join(parts * 40)


@given(st.binary(max_size=400))
def test_noise_is_no_vault(noise):
    for data in (noise, vault.MAGIC + noise):
        with pytest.raises(UsageError):
            opened(data)


def test_a_vault_of_another_kind_is_named(small):
    with pytest.raises(UsageError, match="holds a backup, not a person's key"):
        opened(small, kind=PERSON_KEY)


def test_a_file_that_asks_for_all_memory_is_refused_before_it_gets_any(small):
    data = bytearray(small)
    data[10] = 30
    data[68:76] = vault._sum(bytes(data[:68]))
    with pytest.raises(UsageError, match="more memory"):
        opened(bytes(data))


def forged(path, *members, about=b'{"version": 1, "made": 1, "nickname": "eve"}'):
    """A backup that a stranger made, with its true passphrase."""
    with path.open("wb") as file:
        locked = VaultWriter(file, BACKUP, WORDS)
        with tarfile.open(mode="w|", fileobj=locked) as tar:
            told = tarfile.TarInfo("about.json")
            told.size = len(about)
            tar.addfile(told, io.BytesIO(about))
            for name, kind in members:
                member = tarfile.TarInfo(name)
                member.type = kind
                member.linkname = "/etc/passwd"
                member.size = 4 if kind == tarfile.REGTYPE else 0
                tar.addfile(member, io.BytesIO(b"evil"))
        locked.finish()
    return path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../evil", tarfile.REGTYPE),
        ("/tmp/evil", tarfile.REGTYPE),
        ("keys/../../evil", tarfile.REGTYPE),
        ("keys/person-1.json", tarfile.SYMTYPE),
        ("keys/person-1.json", tarfile.LNKTYPE),
        ("keys", tarfile.DIRTYPE),
        ("meshpeer.db", tarfile.FIFOTYPE),
        ("token", tarfile.REGTYPE),
        ("keys/person-1.json\n", tarfile.REGTYPE),
    ],
)
def test_a_forged_backup_writes_nothing_anywhere(tmp_path, name, kind):
    path = forged(tmp_path / "forged", (name, kind))
    assert "which no backup does" in refused(path, tmp_path)


@pytest.mark.parametrize(
    ("members", "about"),
    [
        ((), b'{"version": 1, "made": 1, "nickname": "eve"}'),
        ((), b'{"version": 2, "made": 1, "nickname": "eve"}'),
        ((), b'{"version": 1, "made": "1", "nickname": "eve"}'),
        ((), b"[]"),
        ((), b"\xff"),
        ((("keys/peer.json", tarfile.REGTYPE),), b'{"version":1,"made":1,"nickname":""}'),
    ],
)
def test_a_backup_of_something_else_makes_no_peer(tmp_path, members, about):
    refused(forged(tmp_path / "forged", *members, about=about), tmp_path)


def test_kill_9_while_a_backup_is_made_leaves_the_older_or_the_newer_one(ann, tmp_path):
    store = Store(ann.database)
    store.commit([bundle(n, own=True, size=100_000) for n in range(3, 120)])
    store.close()
    path = made(ann, tmp_path)
    script = (
        "import sys; from pathlib import Path; from meshpeer.node import vault\n"
        "vault.PASSES, vault.MEMORY_LOG = 1, 10\n"
        "from meshpeer.node.backup import make_backup; import store.copy, tarfile\n"
        "from meshpeer.node.state import State\n"
        "print(flush=True)\n"
        "while True: make_backup(State(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])"
    )
    rng = random.Random(4)
    for attempt in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-c", script, ann.root, path, WORDS],
            stdout=subprocess.PIPE,
            cwd=Path(backup.__file__).parents[2],
        )
        with process:
            process.stdout.readline()
            time.sleep(rng.random() * 0.4)
            process.send_signal(signal.SIGKILL)
        back = State(tmp_path / f"back{attempt}")
        restore(path, back, WORDS)
        assert back.persons() == ann.persons()
    made(ann, tmp_path)
    left = {name for name in os.listdir(ann.root) if name.startswith(".")}
    assert not left
    assert not list(tmp_path.glob(".*.new"))
