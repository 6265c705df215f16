"""Somebody who publishes: signs blocks of one log, ready for the store."""

from random import Random

from meshpeer.core.chain_writes import PutBlock
from meshpeer.core.formats.block import NO_BLOCK, Block, skip_of
from meshpeer.core.formats.record import Post, Record, item_of
from meshpeer.core.identity.keys import DeviceKey, PersonKey


class Author:
    """One person with one device and one log."""

    def __init__(self, seed: int) -> None:
        rng = Random(seed).randbytes
        self.person = PersonKey(rng(32)).public
        self.key = DeviceKey(rng(32))
        self.device = self.key.public
        self.log = rng(16)
        self.ids = [NO_BLOCK]

    def says(self, record: Record, lamport: int | None = None) -> PutBlock:
        """Sign the next block."""
        sequence = len(self.ids)
        body = record.to_bytes()
        block = Block.sign(
            self.key,
            person=self.person,
            log=self.log,
            sequence=sequence,
            lamport=sequence if lamport is None else lamport,
            previous=self.ids[-1],
            skip=self.ids[skip_of(sequence)],
            body=body,
        )
        self.ids.append(block.id)
        return put(block, record)

    def posts(self, text: str, lamport: int | None = None, **more: object) -> PutBlock:
        """Sign the next block, a post."""
        return self.says(Post(text, **more), lamport)


def put(block: Block, record: Record) -> PutBlock:
    """The write that keeps a block."""
    header = block.header
    return PutBlock(
        header.id,
        header.person,
        header.device,
        header.log,
        header.sequence,
        header.lamport,
        header.to_bytes(),
        block.body,
        2.5,
        1_800,
        item_of(record),
    )
