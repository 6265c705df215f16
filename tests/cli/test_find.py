"""Searching, here and at neighbours; searches that go on; collections of what was found."""

import re

import pytest

from meshpeer.node import near
from tests.api.running import Mesh
from tests.cli.calling import call, told


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


def texts(found):
    return {hit["record"]["text"] for hit in found["hits"]}


def publish(peer, folder, name, data, **options):
    path = folder / name
    path.write_bytes(data)
    words = [word for key, value in options.items() for word in (f"--{key}", value)]
    return told(peer, "publish", str(path), *words)[0]


def test_words_prefixes_phrases_and_slips(ann):
    told(ann, "post", "The old water pump is mended")
    told(ann, "post", "Sea water is salt")
    assert len(texts(told(ann, "search", "water"))) == 2
    assert texts(told(ann, "search", "pum*")) == {"The old water pump is mended"}
    assert texts(told(ann, "search", "old water")) == {"The old water pump is mended"}
    assert texts(told(ann, "search", "water", "-sea")) == {"The old water pump is mended"}
    shown = call(ann, "search", "watr").stdout
    assert "few or none have 'watr'; searched for 'water', too" in shown
    assert "2 found" in shown
    assert shown.count("Sea water is salt") == 1
    assert call(ann, "search", "zzzz").stdout.startswith("0 found")


def test_each_filter_leaves_what_fits_it(ann, tmp_path):
    told(ann, "post", "water at the school", "--tag", "school", "--language", "en")
    publish(ann, tmp_path, "water.txt", b"x" * 5_000, tag="maps")
    publish(ann, tmp_path, "water.png", b"y" * 50_000)
    for filters, count in (
        (("--kind", "file"), 2),
        (("--kind", "post"), 1),
        (("--tag", "school"), 1),
        (("--language", "en"), 1),
        (("--type", "image"), 1),
        (("--type", "text/plain"), 1),
        (("--larger", "20k"), 1),
        (("--smaller", "20k", "--kind", "file"), 1),
        (("--by", ann.id), 3),
        (("--since", "2001-01-01"), 3),
        (("--until", "2001-01-01"), 0),
        (("--held",), 2),
    ):
        assert told(ann, "search", "water", *filters)["total"] == count, filters
    shown = call(ann, "search", "water").stdout
    assert "kinds: file 2, post 1" in shown


def test_pages_are_gone_through(ann):
    for number in range(5):
        told(ann, "post", f"water {number}")
    first = call(ann, "search", "water", "--last", "3").stdout
    assert "5 found" in first
    cursor = re.search(r"more: --after (\S+)", first).group(1)
    second = call(ann, "search", "water", "--last", "3", "--after", cursor).stdout
    assert "more:" not in second
    both = re.findall(r"water \d", first) + re.findall(r"water \d", second)
    assert set(both) == {f"water {number}" for number in range(5)}


def test_neighbours_are_asked_and_what_they_have_can_be_got(
    ann, bob, mesh, tmp_path, monkeypatch
):
    monkeypatch.setattr(near, "NEAR_SECONDS", 3_600)  # nobody is waited for who answered
    dora = mesh.settle("dora")
    mesh.serve(dora, loopback=False)
    done = publish(dora, tmp_path, "pump.txt", b"turn it left\n" * 9)
    with ann.meets(dora):
        assert told(ann, "search", "pump")["total"] == 0
        (hit,) = told(ann, "search", "pump", "--near")["hits"]
        assert (hit["near"], hit["record"]["name"]) == (True, "pump.txt")
        shown = call(ann, "search", "pump", "--near").stdout
        assert "near" in shown
        assert done["file"] in shown
        (got,) = told(ann, "get", done["file"], "--to", str(tmp_path / "got.txt"))
    assert (tmp_path / "got.txt").read_bytes() == b"turn it left\n" * 9
    assert got["state"] == "done"


