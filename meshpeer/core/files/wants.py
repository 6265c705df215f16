"""Asking for a file where no path leads to anybody who holds it.

A fetch of which no neighbour has anything for some seconds becomes a want: a bundle that goes with
the queue wherever carriers go. It names the file by a hash of its id and has a sealing key of its
own, so carriers learn neither who asks nor, unless they hold the file, for what. Answers are
bundles to the tag of that key; they may come for as long as the want could live, so the key is
kept that long, also when the file is here: each answer that comes late gets its receipt, and its
copies go.

What came in a batch of answers is told by a new want with a new key and only what still lacks.
The old one is recalled, by a value of which only the asker knows the preimage. When all is
here every want of the file ends so. A neighbour that holds the file by a link is better: no want
is sent while one does.

Whoever carries a want can answer it, so an answer is believed for its hash alone; opening it costs
the neighbour that brings it something of its rate, and each want takes only so many answers.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final, Protocol

from meshpeer.core.file_writes import DropWant, PutWant
from meshpeer.core.files.post import Lacking, Post, Stored, Taken, answer_when_stored
from meshpeer.core.formats.bundle import Bundle, Priority
from meshpeer.core.formats.manifest import CHUNK, want_tag
from meshpeer.core.formats.want import MAX_RUNS, SUITE_WANT, Kind, Part, Run, Want
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.identity.preimage import VALUE_SIZE, one_way
from meshpeer.core.identity.seal import destination_tag
from meshpeer.core.journal import Journal
from meshpeer.core.sync.account import Account
from meshpeer.core.sync.allowance import NeighbourAllowance, Rate
from meshpeer.core.sync.fresh import fresh_header
from meshpeer.core.sync.verdict import Deferred, Opened, Rejected, Verdict, Writing
from meshpeer.core.writes import PutEvent
from meshpeer.errors import RemoteProtocolError

PATIENCE_S: Final = 5.0
"""No neighbour holds it for so long, then it is asked for by a want."""
QUIET_S: Final = 20.0
"""After the last answer that came, until what still lacks is asked for anew."""
AGAIN_S: Final = 60.0
"""Between two wants for one file, and between two looks whether a holder is still up."""
LIFETIME: Final = 7 * 86_400
MAX_WANTS: Final = 128
"""One-time keys kept, each with a tag; those of wants that are over make room."""
BUDGET: Final = 64 << 20
"""Bytes of answers asked for at once."""
ANSWERS_FOR_EACH: Final = 4
SPARE_ANSWERS: Final = 64
"""A want takes so many answers for each part that it asked for, and so many more."""
KNOWN_RATE: Final = 1_000
STRANGER_RATE: Final = 50
STRANGER_BURST: Final = 500
NETWORK_RATE: Final = 150
NETWORK_BURST: Final = 1_500
"""Answers a second opened for a contact, a stranger, and all strangers of one network."""
PUT_OFF_S: Final = 10.0
"""Until neighbours are asked again for answers that came too fast to be opened."""
RECEIPT_HOURS: Final = LIFETIME // 3_600 + 48


class Fetching(Protocol):
    """What wants need of `Parts`."""

    def lacking(self, file: bytes) -> Lacking | None:
        """How the fetch of this file stands; None if it isn't being fetched."""
        ...

    def take_part(
        self,
        file: bytes,
        part: int,
        data: bytes,
        stored: Stored,
        now: float,
    ) -> Taken:
        """Take a part that came without a link; RemoteProtocolError if it is another's.

        Of a WRITING or WAITING one `stored` says later whether it is durable."""
        ...


@dataclass(slots=True)
class _Sent:
    """A want under way, or one whose answers may still come."""

    file: bytes
    bundle: bytes
    key: KeyPair
    receipt: bytes
    expires: float
    answers_left: int
    answered: bool = False
    over: bool = False
    """Its receipt floods already."""

    @property
    def tag(self) -> bytes:
        return destination_tag(self.key.public)


