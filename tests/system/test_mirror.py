"""A folder that is published when it changes, and mirrors of it on other peers."""

import os
from pathlib import Path

import pytest

from tests.system.daemon import LOOPBACK, eventually

pytestmark = pytest.mark.system


@pytest.fixture
def pair(daemon, tmp_path):
    """Ann, who watches a folder, and Bob, who mirrors it: both folders, and both peers."""
    source, target = tmp_path / "Maps", tmp_path / "Maps of Ann"
    (source / "north").mkdir(parents=True)
    (source / "valley.txt").write_text("the valley")
    (source / "north" / "pass.txt").write_text("the pass")
    script = source / "print.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    ann = daemon("ann", settings=LOOPBACK).start()
    bob = daemon("bob", settings=LOOPBACK).start()
    ann.knows(bob)
    bob.knows(ann)
    bob.connects_to(ann)
    ann.api.post("files", body={"path": str(source), "watch": True})
    body = {"who": "ann", "collection": "Maps", "directory": str(target), "grace_s": 0}
    bob.api.post("mirrors", body=body)
    eventually(lambda: tree(target) == tree(source), "the first mirror")
    return source, target, ann, bob


def tree(folder: Path) -> dict[str, tuple[bytes, bool]]:
    """All files of a folder but those that mirrors keep for themselves."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), os.access(path, os.X_OK))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".meshpeer" not in path.parts
    }


def test_what_is_saved_changed_moved_and_deleted_is_so_in_the_mirror(pair):
    source, target, ann, bob = pair
    (source / "valley.txt").write_text("the valley, with the new bridge")
    (source / "coast").mkdir()
    (source / "coast" / "harbour.txt").write_text("the harbour")
    (source / "north" / "pass.txt").rename(source / "coast" / "pass.txt")
    (source / "print.sh").unlink()
    eventually(lambda: tree(target) == tree(source), "what changed")
    eventually(lambda: mirror(bob)["current"], "the word that it is current")
    for peer in (ann, bob):
        peer.stop()


def test_what_bob_writes_into_the_mirror_himself_is_kept_aside_not_lost(pair):
    source, target, _, _ = pair
    (target / "valley.txt").write_text("Bob was here")
    (source / "valley.txt").write_text("Ann's second edition")
    eventually(
        lambda: (target / "valley.txt").read_text() == "Ann's second edition", "her edition"
    )
    kept = [path for path in target.rglob("*mine*") if path.is_file()]
    assert [path.read_text() for path in kept] == ["Bob was here"]


def test_a_mirror_that_was_off_comes_back_to_what_is_published_now(pair):
    source, target, ann, bob = pair
    before = newest(ann)
    bob.kill()
    (source / "valley.txt").write_text("much later")
    (source / "new.txt").write_text("new")
    ann.until_asked(lambda: newest(ann) > before)
    bob.start()
    bob.connects_to(ann)
    eventually(lambda: tree(target) == tree(source), "what came meanwhile")


def test_a_mirror_gets_what_it_lacks_also_from_another_mirror_when_ann_is_gone(
    pair, daemon, tmp_path
):
    source, target, ann, bob = pair
    carla = daemon("carla", settings=LOOPBACK).start()
    carla.knows(ann)
    ann.kill()
    carla.connects_to(bob)
    copy = tmp_path / "Maps at Carla's"
    body = {"who": "ann", "collection": "Maps", "directory": str(copy)}
    carla.api.post("mirrors", body=body)
    eventually(lambda: tree(copy) == tree(source) == tree(target), "Carla's mirror")


def test_a_symlink_planted_in_a_mirror_leads_nothing_out_of_it(pair, tmp_path):
    source, target, _, bob = pair
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "pass.txt").write_text("mine")
    for path in (target / "north").iterdir():
        path.unlink()
    (target / "north").rmdir()
    (target / "north").symlink_to(outside)
    (source / "north" / "pass.txt").write_text("the pass is closed")
    eventually(lambda: mirror(bob)["current"] or mirror(bob)["why"], "an answer to that")
    assert (outside / "pass.txt").read_text() == "mine"
    assert sorted(path.name for path in outside.iterdir()) == ["pass.txt"]


def newest(peer) -> int:
    """The number of the newest record of the collection."""
    (record,) = peer.api.all("timeline", kinds="collection")
    number: int = record["number"]
    return number


def mirror(peer) -> dict:
    (found,) = peer.api.get("mirrors")["items"]
    return found
