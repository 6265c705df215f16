"""Folders that are kept equal to collections, as the API asks for them."""

from typing import Final

from meshpeer.errors import UsageError
from meshpeer.node import file_facade
from meshpeer.node.chain_service import ChainService
from meshpeer.node.desk import absolute_path
from meshpeer.node.library.library import Mirror

GRACE_S: Final = 7 * 86_400
COLLECTIONS_TOLD: Final = 10


class MirrorService(ChainService):
    """What people here mirror."""

    async def mirror(self, new: file_facade.NewMirror) -> file_facade.Mirror:
        """Keep a folder equal to a collection from now on."""
        person = self.find_person(new.who)
        if not self._peer.chains.wanted(person):
            raise UsageError("you don't follow that person; `meshpeer follow` them first")
        grace = GRACE_S if new.grace_s is None else new.grace_s
        if grace < 0:
            raise UsageError(f"a grace of {grace} s; it must be 0 or more")
        mirror = await self._node.library.mirrors.add(
            self.not_ours(new.directory), person, new.collection, grace
        )
        self._node.publications.aim(person, new.collection)
        return self._mirror_view(mirror)

    async def mirrors(self) -> list[file_facade.Mirror]:
        """List the mirrors."""
        return [self._mirror_view(mirror) for mirror in self._node.library.mirrors]

    async def unmirror(self, directory: str) -> None:
        """Leave the folder as it is from now on."""
        await self._node.library.mirrors.remove(absolute_path(directory))

    def _mirror_view(self, mirror: Mirror) -> file_facade.Mirror:
        why = mirror.why or ("" if mirror.goal else self._not_come(mirror))
        if not (why or mirror.current or mirror.missing):
            why = "waits for the newest list of its files"
        return file_facade.Mirror(
            directory=mirror.directory,
            person=self.who(mirror.person),
            collection=mirror.collection,
            grace_s=mirror.grace,
            current=mirror.current,
            files=mirror.files,
            missing=mirror.missing,
            why=why,
        )

    def _not_come(self, mirror: Mirror) -> str:
        """Say that nothing is known of a collection, and which there are: a slip of the pen?"""
        rows = self._store.timeline(
            [mirror.person], kinds=["collection"], after=None, limit=COLLECTIONS_TOLD
        )
        names = sorted({row.item.name for row in rows if row.item is not None})
        others = f"; there are {', '.join(names)}" if names else ""
        return f"no collection of that name has come yet{others}"