class Wants:
    """The wants of this peer."""

    def __init__(
        self,
        *,
        files: Fetching,
        post: Post,
        journal: Journal,
        rng: Callable[[int], bytes],
        wall: Callable[[], float],
        restored: Iterable[PutWant] = (),
        now: float,
    ) -> None:
        self._files = files
        self._post = post
        self._journal = journal
        self._rng = rng
        self._wall = wall
        self._by_tag: dict[bytes, _Sent] = {}
        self._current: dict[bytes, _Sent] = {}
        self._due: dict[bytes, float] = {}
        self._sent_at: dict[bytes, float] = {}
        self._expiries: list[tuple[float, bytes]] = []
        self._put_off_until: float | None = None
        self.changes = 0
        """Grows whenever `tags` changed."""
        self._allowance = NeighbourAllowance(
            known=Rate(KNOWN_RATE, KNOWN_RATE),
            stranger=Rate(STRANGER_RATE, STRANGER_BURST),
            network=Rate(NETWORK_RATE, NETWORK_BURST),
        )
        for row in sorted(restored, key=lambda row: row.expires):
            self._restore(row, now)

    @property
    def tags(self) -> frozenset[bytes]:
        """Where answers go: to be shown with those of the persons here."""
        return frozenset(self._by_tag)

    def carried(self, bundle: bytes, peer: bytes) -> None:
        """A neighbour has this want of ours, if it is one."""
        for sent in self._current.values():
            if sent.bundle == bundle:
                file = sent.file.hex()
                self._journal.add(
                    PutEvent.of("want", file=file, state="carried", peer=peer.hex())
                )

    def travels(self, file: bytes) -> bool:
        """Whether a want for this file is under way."""
        return file in self._current

    def look(self, file: bytes, now: float) -> None:
        """A fetch began, or something of it changed; a look too many does no harm."""
        stands = self._files.lacking(file)
        if stands is None:
            return self.finished(file, now)
        if stands.holders == 0:
            self._due.setdefault(file, now + PATIENCE_S)
        elif file not in self._current:
            self._due.pop(file, None)
        return None

    def wait(self, file: bytes, until: float) -> None:
        """Send no want for this file before `until`: its parts are on their way already."""
        self._due[file] = max(until, self._due.get(file, until))

    def finished(self, file: bytes, now: float) -> None:
        """All of the file is here, or nobody asks for it any more: its wants end everywhere."""
        self._due.pop(file, None)
        self._current.pop(file, None)
        self._sent_at.pop(file, None)
        for sent in list(self._by_tag.values()):
            if sent.file == file:
                self._end(sent, now)

    def receive(self, bundle: Bundle, account: Account, now: float) -> Verdict:
        """Open a bundle whose tag is that of a want, and give what it holds to the fetch."""
        sent = self._by_tag.get(bundle.header.tag)
        if sent is None:
            return Rejected("no want with this tag")
        if not self._allowance.take(account, now):
            self._put_off_until = self._put_off_until or now + PUT_OFF_S
            return Deferred("too many answers at once")
        try:
            opened = bundle.open(sent.key)
            part = Part.parse(opened.body)
            if part.kind is not Kind.ANSWER or part.file != sent.file:
                raise RemoteProtocolError("answer", "to another want")
            if sent.answers_left <= 0:
                raise RemoteProtocolError("answer", "more than were asked for")
            taken = self._files.take_part(
                part.file,
                part.part,
                part.data,
                answer_when_stored(self._post, bundle.id, opened.receipt),
                now,
            )
        except RemoteProtocolError as error:
            return Rejected(str(error))
        if taken is Taken.NOT_NOW and self._files.lacking(sent.file) is not None:
            return Deferred("what it belongs to has not come yet")
        sent.answered = True
        sent.answers_left -= 1
        if taken not in (Taken.WRITING, Taken.WAITING):
            return Opened(opened.receipt)
        self._due[sent.file] = max(
            now + QUIET_S, self._sent_at.get(sent.file, now - AGAIN_S) + AGAIN_S
        )
        return Writing(taken is Taken.WAITING)

    def next_wakeup(self) -> float | None:
        """When `wake` has something to do, at the latest."""
        first = self._expiries[0][0] if self._expiries else None
        times = [first, self._put_off_until, *self._due.values()]
        return min((time for time in times if time is not None), default=None)

    def wake(self, now: float) -> None:
        """Send what is due, and forget keys whose time is over."""
        while self._expiries and self._expiries[0][0] <= now:
            _, tag = heappop(self._expiries)
            if tag in self._by_tag:
                self._forget(self._by_tag[tag])
        for file in [file for file, due in self._due.items() if due <= now]:
            self._ask(file, now)
        if self._put_off_until is not None and now >= self._put_off_until:
            self._put_off_until = None
            self._post.ask_again(now)

    # ---- inside

    def _restore(self, row: PutWant, now: float) -> None:
        if row.expires <= now:
            self._journal.add(DropWant(row.bundle))
            return
        stands = self._files.lacking(row.file)
        runs = stands.runs if stands else ()
        sent = _Sent(
            row.file,
            row.bundle,
            KeyPair(row.private),
            row.receipt,
            row.expires,
            _answers(runs),
            # what of it came before the restart isn't known: what lacks now is asked for soon
            answered=True,
        )
        self._keep(sent)
        if stands is None:
            self._due[row.file] = now
        else:
            self._current[row.file] = sent
            self._due[row.file] = now + PATIENCE_S

    def _ask(self, file: bytes, now: float) -> None:
        """Send a want, if it is time for one; else set when to look again."""
        stands = self._files.lacking(file)
        if stands is None:
            return self.finished(file, now)
        if stands.holders or stands.runs == ():
            self._due[file] = now + AGAIN_S
            return None
        current = self._current.get(file)
        if current and not current.answered and now < current.expires:
            self._due[file] = current.expires
            return None
        if current:
            self._recall(current, now)
        if self._room():
            self._send(file, stands, now)
        else:
            self._due[file] = now + AGAIN_S
        return None

    def _send(self, file: bytes, stands: Lacking, now: float) -> None:
        key, receipt = KeyPair.generate(self._rng), self._rng(VALUE_SIZE)
        runs = stands.runs[:MAX_RUNS] if stands.runs else None
        budget = min(stands.size, BUDGET) if stands.size else BUDGET
        header = fresh_header(
            tag=want_tag(file),
            receipt_hash=one_way(one_way(receipt)),
            lifetime=LIFETIME,
            priority=Priority.NORMAL,
            wall=self._wall(),
            rng=self._rng,
            suite=SUITE_WANT,
        )
        bundle = Bundle.make(header, Want(key.public, budget, runs).to_bytes())
        expires = now + LIFETIME
        sent = _Sent(file, bundle.id, key, receipt, expires, _answers(runs))
        self._journal.add(
            PutWant(file, bundle.id, key.private, receipt, expires),
            PutEvent.of("want", file=file.hex(), state="sent"),
        )
        self._keep(sent)
        self._current[file] = sent
        self._sent_at[file] = now
        self._due[file] = expires
        if self._post.submit(bundle, now) is not None:
            self._due[file] = now + AGAIN_S
            sent.answered = True

    def _keep(self, sent: _Sent) -> None:
        self._by_tag[sent.tag] = sent
        heappush(self._expiries, (sent.expires, sent.tag))
        self.changes += 1

    def _room(self) -> bool:
        """Whether there is room for one more; of those that are over the first gives way."""
        if len(self._by_tag) < MAX_WANTS:
            return True
        over = [sent for sent in self._by_tag.values() if sent.over]
        if over:
            self._forget(min(over, key=lambda sent: sent.expires))
        return bool(over)

    def _recall(self, sent: _Sent, now: float) -> None:
        """Another want asks for what still lacks; answers to this one are welcome as before.

        A recall, no receipt: that would end answers that are on their way.
        """
        self._post.add_value(one_way(sent.receipt), RECEIPT_HOURS, now)

    def _end(self, sent: _Sent, now: float) -> None:
        """No carrier need keep this want any more."""
        if not sent.over:
            sent.over = True
            self._post.add_value(sent.receipt, RECEIPT_HOURS, now)

    def _forget(self, sent: _Sent) -> None:
        del self._by_tag[sent.tag]
        self._expiries = [entry for entry in self._expiries if entry[1] != sent.tag]
        heapify(self._expiries)
        if self._current.get(sent.file) is sent:
            del self._current[sent.file]
            self._due[sent.file] = sent.expires
        self._journal.add(DropWant(sent.bundle))
        self.changes += 1


def _answers(runs: Iterable[Run] | None) -> int:
    """How many answers a want takes in all; several peers may bring the same."""
    parts = BUDGET // CHUNK if runs is None else sum(count for _, count in runs)
    return ANSWERS_FOR_EACH * parts + SPARE_ANSWERS
