"""What somebody takes back takes from nobody what is theirs, or what others publish."""

import asyncio
import os
from time import monotonic

import pytest

from meshpeer.core.formats.listing import Listing
from meshpeer.core.formats.record import Collection, File, Withdraw
from meshpeer.node.file_facade import Publication
from tests.api.running import Mesh


@pytest.fixture
def mesh(tmp_path):
    with Mesh(tmp_path) as mesh:
        yield mesh


@pytest.fixture
def maps(tmp_path):
    folder = tmp_path / "Maps"
    folder.mkdir()
    (folder / "coast").write_bytes(os.urandom(400_000))
    (folder / "legend").write_bytes(b"blue is water")
    return folder


async def publishes(peer, record):
    """Somebody's program publishes any record."""
    own = next(iter(peer.node.peer.mail.people.own.values()))
    block = peer.node.peer.publish(own, record, peer.node.now())
    await peer.node.durable()
    return block.header.id


async def has_settled(node):
    """All that was begun by what came is done, and on the disk."""
    while node._tasks:
        for task in list(node._tasks):
            await task
        await asyncio.sleep(0)  # what is done leaves the set in the loop's next round
    await node.durable()


def fools(bob, ann, record):
    """Bob publishes it, and takes it back once ann has it."""
    mesh = ann.mesh
    block = mesh.wait(publishes(bob, record))
    until(ann, lambda row: row is not None and row.body is not None, block)
    mesh.wait(publishes(bob, Withdraw(block)))
    until(ann, lambda row: row.body is None, block)
    mesh.wait(has_settled(ann.node))


def until(peer, holds, block):
    deadline = monotonic() + 20
    while not holds(peer.node.store.record_of(block)):
        assert monotonic() < deadline
        peer.wait(peer.node.durable())


def members(ann, published):
    record = ann.node.store.records_of_file(published)[0]
    assert record is not None
    data = ann.node.store.blob(published)
    return [entry.file for entry in Listing.parse(data).entries], data


def test_a_false_publisher_can_not_take_back_what_is_in_anothers_collection(mesh, maps):
    ann, bob = mesh.settle("ann"), mesh.settle("bob")
    ann.knows(bob, "bob")
    bob.knows(ann, "ann")
    ann.wait(ann.service.publish(Publication(path=str(maps))))
    (row,) = ann.node.store.timeline(kinds=["collection"])
    files, data = members(ann, row.item.file)
    with ann.meets(bob):
        for file in files:
            fools(bob, ann, File(file=file, size=1, name="mine"))
        copied = Collection(
            name="Mine",
            listing=row.item.file,
            listing_size=len(data),
            files=2,
            total=400_013,
        )
        fools(bob, ann, copied)
    assert all(ann.node.store.file(file) is not None for file in files)
    assert ann.node.store.file(row.item.file) is not None


def test_what_the_only_one_takes_back_is_given_no_more(mesh, maps):
    ann = mesh.settle("ann")
    ann.wait(ann.service.publish(Publication(path=str(maps))))
    (row,) = ann.node.store.timeline(kinds=["collection"])
    files, _ = members(ann, row.item.file)
    ann.wait(ann.service.withdraw(str(row.number)))
    mesh.wait(has_settled(ann.node))
    assert all(ann.node.store.file(file) is None for file in files)
    assert ann.node.store.file(row.item.file) is None
