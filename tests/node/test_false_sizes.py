"""Records say how long files are, and anybody can publish a record of any file."""

import os

import pytest

from meshpeer.core.formats.listing import Entry, Listing
from meshpeer.core.formats.record import Collection, File
from meshpeer.core.identity import idtext
from meshpeer.errors import UsageError
from meshpeer.node.file_facade import NewFetch, Publication
from tests.api.running import Mesh

FILM = os.urandom(400_000)


@pytest.fixture
def mesh(tmp_path):
    with Mesh(tmp_path) as mesh:
        yield mesh


@pytest.fixture
def lied_to(mesh, tmp_path):
    """Bob, whom eve told of ann's film what isn't so before ann told him of it; ann; the film."""
    ann, bob, eve = mesh.settle("ann"), mesh.settle("bob"), mesh.settle("eve")
    for one in (ann, eve):
        one.knows(bob, "bob")
        bob.knows(one, one.node.config.nickname)
    (tmp_path / "Films").mkdir()
    (tmp_path / "Films" / "film").write_bytes(FILM)
    published = ann.wait(ann.service.publish(Publication(str(tmp_path / "Films" / "film"))))
    with eve.meets(bob):
        block = mesh.wait(publishes(eve, idtext.decode(published.file)))
        bob.hears("record", id=idtext.encode(block))
    with ann.meets(bob):
        bob.hears("record", id=published.record.id)
        yield bob, published.file


async def publishes(peer, file):
    (own,) = peer.node.peer.mail.people.own.values()
    record = File(file=file, size=len(FILM) - 7, name="film")
    block = peer.node.peer.publish(own, record, peer.node.now())
    await peer.node.durable()
    return block.header.id


def test_a_file_asked_for_by_its_id_comes_whatever_records_say_of_its_size(lied_to):
    bob, file = lied_to
    bob.wait(bob.service.fetch(NewFetch(what=file)))
    bob.hears("fetch", file=file, state="done")


async def content(peer, file):
    found = await peer.service.content(file, 0, None)
    return b"".join([part async for part in found.chunks])


def test_a_file_read_by_its_id_is_never_cut_where_a_false_record_says(mesh, lied_to):
    bob, file = lied_to
    with pytest.raises(Exception, match="bytes"):
        mesh.wait(content(bob, file))
    assert mesh.wait(content(bob, file)) == FILM, "and then it is known"


async def lists(peer, entries):
    data = Listing.of(entries).to_bytes()
    listing, size = await peer.node.publications.keep_blob(data)
    (own,) = peer.node.peer.mail.people.own.values()
    record = Collection(
        name="all", listing=listing, listing_size=size, files=len(entries), total=1
    )
    block = peer.node.peer.publish(own, record, peer.node.now())
    await peer.node.durable()
    return idtext.encode(block.header.id)


def test_a_collection_of_thousands_of_huge_files_is_not_got_at_once(mesh):
    """Each has 2 MiB of hashes, which are in memory while it is fetched."""
    ann = mesh.settle("ann")
    entries = [Entry(f"{n}", 1 << 34, n.to_bytes(32)) for n in range(100)]
    record = mesh.wait(lists(ann, entries))
    with pytest.raises(UsageError, match="mirror"):
        ann.wait(ann.service.fetch(NewFetch(what=record)))
    assert not ann.node.peer.files.fetches()
