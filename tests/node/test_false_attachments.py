"""A contact's message names a file that is not a file of that message."""

import os

import pytest

from meshpeer.core.formats.attachment import Attachment
from meshpeer.core.formats.listing import Listing
from meshpeer.core.identity import idtext
from meshpeer.core.mail.draft import Draft
from meshpeer.node.file_facade import NewFetch, Publication
from tests.api.running import Mesh


@pytest.fixture
def mesh(tmp_path):
    with Mesh(tmp_path) as mesh:
        yield mesh


async def writes(peer, other, attachment):
    """Somebody's program names any file in a message."""
    mail = peer.node.peer.mail
    (own,) = mail.people.own.values()
    contact = mail.people.get(other)
    mail.send(own, contact, Draft("look", attachments=(attachment,)), peer.node.now())
    await peer.node.durable()


async def content(peer, file):
    found = await peer.service.content(idtext.encode(file), 0, None)
    return found.name, b"".join([part async for part in found.chunks])


def test_a_file_that_came_with_a_collection_is_not_spoilt_by_a_message(mesh, tmp_path):
    ann, bob = mesh.settle("ann"), mesh.settle("bob")
    ann.knows(bob, "bob")
    bob.knows(ann, "ann")
    folder = tmp_path / "Maps"
    folder.mkdir()
    coast = os.urandom(300_000)
    (folder / "coast").write_bytes(coast)
    ann.wait(ann.service.publish(Publication(path=str(folder))))
    (row,) = ann.node.store.timeline(kinds=["collection"])
    (entry,) = Listing.parse(ann.node.store.blob(row.item.file)).entries
    with ann.meets(bob):
        bob.hears("record", id=idtext.encode(row.id))
        target = str(tmp_path / "Downloads")
        bob.wait(bob.service.fetch(NewFetch(what=idtext.encode(row.id), to=target)))
        bob.hears("fetch", file=idtext.encode(entry.file), state="done")
        false = Attachment(entry.file, 7, "invoice.exe", "text/plain", os.urandom(32))
        person = bob.node.peer.mail.people.own
        mesh.wait(writes(ann, next(iter(person)), false))
        bob.hears("message")
    name, data = mesh.wait(content(bob, entry.file))
    assert data == coast
    assert name != "invoice.exe"
    assert bob.node.store.fetch(entry.file).key is None
