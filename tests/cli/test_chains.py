"""Posts, timelines, follows, profiles and labels, as those do them who live far apart."""

import json
import re
import subprocess
import sys

import pytest

from meshpeer.core.formats.block import Block, Header
from meshpeer.core.identity import idtext
from tests.api.running import Mesh
from tests.cli.calling import call, told

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")


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


def test_what_ann_posts_bob_reads_in_his_timeline(ann, bob):
    posted = told(ann, "post", "The well gives clean water again", "--tag", "water")
    assert (posted["kind"], posted["own"], posted["tags"]) == ("post", True, ["water"])
    with ann.meets(bob):
        bob.hears("record", id=posted["id"])
    shown = call(bob, "timeline").stdout
    assert "ann  The well gives clean water again  #water" in shown
    assert "bob" not in shown
    (seen,) = told(bob, "timeline")
    assert seen["author"]["petname"] == "ann"
    assert told(bob, "timeline", "--kind", "file") == []
    assert told(bob, "timeline", "--who", bob.id) == []


def test_the_newest_stands_last_and_a_number_names_it(ann):
    for text in ("first", "second", "third"):
        call(ann, "post", text)
    shown = call(ann, "timeline", "--last", "2").stdout.splitlines()
    assert [line.split()[-1] for line in shown] == ["second", "third"]
    number = shown[-1].split()[0]
    assert "  third" in call(ann, "record", number).stdout


def test_a_record_shows_its_tags(ann):
    posted = told(ann, "post", "The well gives clean water again", "--tag", "water")
    shown = call(ann, "record", posted["id"]).stdout
    assert shown.splitlines()[2:] == ["  #water", "", "  The well gives clean water again"]


def test_a_post_of_many_lines_comes_from_stdin_and_is_shown_whole(ann):
    text = "line one\nline two\n"
    posted = told(ann, "post", stdin=text)
    assert posted["text"] == text
    shown = call(ann, "record", posted["id"]).stdout
    assert "  line one\n  line two\n" in shown
    assert "line two" not in call(ann, "timeline").stdout


def test_an_answer_names_what_it_answers_by_number_here_and_by_id_everywhere(ann, bob):
    posted = told(ann, "post", "Who has a pump?")
    with ann.meets(bob):
        bob.hears("record", id=posted["id"])
        number = str(told(bob, "timeline")[0]["number"])
        answer = told(bob, "post", "I have one", "--reply-to", number)
        ann.hears("record", id=answer["id"])
    assert told(ann, "record", answer["id"])["reply_to"] == posted["id"]
    shown = call(ann, "record", answer["id"]).stdout
    assert f"answers {posted['number']}  Who has a pump?" in shown


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("post", "  "), "empty"),
        (("post", "x" * 20_000), "16"),
        (("post", "x", "--tag", "a\x1bb"), "tag"),
        (("post", "x", "--language", "no such"), "language"),
        (("post", "x", "--attach", "/nowhere"), "there is no /nowhere"),
        (("post", "x", "--reply-to", "99"), "no such record here: 99"),
        (("post", "x", "--as", "nobody"), "nobody named"),
        (("record", "99"), "no such record here: 99"),
        (("record", "x"), "record"),
        (("withdraw", "99"), "no such record here: 99"),
        (("timeline", "--kind", "poem"), "no kind 'poem'; there are post, "),
        (("timeline", "--who", "nobody"), "nobody"),
        (("follow", "nobody"), "nobody"),
        (("follow", "~nobody"), "nobody"),
        (("unfollow", "~nobody"), "nobody"),
        (("label", "99", "--rating", "1"), "no such record here: 99"),
        (("label", "1"), "--rating or --warn"),
        (("profile", "bob", "--about", "x"), "your own profile"),
        (("profile", "--avatar", "/nowhere"), "there is no /nowhere"),
    ],
)
def test_what_can_not_be_done_is_said_plainly(ann, arguments, says):
    result = call(ann, *arguments)
    assert result.exit_code in (2, 4)
    assert result.stdout == ""
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_a_withdrawn_post_is_gone_at_those_who_followed(ann, bob):
    posted = told(ann, "post", "I was wrong")
    with ann.meets(bob):
        bob.hears("record", id=posted["id"])
        taken = told(ann, "withdraw", posted["id"])
        bob.hears("record", id=taken["id"])
    assert "I was wrong" not in call(bob, "timeline").stdout
    assert "I was wrong" not in call(bob, "record", posted["id"]).stdout
    assert "withdrawn" in call(bob, "record", posted["id"]).stdout
    again = call(ann, "withdraw", posted["id"])
    assert (again.exit_code, "withdrawn already" in again.stderr) == (2, True)
    others = call(bob, "withdraw", taken["id"])
    assert (others.exit_code, "only who published" in others.stderr) == (2, True)


def test_a_timeline_is_followed_without_gap_or_repeat(ann, bob):
    first = told(ann, "post", "first")
    command = [sys.executable, "-m", "meshpeer", "timeline", "--follow", "--json"]
    command += ["--state", str(bob.state.root)]
    with ann.meets(bob):
        bob.hears("record", id=first["id"])
        with subprocess.Popen(command, stdout=subprocess.PIPE) as follow:
            lines = [json.loads(follow.stdout.readline())["text"]]
            for text in ("second", "third"):
                call(ann, "post", text)
                lines.append(json.loads(follow.stdout.readline())["text"])
            follow.terminate()
    assert lines == ["first", "second", "third"]


