"""Answering wants: whoever holds a file that is asked for gives parts of it to the queue.

A want that comes is looked up by its tag. If something of that file is here, parts that lack are
read, sealed to the want's one-time key with a key that is used once too, and queued as bundles:
the root and pages first, then chunks drawn at random, so that what several holders and carriers
bring differs. A want for a file that comes here later is answered then.

Nobody knows who asks, so all of it is the affair of the neighbour that brought the want. What is
queued is charged to its account, within whose share it displaces nothing but that neighbour's own.
It takes a rate of chunks from that neighbour, and at most STRANGER_BUDGET bytes a want, or as many
as the want says, up to CONTACT_BUDGET, if a contact brought it. A want is known by its file and
key: the same under another header (whose receipt hash anybody can choose) isn't answered again.
Under another key it is another want; its answers go to nobody, and cost who made it his rate and
share, not ours.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2s
from typing import Final, Protocol

from meshpeer.core.file_writes import DropAnswered, PutAnswered
from meshpeer.core.files.post import Post
from meshpeer.core.files.requests import ReadChunk
from meshpeer.core.files.runs import members
from meshpeer.core.files.shelf import Shelf
from meshpeer.core.files.tallies import Tallies, Tally
from meshpeer.core.formats.bundle import MAX_LIFETIME, Bundle, Priority
from meshpeer.core.formats.manifest import CHUNK, Manifest, want_tag
from meshpeer.core.formats.receipt import MAX_HOURS
from meshpeer.core.formats.want import PAGE0, ROOT, Kind, Part, Want
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.identity.seal import MESSAGE_ID_SIZE, Seal, destination_tag
from meshpeer.core.journal import Journal
from meshpeer.core.sync.account import Account
from meshpeer.core.sync.account import Kind as AccountKind
from meshpeer.core.sync.allowance import (
    NEWS_BURST,
    NEWS_PER_S,
    Allowance,
    NeighbourAllowance,
    Rate,
)
from meshpeer.core.sync.fresh import fresh_header
from meshpeer.errors import MeshpeerError, RemoteProtocolError

STRANGER_BUDGET: Final = 1 << 20
"""Bytes of answers to a want that a stranger or a folder brought."""
CONTACT_BUDGET: Final = 64 << 20
"""The most for one that a contact brought, whatever the want says."""
LEAST_LIFE_S: Final = 600
"""A want with less left to live isn't answered: the answers could not get far."""
MAX_HELD: Final = 4_096
"""Wants of the queue for files that aren't here which are remembered, should the file come."""
MAX_JOBS: Final = 64
"""Wants that are being answered; others are put off."""
MAX_JOBS_EACH: Final = 16
"""The same of one neighbour."""
MAX_PUT_OFF: Final = 1_024
PUT_OFF_S: Final = 30.0
"""Until what was too much at once is looked at again."""
CLOSED_S: Final = 600.0
"""The same where the owner lets nothing be given at this hour."""
MAX_ANSWERED: Final = 16_384
"""Wants remembered as answered; the oldest go first."""
READS: Final = 2
"""Parts read from the disk at a time."""
CONTACT_RATE: Final = 4.0
CONTACT_BURST: Final = 512
STRANGER_RATE: Final = 1 / 16
STRANGER_BURST: Final = 64
NETWORK_RATE: Final = 1 / 4
NETWORK_BURST: Final = 256
"""Parts a second given for a contact, a stranger, and all strangers of one network."""


class Here(Protocol):
    """What answers need of `Files`."""

    def chunks_here(self, file: bytes) -> int:
        """The set of chunks of this file that can be read here now."""
        ...

    def answers_at(self, now: float) -> float | None:
        """When the owner lets the next part be given; None if not today."""
        ...

    def gave(self, size: int, now: float) -> None:
        """So many bytes were given."""
        ...


