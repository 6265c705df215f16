"""Whose labels one heeds is one's own choice, apart from whom one follows."""

import pytest

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


def rating(peer):
    (hit,) = told(peer, "search", "river", "--kind", "post")["hits"]
    return hit["rating"], hit["warnings"]


def test_a_contact_that_is_not_heeded_rates_warns_and_shows_nothing(ann, bob):
    posted = told(ann, "post", "Drink from the river")
    with ann.meets(bob):
        bob.hears("record", id=posted["id"])
        label = told(bob, "label", posted["id"], "--rating", "-2", "--warn", "unsafe")
        ann.hears("record", id=label["id"])
    assert rating(ann) == (-2.0, ["unsafe"])
    said_before = told(ann, "profile")["records"]
    assert "not heeded" in call(ann, "unheed", "bob").stdout
    assert rating(ann) == (None, [])
    assert told(ann, "timeline", "--kind", "label") == []
    assert len(told(ann, "timeline", "--kind", "label", "--who", "bob")) == 1
    (said,) = [one for one in told(ann, "heed") if one["chosen"]]
    assert (said["person"]["petname"], said["heeded"], said["labels"]) == ("bob", False, 1)
    told(ann, "heed", "bob")
    assert rating(ann) == (-2.0, ["unsafe"])
    assert len(told(ann, "timeline", "--kind", "label")) == 1
    assert told(ann, "profile")["records"] == said_before, "nothing of it is published"


def test_somebody_whom_only_a_contact_follows_can_be_heeded(mesh, ann, bob):
    dora = mesh.settle("dora")
    mesh.serve(dora, loopback=False)
    bob.knows(dora, "dora")
    dora.knows(bob, "bob")
    posted = told(bob, "post", "Drink from the river")
    call(bob, "follow", "dora")
    with bob.meets(dora):
        dora.hears("record", id=posted["id"])
        label = told(dora, "label", posted["id"], "--rating", "1")
        bob.hears("record", id=label["id"])
    with ann.meets(bob):
        ann.hears("record", id=label["id"])
    assert rating(ann) == (None, [])
    assert told(ann, "profile", "~dora")["why"] == "near"
    assert told(ann, "heed", "~dora")["labels"] == 1
    assert rating(ann) == (1.0, [])
    told(ann, "unheed", "~dora")
    assert rating(ann) == (None, [])


def test_a_setting_that_is_written_waits_for_the_next_start_of_a_peer_that_runs(ann):
    done = call(ann, "config", "set", "log_level", "info")
    assert done.stdout == "info\n"
    assert "next start" in done.stderr


def test_the_list_says_whose_labels_count_and_why(ann, bob):
    shown = call(ann, "heed").stdout
    assert "bob" in shown
    assert "you said so" not in shown
    done = call(ann, "heed", "bob")
    assert "you said so" in done.stdout
    assert "no label of theirs is here yet" in done.stderr
    assert call(ann, "heed", "nobody").exit_code == 4
    assert call(ann, "unheed", "nobody").exit_code == 4


def test_a_label_names_whom_or_what_it_is_about(mesh, ann, bob):
    dora = mesh.settle("dora")
    ann.knows(dora, "our dora")
    posted = told(ann, "post", "Drink from the river")
    told(ann, "label", posted["id"], "--rating", "1")
    told(ann, "label", "our dora", "--about", "person", "--rating", "2")
    told(ann, "label", dora.id, "--about", "file", "--warn", "nowhere")
    shown = call(ann, "timeline", "--kind", "label").stdout
    assert f"label of record {posted['number']} +1" in shown
    assert "label of our dora +2" in shown
    assert f"label of {dora.id[:11]}… warns: nowhere" in shown
    withdrawn = told(ann, "withdraw", posted["id"])
    assert withdrawn["target_number"] == posted["number"]
    shown = call(ann, "record", withdrawn["id"]).stdout
    assert f"withdraw record {posted['number']}" in shown
