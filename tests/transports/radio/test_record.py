"""Records and guardians: what a killed process leaves is known, and undone once."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from meshpeer.errors import TransportError, UsageError
from transports.radio.changing import Former, Undo
from transports.radio.record import (
    Record,
    RecordFile,
    folder,
    read_all,
    started,
    where,
)
from transports.radio.upkeep import living, restore, take_down

UNDO = Undo("cell0", (Former(3, "wlan0", 2, True),))


def record(**changed):
    boot, namespace = where()
    told = {
        "boot": boot,
        "namespace": namespace,
        "pid": os.getpid(),
        "started": started(os.getpid()),
        "interface": "cell0",
        "radio": "phy0",
        "mode": "cell",
        "network": "meshpeer",
        "channel": 1,
        "undo": UNDO,
    }
    return Record(**{**told, **changed})


def test_a_record_is_read_as_it_was_written(tmp_path):
    file = RecordFile.make(tmp_path / "new" / "cell0.json", record())
    assert list(read_all(tmp_path / "new")) == [(file.path, record())]
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.path.parent.stat().st_mode & 0o777 == 0o700
    file.close()


def test_one_that_lives_is_left_alone(tmp_path):
    file = RecordFile.make(tmp_path / "cell0.json", record())
    assert living(tmp_path) == [record()]
    assert restore(tmp_path) == []
    with pytest.raises(UsageError, match="another process"):
        RecordFile.make(file.path, record())
    file.close()
    assert living(tmp_path) == []


def test_one_of_another_boot_undoes_nothing_and_goes(tmp_path):
    RecordFile.make(tmp_path / "cell0.json", record(boot="another")).close()
    assert restore(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_one_of_another_namespace_is_not_ours_to_judge(tmp_path):
    RecordFile.make(tmp_path / "cell0.json", record(namespace=1)).close()
    assert restore(tmp_path) == []
    assert len(list(tmp_path.iterdir())) == 1


def test_one_that_was_cut_short_is_passed_over(tmp_path):
    whole = msgspec.json.encode(record())
    (tmp_path / "cell0.json").write_bytes(whole[: len(whole) // 2])
    assert list(read_all(tmp_path)) == []
    assert restore(tmp_path) == []


def test_a_record_is_never_written_through_a_link(tmp_path):
    others = tmp_path / "shadow"
    others.write_text("root:secret")
    folder = tmp_path / "records"
    folder.mkdir()
    (folder / "cell0.json").symlink_to(others)
    (folder / "cell1.json").hardlink_to(others)
    for name in ("cell0.json", "cell1.json"):
        with pytest.raises(TransportError, match="can't be noted"):
            RecordFile.make(folder / name, record())
    assert others.read_text() == "root:secret"


def test_what_is_no_plain_file_is_passed_over(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(msgspec.json.encode(record()))
    folder = tmp_path / "records"
    folder.mkdir()
    (folder / "link.json").symlink_to(elsewhere)
    (folder / "endless.json").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.json")
    (folder / "folder.json").mkdir()
    assert list(read_all(folder)) == []
    assert (living(folder), restore(folder)) == ([], [])


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user: needs root")
def test_a_record_that_names_a_process_of_somebody_else_ends_none(tmp_path):
    file = RecordFile.make(tmp_path / "cell0.json", record())
    assert living(tmp_path) == [record()]
    os.chown(file.path, 65_534, 65_534)
    assert living(tmp_path) == []
    file.close()


KEEPER = """
import os, sys
from pathlib import Path
from tests.transports.radio.test_record import record, UNDO
from transports.radio.changing import Undo
from transports.radio.guardian import Guardian
from transports.radio.record import RecordFile
undo = Undo("no-such-device", ())
file = RecordFile.make(Path(sys.argv[1]), record(undo=undo, interface="no-such-device"))
guardian = Guardian(undo, file)
print("up", flush=True)
sys.stdin.read()
"""
TOP = Path(__file__).parents[3]


@pytest.fixture
def keeper(tmp_path):
    """A process with a guardian, as `radio up` is, and the path of its record."""
    path = tmp_path / "cell0.json"
    with subprocess.Popen(
        [sys.executable, "-c", KEEPER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=TOP,
        text=True,
    ) as process:
        assert process.stdout.readline() == "up\n"
        yield process, path
        process.kill()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_guardian_undoes_when_its_parent_ends_in_any_way(keeper, how):
    process, path = keeper
    process.send_signal(how)
    process.wait()
    process.stdout.read()  # the guardian has it open, so this waits for its end
    assert not path.exists()


def test_down_ends_the_process_and_not_one_that_got_its_number(keeper):
    process, path = keeper
    ((_, told),) = read_all(path.parent)
    take_down(msgspec.structs.replace(told, started=told.started - 1))
    assert process.poll() is None
    take_down(told)
    assert process.wait() == -signal.SIGTERM


def test_where_records_are_kept(monkeypatch):
    state = Path("/state")
    assert folder({"RUNTIME_DIRECTORY": "/run/a:/run/b"}, state) == Path("/run/a")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert folder({"XDG_RUNTIME_DIR": "/run/user/1"}, state) == Path(
        "/run/user/1/meshpeer-radio"
    )
    assert folder({}, state) == Path("/state/radio")
