"""Somebody whose collection others mirror, and what is seen of it."""

from meshpeer.core.formats.listing import Entry, Listing
from meshpeer.node.library.library import Goal
from tests.node.library.shelf import manifest_of

ANN = bytes(31) + b"a"
DAY = 86_400


class Author:
    """Somebody whose collection is mirrored: a tree, and its listing at any time."""

    def __init__(self, tree):
        self.tree = tree
        self.number = 0

    def files(self):
        return {manifest_of(data).id: data for data, _ in self.tree.values()}

    def listing(self):
        return Listing.of(
            Entry(path, len(data), manifest_of(data).id, executable, 1_600_000_000)
            for path, (data, executable) in self.tree.items()
        ).to_bytes()

    def publish(self, here):
        """The newest record reaches a peer."""
        self.number += 1
        data = self.listing()
        goal = Goal(self.number.to_bytes(32), manifest_of(data).id, len(data))
        here.library.mirrors.collection(ANN, "docs", goal)
        return goal

    async def bring(self, here, mirror, goal):
        """Everything that is asked for comes, as from neighbours."""
        contents = {goal.listing: self.listing(), **self.files()}

        def give():
            for row in here.files.fetches():
                if row.file in contents:
                    here.bring(contents.pop(row.file))
            return mirror.block == goal.block

        await here.until(give, f"the mirror is current; {mirror.why}")


def plain(**tree):
    return {path.replace("__", "/"): (data, False) for path, data in tree.items()}


def tree_of(folder):
    """What a person sees in a mirror."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".meshpeer" not in path.parts
    }


def contents(author):
    return {path: data for path, (data, _) in author.tree.items()}


async def mirrored(here, folder, author, grace=DAY):
    mirror = await here.library.mirrors.add(str(folder), ANN, "docs", grace)
    await author.bring(here, mirror, author.publish(here))
    return mirror