@dataclass(slots=True, eq=False)
class _Job:
    """A want that is being answered."""

    want: Want
    file: bytes
    manifest: Manifest
    account: Account
    parts: deque[int]
    ends: float
    """When the want's lifetime is over, and so its answers'."""
    tally: Tally


class Answers:
    """What this peer answers."""

    def __init__(
        self,
        *,
        shelf: Shelf,
        files: Here,
        post: Post,
        journal: Journal,
        rng: Callable[[int], bytes],
        wall: Callable[[], float],
        restored: Iterable[PutAnswered] = (),
        held: Iterable[tuple[bytes, bytes, Account]] = (),
        now: float,
    ) -> None:
        """`held`: id, tag and account of each want in the queue."""
        self._shelf = shelf
        self._files = files
        self._post = post
        self._journal = journal
        self._rng = rng
        self._wall = wall
        self._answered: dict[bytes, float] = {}
        self._held: dict[bytes, dict[bytes, Account]] = {}
        self._held_count = 0
        self._jobs: deque[_Job] = deque()
        self._tallies = Tallies(journal)
        self._reading: dict[ReadChunk, _Job] = {}
        self._requests: list[ReadChunk] = []
        self._put_off: dict[bytes, Account] = {}
        self._look_at: float | None = None
        self._allowance = NeighbourAllowance(
            known=Rate(CONTACT_RATE, CONTACT_BURST),
            stranger=Rate(STRANGER_RATE, STRANGER_BURST),
            network=Rate(NETWORK_RATE, NETWORK_BURST),
        )
        self._news = Allowance(rate=NEWS_PER_S, burst=NEWS_BURST)
        for row in restored:
            if row.until > now:
                self._answered[row.bundle] = row.until
            else:
                journal.add(DropAnswered(row.bundle))
        for id, tag, account in held:
            if account.kind is not AccountKind.OWN:
                self._remember(id, tag, account)
                if shelf.held(tag):
                    self._put_off_until(id, account, now)

    def came(self, bundle: Bundle, account: Account, now: float) -> None:
        """A want was taken into the queue."""
        self._remember(bundle.id, bundle.header.tag, account)
        self._consider(bundle, account, now)

    def gone(self, bundle: bytes, tag: bytes, satisfied: bool, now: float) -> None:
        """A want left the queue: it is satisfied, expired or gave way.

        Of a satisfied one nobody needs the answers any more, and their receipts purge them
        wherever they are: the asker would give the same, but for it they had to come first.
        """
        for receipt in self._tallies.end(bundle, satisfied=satisfied):
            self._post.add_value(receipt, MAX_HOURS, now)
        self._forget_held(bundle, tag)

    def known(self, file: bytes, now: float) -> None:
        """A file, or more of it, is here now: wants for it that are held can be answered."""
        for id, account in list(self._held.get(want_tag(file), {}).items()):
            self._put_off_until(id, account, now)
        self.wake(now)

    def requests(self) -> list[ReadChunk]:
        """What is to be read from the disk; each is answered by `done`."""
        requests, self._requests = self._requests, []
        return requests

    def done(
        self, request: ReadChunk, result: bytes | MeshpeerError | None, now: float
    ) -> None:
        """Here are the bytes, or why there are none."""
        job = self._reading.pop(request)
        if isinstance(result, bytes) and not job.tally.stopped:
            self._give(job, request.index, result, now)
        self._go_on(now)

    def next_wakeup(self) -> float | None:
        """When `wake` has something to do."""
        return self._look_at

    def wake(self, now: float) -> None:
        """Go on with what was too much at once; early or late does no harm."""
        if self._look_at is None or now < self._look_at:
            return
        self._look_at = None
        for id in [id for id, until in self._answered.items() if until <= now]:
            self._forget(id)
        put_off, self._put_off = self._put_off, {}
        for id, account in put_off.items():
            self._post.read(id, self._read_again(account))
        self._go_on(now)

    # ---- which wants are answered, and with what

    def _consider(self, bundle: Bundle, account: Account, now: float) -> None:
        held = self._shelf.held(bundle.header.tag)
        if held is None:
            return
        try:
            want = Want.parse(bundle.payload)
        except RemoteProtocolError:
            return  # it is carried like anything else that we can't read
        ask = _ask_id(held.file, want)
        ends = now + bundle.header.lifetime - bundle.header.age
        if ask in self._answered or ends - now < LEAST_LIFE_S:
            return
        if self._files.answers_at(now) is None:
            self._put_off_until(bundle.id, account, now + CLOSED_S)
            return
        if self._crowded(account):
            self._put_off_until(bundle.id, account, now + PUT_OFF_S)
            return
        manifest = self._manifest(held.file)
        if manifest is None:
            return
        parts = self._chosen(want, manifest, account)
        if not parts:
            return
        self._mark(ask, now + MAX_LIFETIME)
        known = account.kind is AccountKind.CONTACT
        is_news = known or self._news.take("strangers", now)
        tally = self._tallies.begin(bundle.id, held.file, is_news=is_news)
        self._jobs.append(_Job(want, held.file, manifest, account, parts, ends, tally))
        self._go_on(now)

    def _manifest(self, file: bytes) -> Manifest | None:
        """Jobs for one file share its manifest, which may have 2 MiB."""
        for job in self._jobs:
            if job.file == file:
                return job.manifest
        data = self._shelf.manifest(file)
        return Manifest.from_bytes(file, data) if data is not None else None

    def _chosen(self, want: Want, manifest: Manifest, account: Account) -> deque[int]:
        """The parts to give: root and pages, then chunks at random, within the budget."""
        if manifest.chunk_size != CHUNK:
            return deque()
        contact = account.kind is AccountKind.CONTACT
        budget = min(want.budget, CONTACT_BUDGET if contact else STRANGER_BUDGET)
        first = [ROOT, *(PAGE0 + page for page in range(len(manifest.pages)))]
        chunks = [
            chunk
            for chunk in members(self._files.chunks_here(manifest.id))
            if want.lacks(chunk)
        ]
        self._shuffle(chunks, budget // CHUNK + 1)
        chosen: deque[int] = deque()
        for part in [*filter(want.lacks, first), *chunks]:
            size = _size(manifest, part)
            if size <= budget:
                budget -= size
                chosen.append(part)
            if budget < 1:
                break
        return chosen

    def _shuffle(self, chunks: list[int], so_many: int) -> None:
        """Bring so many drawn at random to the front, and drop the rest."""
        for at in range(min(so_many, len(chunks))):
            other = at + int.from_bytes(self._rng(4)) % (len(chunks) - at)
            chunks[at], chunks[other] = chunks[other], chunks[at]
        del chunks[so_many:]

    def _crowded(self, account: Account) -> bool:
        mine = sum(job.account == account for job in self._jobs)
        return len(self._jobs) >= MAX_JOBS or mine >= MAX_JOBS_EACH

    def _mark(self, ask: bytes, until: float) -> None:
        if len(self._answered) >= MAX_ANSWERED:
            self._forget(next(iter(self._answered)))
        self._answered[ask] = until
        self._journal.add(PutAnswered(ask, until))

    def _forget(self, ask: bytes) -> None:
        del self._answered[ask]
        self._journal.add(DropAnswered(ask))

    # ---- giving

    def _go_on(self, now: float) -> None:
        """Read the next parts, in turns for each want, as far as their bringers' rates go."""
        for _ in range(len(self._jobs)):
            if len(self._reading) >= READS:
                return
            opens = self._files.answers_at(now)
            if opens != now:
                self._look_again(now + CLOSED_S if opens is None else opens)
                return
            job = self._jobs.popleft()
            if not job.parts or now >= job.ends or job.tally.stopped:
                continue
            self._jobs.append(job)
            if self._allowance.take(job.account, now):
                self._next(job, now)
            else:
                self._look_again(now + PUT_OFF_S)

    def _next(self, job: _Job, now: float) -> None:
        part = job.parts.popleft()
        if part == ROOT:
            self._give(job, part, job.manifest.root, now)
        elif part >= PAGE0:
            self._give(job, part, job.manifest.pages[part - PAGE0], now)
        else:
            request = ReadChunk(job.file, part, job.manifest.chunk_length(part))
            self._reading[request] = job
            self._requests.append(request)
        if part >= PAGE0:
            self._look_again(now)

    def _give(self, job: _Job, part: int, data: bytes, now: float) -> None:
        """Queue one answer, on the account of who brought the want."""
        lifetime = int(job.ends - now)
        if lifetime < 1:
            return
        try:
            seal = Seal(
                sender=KeyPair.generate(self._rng),
                receiver=job.want.sealing,
                message_id=self._rng(MESSAGE_ID_SIZE),
                ephemeral=KeyPair.generate(self._rng),
            )
        except RemoteProtocolError:
            job.parts.clear()
            return
        header = fresh_header(
            tag=destination_tag(job.want.sealing),
            receipt_hash=seal.receipt_hash,
            lifetime=lifetime,
            priority=Priority.BULK,
            wall=self._wall(),
            rng=self._rng,
        )
        body = Part(Kind.ANSWER, job.file, part, data).to_bytes()
        bundle = Bundle.make(header, seal.close(header.immutable, body))
        if self._post.submit(bundle, now, job.account) is not None:
            job.parts.clear()
            return
        self._files.gave(len(data), now)
        self._tallies.gave(job.tally, bundle.id, seal.receipt, last=not job.parts)

    def carried(self, bundle: bytes, peer: bytes) -> None:
        """A neighbour has this answer; once they have all, say so."""
        self._tallies.carried(bundle, peer)

    # ---- what waits

    def _remember(self, id: bytes, tag: bytes, account: Account) -> None:
        if self._held_count >= MAX_HELD and not _is_stranger(account):
            others = (
                (other, tag)
                for tag, wants in self._held.items()
                for other, who in wants.items()
                if _is_stranger(who)
            )
            self._forget_held(*next(others, (b"", b"")))
        if self._held_count < MAX_HELD:
            self._held.setdefault(tag, {})[id] = account
            self._held_count += 1

    def _forget_held(self, id: bytes, tag: bytes) -> None:
        wants = self._held.get(tag, {})
        if wants.pop(id, None) is not None:
            self._held_count -= 1
        if not wants:
            self._held.pop(tag, None)
        self._put_off.pop(id, None)

    def _put_off_until(self, id: bytes, account: Account, when: float) -> None:
        if len(self._put_off) >= MAX_PUT_OFF and not _is_stranger(account):
            others = (id for id, who in self._put_off.items() if _is_stranger(who))
            self._put_off.pop(next(others, b""), None)
        if len(self._put_off) < MAX_PUT_OFF:
            self._put_off[id] = account
            self._look_again(when)

    def _look_again(self, when: float) -> None:
        self._look_at = when if self._look_at is None else min(self._look_at, when)

    def _read_again(self, account: Account) -> Callable[[bytes | None, float], None]:
        def read(wire: bytes | None, now: float) -> None:
            if wire is not None:
                self._consider(Bundle.parse(wire), account, now)

        return read


def _is_stranger(account: Account) -> bool:
    """Whose wants give way where there is no room: anybody can be many strangers."""
    return account.kind is AccountKind.STRANGER


def _ask_id(file: bytes, want: Want) -> bytes:
    """What is asked and whom the answers go to, under whatever header it comes."""
    return blake2s(b"meshpeer/asked/1" + file + want.sealing).digest()


def _size(manifest: Manifest, part: int) -> int:
    if part == ROOT:
        return len(manifest.root)
    if part >= PAGE0:
        return len(manifest.pages[part - PAGE0])
    return manifest.chunk_length(part)
