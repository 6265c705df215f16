"""Publishing, fetching and mirroring, as people do it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.api.running import Mesh
from tests.cli.calling import call, told

TEXT = b"turn the valve\n" * 50
FILM = os.urandom(900_000)


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
def bob(mesh, ann):
    bob = mesh.settle("bob")
    mesh.serve(bob, loopback=False)
    ann.knows(bob, "bob")
    bob.knows(ann, "ann")
    return bob


@pytest.fixture
def film(tmp_path):
    path = tmp_path / "film.mp4"
    path.write_bytes(FILM)
    return path


@pytest.fixture
def maps(tmp_path):
    folder = tmp_path / "Maps"
    (folder / "north").mkdir(parents=True)
    (folder / "legend.txt").write_bytes(TEXT)
    (folder / "north" / "coast.png").write_bytes(FILM[:400_000])
    (folder / ".draft").write_bytes(b"not yet")
    return folder


def test_a_published_film_is_got_by_its_number(ann, bob, film, tmp_path):
    done = told(ann, "publish", str(film), "--description", "How the pump is mended")[0]
    assert done["record"]["files"][0]["media_type"] == "video/mp4"
    assert done["bytes"] == len(FILM)
    with ann.meets(bob):
        bob.hears("record", id=done["record"]["id"])
        (seen,) = told(bob, "timeline")
        shown = call(bob, "timeline").stdout
        assert "file film.mp4: How the pump is mended" in shown
        assert f"not here: meshpeer get {seen['number']}" in shown
        target = tmp_path / "Downloads"
        target.mkdir()
        (got,) = told(bob, "get", str(seen["number"]), "--to", str(target))
    assert got["path"] == str(target / "film.mp4")
    assert (target / "film.mp4").read_bytes() == FILM
    assert "here" in call(bob, "timeline").stdout
    assert told(bob, "fetches") == []
    assert told(bob, "fetches", "list", "--all")[0]["state"] == "done"
    assert "here 100 %" in call(bob, "file", done["file"]).stdout
    listed = told(bob, "files")
    assert [(one["size"], one["paths"]) for one in listed] == [(len(FILM), [got["path"]])]


def test_who_publishes_a_long_film_sees_how_far_it_is_read(ann, tmp_path):
    film = tmp_path / "long film.mp4"
    with film.open("wb") as file:
        file.truncate(6 << 30)
    command = [sys.executable, "-m", "meshpeer", "publish", str(film)]
    command += ["--state", str(ann.state.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reads:
        _, told = reads.communicate(timeout=60)
    assert b"reading long film.mp4" in told
    assert reads.returncode == 0


def test_a_fetched_file_that_its_author_takes_back_is_no_failed_fetch(ann, bob, film):
    done = told(ann, "publish", str(film))[0]
    with ann.meets(bob):
        bob.hears("record", id=done["record"]["id"])
        (got,) = told(bob, "get", done["file"])
        withdrawn = told(ann, "withdraw", done["record"]["id"])
        bob.hears("record", id=withdrawn["id"])
        bob.until(lambda status: status.files == 0)
    assert told(bob, "fetches") == told(bob, "fetches", "list", "--all") == []
    assert Path(got["path"]).read_bytes() == FILM


def test_who_interrupts_a_get_is_told_that_it_goes_on(ann, bob, film):
    done = told(ann, "publish", str(film))[0]
    with ann.meets(bob):
        bob.hears("record", id=done["record"]["id"])
    command = [sys.executable, "-m", "meshpeer", "get", done["file"]]
    command += ["--state", str(bob.state.root)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as waits:
        assert waits.stderr is not None
        assert waits.stderr.readline() == b"fetching\n"
        waits.send_signal(signal.SIGINT)
        _, said = waits.communicate(timeout=20)
    assert (waits.returncode, b"it goes on; `meshpeer fetches`" in said) == (130, True)
    assert [fetch["state"] for fetch in told(bob, "fetches")] == ["waiting"]


def test_who_waits_for_a_file_is_told_what_for(ann, bob, film):
    done = told(ann, "publish", str(film))[0]
    with ann.meets(bob):
        bob.hears("record", id=done["record"]["id"])
    waited = call(bob, "get", done["file"], "--timeout", "2s")
    assert waited.exit_code == 6
    assert waited.stderr.count("no peer that can be reached now holds it\n") == 1


def test_a_publish_that_is_interrupted_reads_no_further_and_publishes_nothing(
    ann, tmp_path
):
    film = tmp_path / "film.mp4"
    with film.open("wb") as file:
        file.truncate(200 << 30)
    command = [sys.executable, "-m", "meshpeer", "publish", str(film)]
    command += ["--state", str(ann.state.root)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as reads:
        while not any(each.done for each in ann.wait(ann.service.readings())):
            assert reads.poll() is None
        reads.send_signal(signal.SIGINT)
        reads.communicate(timeout=20)
    assert reads.returncode == 130
    while ann.wait(ann.service.readings()):
        pass
    assert told(ann, "timeline") == told(ann, "files") == []


def test_what_is_here_already_is_put_where_it_is_wanted(ann, film, tmp_path):
    done = told(ann, "publish", str(film))[0]
    (got,) = told(ann, "get", done["file"], "--to", str(tmp_path / "copy.mp4"))
    assert (got["state"], got["path"]) == ("done", str(tmp_path / "copy.mp4"))
    assert (tmp_path / "copy.mp4").read_bytes() == FILM
    film.unlink()
    assert told(ann, "get", done["file"])[0]["state"] == "done"


def test_a_small_file_lies_in_its_place_when_get_returns(ann, bob, tmp_path):
    (tmp_path / "note.txt").write_bytes(TEXT)
    done = told(ann, "publish", str(tmp_path / "note.txt"))[0]
    with ann.meets(bob):
        bob.hears("record", id=done["record"]["id"])
        (got,) = told(bob, "get", done["file"])
    assert Path(got["path"]).read_bytes() == TEXT


def test_a_folder_is_published_got_and_mirrored(ann, bob, maps, tmp_path):
    done = told(ann, "publish", str(maps), "--tag", "maps")[0]
    assert (done["files"], done["record"]["kind"]) == (2, "collection")
    mirror, copy = tmp_path / "Mirror", tmp_path / "Copy"
    with ann.meets(bob):
        bob.hears("record", id=done["record"]["id"])
        got = told(bob, "get", done["record"]["id"], "--to", str(copy))
        assert {one["state"] for one in got} == {"done"}
        assert (copy / "north" / "coast.png").read_bytes() == FILM[:400_000]
        call(bob, "mirror", "ann/Maps", str(mirror))
        bob.hears("mirror", state="current")
    assert (mirror / "legend.txt").read_bytes() == TEXT
    assert not (mirror / ".draft").exists()
    assert "ann/Maps" in call(bob, "mirror").stdout
    assert "equal" in call(bob, "mirror").stdout
    call(bob, "unmirror", str(mirror))
    assert told(bob, "mirror") == []
    assert (mirror / "legend.txt").exists()


def test_equal_files_of_a_collection_each_come_to_their_place(ann, bob, maps, tmp_path):
    for name in ("again.txt", "north/legend.txt"):
        (maps / name).write_bytes(TEXT)
    (maps / "north" / "also coast.png").write_bytes(FILM[:400_000])
    (done,) = told(ann, "publish", str(maps))
    target = tmp_path / "got"
    paths = [path.relative_to(maps) for path in maps.rglob("*.*") if path.is_file()]
    wanted = {path: (maps / path).read_bytes() for path in paths if path.name != ".draft"}
    with ann.meets(bob):
        bob.hears("record", id=done["record"]["id"])
        told(bob, "get", done["record"]["id"], "--to", str(target))
        while {path for path in wanted if not (target / path).exists()}:
            bob.hears("fetch", state="done")
    assert {path: (target / path).read_bytes() for path in wanted} == wanted


def test_what_of_a_folder_can_not_be_published_is_named(ann, maps):
    (maps / "link").symlink_to("/etc/passwd")
    (maps / "evil\x1b[2J.txt").write_bytes(b"x")
    (maps / "con.txt").write_bytes(b"x")
    result = call(ann, "publish", str(maps))
    assert "2 files" in result.stdout
    for name in ("link", "evil", "con.txt"):
        assert f"left out: {name}" in result.stderr
    assert "\x1b" not in result.stderr


def test_a_watched_folder_is_renewed_in_its_mirror(ann, bob, maps, tmp_path):
    call(ann, "publish", str(maps), "--watch")
    assert "Maps" in call(ann, "files", "--watched").stdout
    mirror = tmp_path / "Mirror"
    with ann.meets(bob):
        bob.hears("record", own=False)
        call(bob, "mirror", "ann/Maps", str(mirror))
        bob.hears("mirror", state="current")
        before = bob.wait(bob.service.status()).last_event
        (maps / "new.txt").write_bytes(b"new")
        bob.hears("mirror", after=before, state="current")
    assert (mirror / "new.txt").read_bytes() == b"new"
    assert call(ann, "unpublish", str(maps)).stdout == "not watched now\n"
    assert call(ann, "unpublish", str(maps)).exit_code == 4
    assert call(ann, "files", "--watched").stdout == ""


def test_what_was_said_last_of_a_watched_folder_holds(ann, maps):
    call(ann, "publish", str(maps), "--watch", "--tag", "old")
    told(ann, "publish", str(maps), "--tag", "new")
    before = ann.wait(ann.service.status()).last_event
    (maps / "more.txt").write_bytes(b"more")
    ann.hears("record", after=before, own=True)
    newest = told(ann, "timeline")[-1]
    assert (newest["members"], newest["tags"]) == (3, ["new"])
    assert len(told(ann, "files", "--watched")) == 1


def test_republishing_the_same_makes_no_record_and_says_so(ann, maps, film):
    for path in (film, maps):
        first, again = (told(ann, "publish", str(path))[0] for _ in range(2))
        assert (again["file"], again["hashed"]) == (first["file"], 0)
        assert again["record"]["id"] == first["record"]["id"]
        assert (first["unchanged"], again["unchanged"]) == (False, True)
    assert "published before" in call(ann, "publish", str(film)).stderr
    assert len(told(ann, "timeline")) == 2


def test_republishing_with_other_words_or_after_a_withdrawal_makes_a_record(ann, film):
    first = told(ann, "publish", str(film), "--tag", "a")[0]
    others = [
        told(ann, "publish", str(film), *options)[0]
        for options in (
            ("--tag", "b"),
            ("--tag", "a", "--description", "How it is mended"),
            ("--tag", "a", "--language", "en"),
            ("--tag", "a", "--name", "Pump.mp4"),
            ("--tag", "a", "--media-type", "video/x-other"),
        )
    ]
    assert len({one["record"]["id"] for one in [first, *others]}) == 6
    assert {one["file"] for one in others} == {first["file"]}
    call(ann, "withdraw", str(first["record"]["number"]))
    again = told(ann, "publish", str(film), "--tag", "a")[0]
    assert not again["unchanged"]
    assert again["record"]["id"] != first["record"]["id"]


def test_several_paths_at_once_and_their_names(ann, film, maps):
    done = told(ann, "publish", str(film), str(maps / "legend.txt"))
    assert [one["record"]["name"] for one in done] == ["film.mp4", "legend.txt"]
    assert (
        told(ann, "publish", str(film), "--name", "Pump.mp4")[0]["record"]["name"]
        == "Pump.mp4"
    )


def test_a_get_waits_for_who_has_it_as_long_as_it_was_told(ann, bob, film):
    done = told(ann, "publish", str(film))[0]
    film.rename(film.with_name("elsewhere"))
    with ann.meets(bob):
        bob.hears("record", id=done["record"]["id"])
        result = call(bob, "get", done["file"], "--timeout", "1s")
    assert result.exit_code == 6
    assert "it goes on" in result.stderr
    (fetch,) = told(bob, "fetches")
    assert fetch["state"] == "waiting"
    assert "no peer that can be reached" in call(bob, "fetches").stdout


def test_a_get_of_a_collection_waits_for_the_list_of_its_files(ann, bob, maps, tmp_path):
    done = told(ann, "publish", str(maps))[0]
    with ann.meets(bob):
        bob.hears("record", id=done["record"]["id"])
    result = call(bob, "get", done["record"]["id"], "--timeout", "1s")
    assert (result.exit_code, "nobody near has the list" in result.stderr) == (6, True)
    command = [sys.executable, "-m", "meshpeer", "get", done["record"]["id"]]
    command += ["--to", str(tmp_path / "Copy"), "--state", str(bob.state.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as waits, ann.meets(bob):
        waits.communicate(timeout=20)
        assert waits.returncode == 0
    assert (tmp_path / "Copy" / "legend.txt").read_bytes() == TEXT


def test_a_detached_fetch_is_paused_resumed_put_first_and_cancelled(ann, bob, film):
    done = told(ann, "publish", str(film))[0]
    file = done["file"]
    with ann.meets(bob):
        bob.hears("record", id=done["record"]["id"])
    told(bob, "get", file, "--detach", "--in-order", "--priority", "3")
    assert told(bob, "fetches", "pause", file)["state"] == "paused"
    assert told(bob, "fetches", "priority", file, "7")["priority"] == 7
    assert call(bob, "fetches").stdout.splitlines()[1].split()[0] == "film.mp4"
    assert told(bob, "fetches", "resume", file)["state"] == "waiting"
    assert call(bob, "fetches", "cancel", file).stdout == "cancelled\n"
    assert told(bob, "fetches", "list", "--all") == []
    for command in ("pause", "resume", "cancel"):
        result = call(bob, "fetches", command, file)
        assert (result.exit_code, "nobody fetches" in result.stderr) == (4, True)


def test_a_fetch_goes_on_when_the_publisher_comes_back(ann, bob, film):
    done = told(ann, "publish", str(film))[0]
    with ann.meets(bob):
        bob.hears("record", id=done["record"]["id"])
    told(bob, "get", done["file"], "--detach")
    with ann.meets(bob):
        bob.hears("fetch", file=done["file"], state="done")
    assert told(bob, "get", done["file"])[0]["state"] == "done"


def test_a_post_brings_its_files_along(ann, bob, film, maps, tmp_path):
    posted = told(
        ann, "post", "Look", "--attach", str(film), "--attach", str(maps / "legend.txt")
    )
    with ann.meets(bob):
        bob.hears("record", id=posted["id"])
        assert "film.mp4" in call(bob, "timeline").stdout
        got = told(bob, "get", posted["id"], "--to", str(tmp_path / "Downloads"))
    assert sorted(os.path.basename(one["path"]) for one in got) == [
        "film.mp4",
        "legend.txt",
    ]
    assert {os.path.dirname(one["path"]) for one in got} == {str(tmp_path / "Downloads")}


def test_a_withdrawn_file_is_given_to_nobody_any_more(ann, bob, film):
    done = told(ann, "publish", str(film))[0]
    call(ann, "withdraw", done["record"]["id"])
    assert "took back" in call(ann, "get", done["record"]["id"]).stderr
    assert film.read_bytes() == FILM
    with ann.meets(bob):
        result = call(bob, "get", done["file"], "--timeout", "1s")
    assert result.exit_code == 6


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("publish", "/nowhere"), "there is no /nowhere"),
        (("publish", "FILM", "--watch"), "--watch is for folders"),
        (("publish", "FILM", "FILM", "--name", "x"), "--name is for one path"),
        (("publish", "FILM", "--name", "a/b"), "name"),
        (("publish", "FILM", "--tag", "x" * 99), "tag"),
        (("publish", "FILM", "--media-type", "film"), "media type"),
        (("publish", "FILM", "--to", "nobody"), "nobody"),
        (("publish", "/dev/null"), "/dev/null"),
        (("get", "99"), "no such record here: 99"),
        (("get", "x"), "'x' is no"),
        (("get", "1" * 30), "is no"),
        (("get", "99", "--timeout", "soon"), "duration"),
        (("file", "99"), "no such record here: 99"),
        (("fetches", "pause", "x"), "'x'"),
        (("mirror", "ann"), "AUTHOR/COLLECTION"),
        (("mirror", "ann/Maps"), "which folder"),
        (("mirror", "nobody/Maps", "/tmp/x"), "nobody"),
        (("unmirror", "/nowhere"), "/nowhere"),
        (("unpublish", "/nowhere"), "/nowhere is not watched"),
    ],
)
def test_what_can_not_be_done_is_said_plainly(ann, film, arguments, says):
    arguments = [str(film) if word == "FILM" else word for word in arguments]
    result = call(ann, *arguments)
    assert result.exit_code in (2, 4)
    assert result.stdout == ""
    assert says in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "command", [("publish",), ("get", "1", "--to"), ("send", "bob", "x", "--attach")]
)
@pytest.mark.parametrize(
    "part", ["", "keys", "keys/peer.json", "meshpeer.db", "files/.packed"]
)
def test_the_peer_s_own_keys_are_neither_given_nor_written_to(
    ann, bob, film, command, part
):
    told(ann, "publish", str(film))
    (ann.state.files / ".packed").mkdir(parents=True, exist_ok=True)
    result = call(ann, *command, str(ann.state.root / part))
    assert (result.exit_code, "own folder" in result.stderr) == (2, True)


def test_a_folder_around_the_peer_s_own_is_not_given_whole(ann, bob, film):
    above = ann.state.root.parent
    for arguments in (
        ("publish", str(above)),
        ("publish", str(above), "--to", "bob"),
        ("mirror", "bob/x", str(above)),
        ("mirror", "bob/x", str(ann.state.root / "keys")),
    ):
        result = call(ann, *arguments)
        assert (result.exit_code, "own folder" in result.stderr) == (2, True)
    assert call(ann, "mirror", "bob/x", "/proc/y").exit_code == 2


def test_what_was_fetched_may_be_given_on(ann, film):
    ann.state.files.mkdir(exist_ok=True)
    (ann.state.files / "came.txt").write_bytes(TEXT)
    assert call(ann, "publish", str(ann.state.files / "came.txt")).exit_code == 0


def test_a_file_of_nobody_says_that_nothing_is_known_of_it(ann, bob, film):
    done = told(bob, "publish", str(film))[0]
    result = call(ann, "file", done["file"])
    assert (result.exit_code, "nothing is known" in result.stderr) == (4, True)


def test_a_post_without_files_is_nothing_to_get(ann):
    posted = told(ann, "post", "hello")
    result = call(ann, "get", posted["id"])
    assert (result.exit_code, "brings no files" in result.stderr) == (2, True)


def test_a_bar_shows_a_fetch_to_people_and_the_result_alone_to_programs(ann, bob, film):
    done = told(ann, "publish", str(film))[0]
    with ann.meets(bob):
        bob.hears("record", id=done["record"]["id"])
        command = [sys.executable, "-m", "meshpeer", "get", done["file"], "--json"]
        command += ["--state", str(bob.state.root)]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout)[0]["state"] == "done"
