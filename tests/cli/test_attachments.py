"""Files that go with messages, sealed for one receiver."""

import os
import tarfile

import pytest

from meshpeer.cli import show
from tests.api.running import Mesh
from tests.cli.calling import call, told

SMALL = b"the plans\n" * 100
LARGE = os.urandom(700_000)


@pytest.fixture
def mesh(tmp_path):
    with Mesh(tmp_path) as mesh:
        yield mesh


@pytest.fixture
def ann(mesh):
    ann = mesh.settle("ann")
    mesh.serve(ann, loopback=False)
    return ann


@pytest.fixture
def carla(mesh, ann):
    carla = mesh.settle("carla")
    mesh.serve(carla, loopback=False)
    ann.knows(carla, "carla")
    carla.knows(ann, "ann")
    return carla


@pytest.fixture
def plans(tmp_path):
    small, large = tmp_path / "plans.txt", tmp_path / "map.bin"
    small.write_bytes(SMALL)
    large.write_bytes(LARGE)
    return small, large


def attached(peer, id):
    return {
        file["name"]: file for file in told(peer, "read", id, "--keep")[0]["attachments"]
    }


def test_files_go_with_a_message_and_open_only_at_the_receiver(ann, carla, plans):
    small, large = plans
    sent = told(
        ann, "send", "carla", "The plans", "--attach", str(small), "--attach", str(large)
    )
    waiting = attached(ann, sent["id"])
    assert [file["state"] for file in waiting.values()] == ["underway", "underway"]
    assert waiting["map.bin"]["size"] == len(LARGE)
    assert "The plans [plans.txt, map.bin]" in call(ann, "outbox").stdout
    assert "whole, sealed" in call(ann, "files").stdout
    with ann.meets(carla):
        carla.hears("message", id=sent["id"])
        for name in ("plans.txt", "map.bin"):
            carla.hears("attachment", name=name, state="arrived")
        ann.hears("state", id=sent["id"], state="arrived")
        carla.hears("fetch", state="done", file=waiting["plans.txt"]["file"])
        carla.hears("fetch", state="done", file=waiting["map.bin"]["file"])
    came = attached(carla, sent["id"])
    assert {file["state"] for file in came.values()} == {"arrived"}
    for name, data in (("plans.txt", SMALL), ("map.bin", LARGE)):
        with open(came[name]["path"], "rb") as file:
            assert file.read() == data
    shown = call(carla, "read", sent["id"]).stdout
    assert f"file map.bin  700.0 kB  arrived: {came['map.bin']['path']}" in shown
    assert "arrived" in call(ann, "outbox").stdout


def test_a_file_crosses_a_gap_in_pieces(mesh, ann, carla, plans):
    small, _ = plans
    bob = mesh.settle("bob")
    sent = told(ann, "publish", str(small), "--to", "carla")
    with ann.meets(bob):
        ann.hears("state", id=sent["id"], state="carried")
        bob.until(lambda status: status.queue_bundles >= 3)
    with bob.meets(carla):
        carla.hears("attachment", state="arrived")
    with bob.meets(ann):
        ann.hears("state", id=sent["id"], state="arrived")
    message = told(ann, "outbox")[0]
    assert (message["text"], message["delivery"]["state"]) == ("", "arrived")


def test_the_text_alone_is_no_arrival(ann, carla, tmp_path):
    film = tmp_path / "film.bin"  # too large to be carried in pieces
    with film.open("wb") as file:
        file.truncate(20_000_000)
    sent = told(ann, "send", "carla", "hello", "--attach", str(film))
    film.unlink()
    with ann.meets(carla):
        carla.hears("message", id=sent["id"])
        ann.until(lambda _: "film.bin: changed or gone" in call(ann, "outbox").stdout)
        ann.until(lambda _: "its text arrived" in call(ann, "outbox").stdout)
    assert told(ann, "outbox", "--underway")[0]["delivery"]["state"] == "carried"


def test_a_text_is_not_needed_where_a_file_goes(ann, carla, plans):
    small, _ = plans
    sent = told(ann, "send", "carla", "--attach", str(small), stdin="")
    assert told(ann, "read", sent["id"])[0]["text"] == ""
    assert "[plans.txt]" in call(ann, "outbox").stdout


