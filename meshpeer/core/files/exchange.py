"""All that one peer does with files: over links, and by wants and answers where no link leads.

What is fetched over links is the work of Files. A fetch of which no neighbour holds anything
becomes a want (Wants); wants that come by are answered with what is held here (Answers); parts that
come as bundles go to their fetch (Parts). Here stands only who tells whom.

The library does what all of them ask and answers once; each request goes back to who asked.
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from meshpeer.core.file_writes import PutAnswered, PutWant
from meshpeer.core.files.answers import Answers
from meshpeer.core.files.events import (
    Event,
    FetchBegun,
    FetchCancelled,
    FetchFailed,
    FetchProgress,
    FileComplete,
)
from meshpeer.core.files.files import Files
from meshpeer.core.files.link_like import LinkLike
from meshpeer.core.files.parts import Parts
from meshpeer.core.files.requests import ReadChunk, Request
from meshpeer.core.files.shelf import RestoredFiles, Shelf
from meshpeer.core.files.wants import Wants
from meshpeer.core.journal import Journal
from meshpeer.core.sync.account import Account
from meshpeer.core.sync.sync import Sync
from meshpeer.errors import StoreError

LOOK_S: Final = 60.0
"""How often fetches are looked through for one that should become a want, if nothing tells."""


class RestoredExchange(NamedTuple):
    """What the disk remembers of files."""

    files: RestoredFiles = RestoredFiles()
    wants: Iterable[PutWant] = ()
    answered: Iterable[PutAnswered] = ()
    held_wants: Iterable[tuple[bytes, bytes, Account]] = ()
    """Of others, in the queue: bundle, tag, and who brought it."""


class Exchange:
    """Files of one peer."""

    def __init__(
        self,
        *,
        sync: Sync,
        journal: Journal,
        rng: Callable[[int], bytes],
        wall: Callable[[], float],
        shelf: Shelf,
        restored: RestoredExchange,
        now: float,
    ) -> None:
        self.files = Files(
            journal=journal,
            rng=rng,
            wall=wall,
            shelf=shelf,
            restored=restored.files,
            now=now,
        )
        self.parts = Parts(
            files=self.files, shelf=shelf, journal=journal, ask_again=sync.ask_again
        )
        self.wants = Wants(
            files=self.parts,
            post=sync,
            journal=journal,
            rng=rng,
            wall=wall,
            restored=restored.wants,
            now=now,
        )
        self.answers = Answers(
            shelf=shelf,
            files=self.parts,
            post=sync,
            journal=journal,
            rng=rng,
            wall=wall,
            restored=restored.answered,
            held=restored.held_wants,
            now=now,
        )
        self._asked: dict[ReadChunk, Answers] = {}
        self._look_at = now

    # -- links

    def link_up(self, link: LinkLike, now: float) -> None:
        """A neighbour is here."""
        self.files.link_up(link, now)
        self._look_soon(now)

    def link_down(self, link: LinkLike, now: float) -> None:
        """The link is gone."""
        self.files.link_down(link, now)
        self._look_soon(now)

    # -- the library

    def requests(self) -> list[Request]:
        """Give what the library is to do; each is to be answered by `done`."""
        reads = self.answers.requests()
        self._asked |= dict.fromkeys(reads, self.answers)
        return [*self.files.requests(), *reads]

    def done(self, request: Request, result: bytes | StoreError | None, now: float) -> None:
        """The library did this, or says why it can't."""
        if isinstance(request, ReadChunk) and request in self._asked:
            self._asked.pop(request).done(request, result, now)
        else:
            self.files.done(request, result, now)

    # -- time

    def wake(self, now: float) -> None:
        """Do what is due; early or late does no harm."""
        self.files.wake(now)
        if now >= self._look_at:
            self._look_at = now + LOOK_S
            for fetch in self.files.fetches():
                self.wants.look(fetch.file, now)
        self.wants.wake(now)
        self.answers.wake(now)

    def next_wakeup(self) -> float | None:
        """When to call `wake`, at the latest."""
        times = [
            self.files.next_wakeup(),
            self.wants.next_wakeup(),
            self.answers.next_wakeup(),
            self._look_at if self.files.fetching else None,
        ]
        return min((time for time in times if time is not None), default=None)

    def events(self, now: float) -> list[Event]:
        """Give what happened since the last call."""
        events = self.files.events()
        for event in events:
            match event:
                case FetchBegun(file=file) | FetchProgress(file=file):
                    self.wants.look(file, now)
                case FetchCancelled(file=file):
                    self.wants.finished(file, now)
                    self.parts.look(file, now)
                case FileComplete(file=file) | FetchFailed(file=file):
                    self.wants.finished(file, now)
                    self.parts.look(file, now)
                    self.answers.known(file, now)
                case _:
                    pass
        return events

    def carried(self, bundle: bytes, peer: bytes) -> None:
        """A neighbour has a bundle that was made here."""
        self.wants.carried(bundle, peer)
        self.answers.carried(bundle, peer)

    def known(self, file: bytes, now: float) -> None:
        """A file is held here now: wants for it that are in the queue can be answered."""
        self.answers.known(file, now)

    def _look_soon(self, now: float) -> None:
        if self.files.fetching:
            self._look_at = now