def test_a_search_goes_on_and_tells_what_turns_up(ann, bob):
    assert "looking for it" in call(bob, "search", "pump*", "--watch", "pumps").stdout
    assert "pumps" in call(bob, "searches").stdout
    posted = told(ann, "post", "A pump to give away")
    with ann.meets(bob):
        bob.hears("found", name="pumps", id=posted["id"])
    assert call(bob, "searches", "remove", "pumps").stdout == "removed\n"
    assert call(bob, "searches", "remove", "pumps").exit_code == 4
    none = call(bob, "searches")
    assert none.stdout == ""
    assert "--watch NAME" in none.stderr
    assert told(bob, "searches") == []


def test_what_was_found_becomes_a_collection_of_ones_own(ann, bob, tmp_path):
    for name in ("pump-a.txt", "pump-b.txt"):
        publish(ann, tmp_path, name, name.encode())
    with ann.meets(bob):
        bob.hears("record", own=False)
        bob.until(lambda status: status.records >= 2)
        shown = call(bob, "search", "pump*", "--collect", "Pumps").stdout
        assert "collection Pumps" in shown
        collected = told(bob, "search", "Pumps", "--kind", "collection")["hits"][0]
        got = told(bob, "get", collected["record"]["id"], "--to", str(tmp_path / "P"))
    assert {one["state"] for one in got} == {"done"}
    assert sorted(path.name for path in (tmp_path / "P").iterdir() if path.is_file()) == [
        "pump-a.txt",
        "pump-b.txt",
    ]


def test_what_else_those_publish_who_have_this(ann, bob, tmp_path):
    same = publish(ann, tmp_path, "pump.txt", b"same")
    publish(ann, tmp_path, "seeds.txt", b"many")
    with ann.meets(bob):
        bob.hears("record", own=False)
        bob.until(lambda status: status.records >= 2)
    assert "seeds.txt" in call(bob, "also", same["file"]).stdout
    assert call(bob, "also", "99").exit_code == 4
    alone = publish(bob, tmp_path, "alone.txt", b"alone")
    none = call(bob, "also", alone["file"])
    assert none.stdout == ""
    assert "nobody known here" in none.stderr
    assert told(bob, "also", alone["file"]) == []


def test_ratings_of_those_one_heeds_are_shown(ann, bob):
    posted = told(ann, "post", "Drink from the river")
    with ann.meets(bob):
        bob.hears("record", id=posted["id"])
        label = told(bob, "label", posted["id"], "--rating", "-2", "--warn", "unsafe")
        ann.hears("record", id=label["id"])
    shown = call(ann, "search", "river").stdout
    assert "beware: unsafe" in shown
    assert "[-2.0]" in shown


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--larger", "big"), "is not a size such as"),
        (("--since", "yesterday"), "is not a day such as"),
        (("--kind", "poem"), "poem"),
        (("--by", "nobody"), "nobody"),
        (("--after", "nonsense"), "nonsense"),
        (("--last", "0"), "1<=x"),
        (("--watch", "x" * 200), "1 to 100 characters"),
        (("--collect", "Pumps"), "nothing to collect"),
    ],
)
def test_what_can_not_be_asked_is_said_plainly(ann, arguments, says):
    result = call(ann, "search", "water", *arguments)
    assert result.exit_code in (2, 4)
    assert result.stdout == ""
    assert says in result.stderr


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("contacts", "meshpeer add"),
        ("outbox", "meshpeer send"),
        ("requests", "meshpeer card"),
        ("read", "inbox --all"),
        ("queue", "carried"),
        ("peers", "peers add"),
        ("timeline", "meshpeer follow"),
        ("files", "meshpeer publish"),
        ("files --watched", "--watch"),
        ("fetches", "meshpeer get"),
        ("mirror", "meshpeer mirror"),
        ("searches", "--watch"),
    ],
)
def test_an_empty_list_says_that_it_is_and_what_to_do(ann, command, says):
    shown = call(ann, *command.split())
    assert (shown.stdout, shown.exit_code) == ("", 0)
    assert says in shown.stderr
    assert shown.stderr.count("\n") == 1
    assert told(ann, *command.split()) == []