def test_bob_follows_somebody_whom_only_ann_knows(mesh, ann, bob):
    dora = mesh.settle("dora")
    mesh.serve(dora, loopback=False)
    ann.knows(dora, "dora")
    dora.knows(ann, "ann")
    posted = told(dora, "post", "News from the coast")
    call(ann, "follow", "dora")
    with ann.meets(dora):
        ann.hears("record", id=posted["id"])
    with ann.meets(bob):
        bob.hears("record", id=posted["id"])
        assert told(bob, "profile", "~dora")["why"] == "near"
        shown = call(bob, "follow", "~dora").stdout
    assert "you follow it" in shown
    assert [one["why"] for one in told(bob, "follow")] != []
    assert call(bob, "unfollow", "~dora").stdout.startswith("unfollowed")
    assert call(bob, "unfollow", "~dora").exit_code == 2


def test_one_need_not_keep_what_a_contact_publishes(ann, bob):
    assert told(bob, "follow")[0]["why"] in ("own", "contact")
    call(bob, "unfollow", "ann")
    posted = told(ann, "post", "nobody listens")
    with ann.meets(bob):
        sent = ann.writes(bob, "mail comes all the same")
        bob.hears("message", id=sent)
    assert told(bob, "timeline") == []
    assert call(bob, "record", posted["id"]).exit_code == 4
    assert told(bob, "profile", "ann")["why"] == "muted"
    call(bob, "follow", "ann")
    with ann.meets(bob):
        bob.hears("record", id=posted["id"])


def test_a_profile_says_what_its_person_says_and_what_is_known(ann, bob, tmp_path):
    picture = tmp_path / "ann.png"
    picture.write_bytes(b"\x89PNG")
    about = "Keeps the library at the school"
    said = told(ann, "profile", "--about", about, "--avatar", str(picture))
    assert said["avatar"]
    with ann.meets(bob):
        bob.hears("record", own=False)
    seen = told(bob, "profile", "ann")
    assert (seen["about"], seen["avatar"], seen["devices"]) == (about, said["avatar"], 1)
    assert (seen["forked"], seen["unjoined"]) == ([], [])
    assert all(one["joined"] for one in told(bob, "follow"))
    assert about in call(bob, "profile", "ann").stdout
    assert told(ann, "profile", "--avatar", "")["avatar"] is None
    assert told(ann, "profile")["about"] == about


async def take(node, *blocks):
    """As if a neighbour had brought these blocks and no others."""
    for block in blocks:
        node.peer.chains.intake.take(block, node.now())
    node.peer.chains._settle(None, node.now())
    await node.durable()


def test_a_profile_says_what_is_not_proved_yet_to_belong_together(mesh, ann, bob):
    for n in range(40):
        told(ann, "post", f"{n}")
    (head,) = ann.node.peer.chains.heads(idtext.decode(ann.id))
    rows = ann.node.store.log_blocks(head.device, head.log, 1, head.height, 100)
    newest_first = [Block(Header.parse(header), body) for header, body in rows]
    mesh.wait(take(bob.node, *newest_first[-10:], newest_first[0]))
    assert told(bob, "profile", "ann")["unjoined"] == [head.log.hex()]
    assert "not proved yet to belong" in call(bob, "profile", "ann").stdout
    assert [one["joined"] for one in told(bob, "follow")].count(False) == 1
    mesh.wait(take(bob.node, *newest_first))
    assert told(bob, "profile", "ann")["unjoined"] == []


def test_a_label_is_a_signed_opinion_of_a_record_or_a_person(ann, bob):
    posted = told(ann, "post", "Drink from the river")
    with ann.meets(bob):
        bob.hears("record", id=posted["id"])
        told(bob, "label", posted["id"], "--rating", "-2", "--warn", "unsafe")
        label = told(bob, "label", "ann", "--about", "person", "--rating", "1")
        ann.hears("record", id=label["id"])
    shown = call(ann, "timeline", "--kind", "label").stdout
    assert "-2 warns: unsafe" in shown
    assert "+1" in shown
    assert call(bob, "label", posted["id"], "--rating", "3").exit_code == 2


def test_what_others_publish_can_not_move_the_cursor(ann, bob):
    assert "control" in call(ann, "post", "\x1b]0;title\x07").stderr
    posted = told(ann, "post", "\u2067x\nline \u202eenil", "--tag", "water")
    with ann.meets(bob):
        bob.hears("record", id=posted["id"])
    for arguments in (["timeline"], ["record", posted["id"]], ["search", "line"]):
        for more in ([], ["--json"]):
            assert not CONTROLS.search(call(bob, *arguments, *more).stdout)


def test_the_status_counts_what_is_followed_and_held(ann, bob):
    call(ann, "post", "hello")
    status = told(ann, "status")
    assert (status["followed"], status["fetches"]) == (1, 0)
    assert status["records"] >= 1
    assert "1 followed" in call(ann, "status").stdout
    assert status["warnings"] == []
