"""A collection got into a folder that has more in it than what was got."""

import pytest

from meshpeer.errors import UsageError
from meshpeer.node.file_facade import NewFetch, Publication
from tests.api.running import Mesh


@pytest.fixture
def mesh(tmp_path):
    with Mesh(tmp_path) as mesh:
        yield mesh


def gets(mesh, tmp_path, names):
    """Bob gets into the folder of tests what eve published under these names."""
    eve, bob = mesh.settle("eve"), mesh.settle("bob")
    eve.knows(bob, "bob")
    bob.knows(eve, "eve")
    bait = tmp_path / "bait"
    for name in names:
        (bait / name).parent.mkdir(parents=True, exist_ok=True)
        (bait / name).write_text(f"bad news: {name}")
    published = eve.wait(eve.service.publish(Publication(str(bait), hidden=True)))
    with eve.meets(bob):
        bob.hears("record", id=published.record.id)
        what = NewFetch(what=published.record.id, to=str(tmp_path))
        for fetch in bob.wait(bob.service.fetch(what)):
            bob.hears("fetch", file=fetch.file, state="done")
    return bob


def test_no_name_in_a_collection_is_read_as_somebodys_settings(mesh, tmp_path):
    gets(mesh, tmp_path, [".profile", ".config/autostart/x.desktop"])
    assert not (tmp_path / ".profile").exists()
    assert not (tmp_path / ".config").exists()
    assert (tmp_path / "_profile").read_text() == "bad news: .profile"


@pytest.mark.parametrize("name", ["keys/person-7.json", "meshpeer.sock.d/x", "plan"])
def test_no_name_in_a_collection_leads_into_the_peers_own_folder(mesh, tmp_path, name):
    with pytest.raises(UsageError, match="keys"):
        gets(mesh, tmp_path, [f"2-bob/{name}"])
    assert not list((tmp_path / "2-bob").rglob(name.rpartition("/")[2]))