@pytest.mark.parametrize(
    ("attach", "says"),
    [
        (["nowhere"], "there is no "),
        (["empty"], "has no files"),
        (["plans.txt", "plans.txt"], "named twice"),
        (["plans.txt", "map.bin", "evil\n"], "name"),
    ],
)
def test_what_can_not_go_along_is_said_and_nothing_is_left_of_it(
    ann, carla, plans, tmp_path, attach, says
):
    (tmp_path / "evil\n").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    arguments = [word for name in attach for word in ("--attach", str(tmp_path / name))]
    result = call(ann, "send", "carla", "x", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert told(ann, "outbox") == []
    assert told(ann, "status")["files"] == 0


def test_a_folder_goes_as_one_tar_which_is_erased_when_its_message_is_over(
    ann, carla, tmp_path
):
    (tmp_path / "Maps" / "north").mkdir(parents=True)
    (tmp_path / "Maps" / "north" / "coast.txt").write_bytes(SMALL)
    (tmp_path / "Maps" / "way out").symlink_to("/etc/passwd")
    sent = told(ann, "publish", str(tmp_path / "Maps"), "--to", "carla")
    packed = attached(ann, sent["id"])["Maps.tar"]["path"]
    with ann.meets(carla):
        ann.hears("state", id=sent["id"], state="arrived")
        carla.hears("fetch", state="done")
    with tarfile.open(attached(carla, sent["id"])["Maps.tar"]["path"]) as tar:
        (entry,) = tar.getmembers()
        assert (entry.name, entry.uid, entry.uname) == ("Maps/north/coast.txt", 0, "")
        assert tar.extractfile(entry).read() == SMALL
    assert os.path.exists(packed)
    call(ann, "delete", sent["id"])
    assert not os.path.exists(packed)
    assert (tmp_path / "Maps" / "north" / "coast.txt").exists()


def test_seventeen_files_are_too_many(ann, carla, plans, tmp_path):
    words = []
    for number in range(17):
        path = tmp_path / f"{number}.txt"
        path.write_text("x")
        words += ["--attach", str(path)]
    result = call(ann, "send", "carla", "x", *words)
    assert (result.exit_code, "at most 16" in result.stderr) == (2, True)


def test_what_a_stranger_attaches_comes_once_the_stranger_is_accepted(mesh, ann, plans):
    dan = mesh.settle("dan")
    mesh.serve(dan, loopback=False)
    dan.knows(ann, "ann")
    sent = told(dan, "send", "ann", "hello", "--attach", str(plans[0]))
    with dan.meets(ann):
        ann.hears("message", id=sent["id"])
        assert attached(ann, sent["id"])["plans.txt"]["state"] == "underway"
        assert told(ann, "fetches", "list", "--all") == []
        file = attached(ann, sent["id"])["plans.txt"]["file"]
        assert "requests accept" in call(ann, "get", file).stderr
        call(ann, "requests", "accept", "~dan", "--name", "dan")
        ann.hears("attachment", state="arrived")
        dan.hears("state", id=sent["id"], state="arrived")


def test_a_file_of_a_message_is_read_as_it_was_written_and_put_where_one_wants(
    ann, carla, plans, tmp_path
):
    _, large = plans
    sent = told(ann, "send", "carla", "x", "--attach", str(large))
    with ann.meets(carla):
        carla.hears("attachment", state="arrived")
        carla.hears("fetch", state="done")
    file = attached(carla, sent["id"])["map.bin"]["file"]
    (got,) = told(carla, "get", file, "--to", str(tmp_path / "elsewhere.bin"))
    assert got["path"] == str(tmp_path / "elsewhere.bin")
    assert (tmp_path / "elsewhere.bin").read_bytes() == LARGE
    info = told(carla, "file", file)
    assert (info["name"], info["size"], info["held"]) == ("map.bin", len(LARGE), len(LARGE))


def test_a_deleted_message_takes_what_still_comes_with_it_along(ann, carla, tmp_path):
    film = tmp_path / "film.bin"
    with film.open("wb") as file:
        file.truncate(20_000_000)
    sent = told(ann, "send", "carla", "x", "--attach", str(film))
    film.unlink()
    with ann.meets(carla):
        carla.hears("message", id=sent["id"])
        carla.until(lambda status: status.fetches == 1)
        call(carla, "delete", sent["id"])
        carla.until(lambda status: status.fetches == 0)
    assert told(carla, "fetches", "list", "--all") == []


def test_a_recalled_message_gives_its_files_to_nobody(ann, carla, plans):
    sent = told(ann, "send", "carla", "x", "--attach", str(plans[0]))
    call(ann, "recall", sent["id"])
    assert told(ann, "status")["files"] == 0
    assert "recall asked" in show.delivery(told(ann, "outbox")[0]["delivery"])
    assert plans[0].read_bytes() == SMALL
