"""Posts, timelines, follows, profiles and labels, as the API asks for them."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from meshpeer.core.chains.interest import FOLLOWED, MUTED, Level
from meshpeer.core.formats.block import Header
from meshpeer.core.formats.record import Collection as CollectionRecord
from meshpeer.core.formats.record import (
    File,
    FileRef,
    Follow,
    Label,
    Post,
    Profile,
    Record,
    Withdraw,
    parse_record,
)
from meshpeer.core.identity import idtext
from meshpeer.core.mail.people import Own, Status
from meshpeer.errors import RemoteProtocolError, UsageError
from meshpeer.node import chain_facade
from meshpeer.node.desk import Desk, is_hex, is_number, page_limit
from meshpeer.node.facade_types import Page, Who
from store.chains import SHOWN_KINDS, Cursor
from store.rows import RecordRow

if TYPE_CHECKING:
    from meshpeer.node.library.publishing import Published

PERSON_DIGITS: Final = 64
"""Of a person's id in hex."""
LISTING_TYPE: Final = "application/vnd.meshpeer.listing+cbor"
KINDS: Final[dict[str, chain_facade.RecordKind]] = {
    "post": "post",
    "file": "file",
    "collection": "collection",
    "profile": "profile",
    "follow": "follow",
    "label": "label",
    "withdraw": "withdraw",
}


class ChainService(Desk):
    """What people here publish and follow."""

    async def post(self, new: chain_facade.Post) -> chain_facade.Record:
        """Publish a post."""
        own = self.find_own(new.sender)
        reply_to = self.find_record(new.reply_to).id if new.reply_to else None
        files = [await self._published(path) for path in new.attach]
        record = Post(
            text=new.text,
            reply_to=reply_to,
            tags=tuple(new.tags),
            language=new.language,
            attachments=tuple(
                FileRef(file.file, file.size, file.name, file.media_type) for file in files
            ),
            written=self._node.wall(),
        )
        return await self.publish_record(own, record)

    async def timeline(
        self, after: str | None, limit: int, *, who: str | None, kinds: list[str]
    ) -> Page[chain_facade.Record]:
        """List records, newest first."""
        self.check_kinds(kinds)
        persons = [self.find_person(who)] if who else self._kept()
        rows = self._store.timeline(
            persons,
            kinds=kinds or SHOWN_KINDS,
            after=_read_cursor(after),
            limit=page_limit(limit),
        )
        following = _write_cursor(rows[-1]) if len(rows) == limit else None
        shown = rows if who else [row for row in rows if not self._is_unheeded(row)]
        return Page(self.record_views(shown), following)

    async def record(self, which: str) -> chain_facade.Record:
        """Give one record."""
        return self.record_views([self.find_record(which)])[0]

    async def withdraw(self, which: str) -> chain_facade.Record:
        """Take back a record of one's own."""
        row = self.find_record(which)
        header = Header.parse(row.header)
        own = self._people.own.get(header.person)
        if own is None:
            raise UsageError("only who published something can withdraw it")
        if row.body is None:
            raise UsageError("that is withdrawn already")
        if row.item is not None and row.item.kind == "withdraw":
            raise UsageError("a withdrawal can't be withdrawn; publish it again instead")
        return await self.publish_record(own, Withdraw(row.id, written=self._node.wall()))

    async def follow(self, who: str, *, quietly: bool) -> chain_facade.Followed:
        """Keep this person's chain here."""
        person = self.find_person(who)
        if person in self._people.own:
            raise UsageError("your own chain is kept anyway")
        self._peer.chains.follow(person, self._node.now())
        if not quietly:
            self._say(Follow(person, True, written=self._node.wall()))
        await self._node.durable()
        return self._followed(person)

    async def unfollow(self, who: str, *, quietly: bool) -> None:
        """Keep this person's chain no more."""
        person = self.find_person(who)
        why = self._why(person)
        if why not in ("followed", "contact"):
            raise UsageError("you don't follow that person")
        if not quietly and why == "followed":
            self._say(Follow(person, False, written=self._node.wall()))
        if self._is_contact(person):
            self._peer.chains.mute(person, self._node.now())
        else:
            self._peer.chains.unfollow(person, self._node.now())
        await self._node.durable()

    async def follows(self, after: str | None, limit: int) -> Page[chain_facade.Followed]:
        """List whose chains are kept here, and why."""
        persons = sorted(self._kept())
        start = bytes.fromhex(after) if after and is_hex(after, PERSON_DIGITS) else b""
        part = [person for person in persons if person > start][: page_limit(limit)]
        following = part[-1].hex() if part and part[-1] != persons[-1] else None
        return Page([self._followed(person) for person in part], following)

    async def profile(self, who: str | None) -> chain_facade.Profile:
        """Give what a person says of itself, and what is known of its chain."""
        person = self.find_person(who) if who else self.find_own(None).person
        chains = self._peer.chains
        card = chains.card_of(person)
        said = self._said(person, "profile")
        return chain_facade.Profile(
            person=self.who(person),
            about=said.about if isinstance(said, Profile) else "",
            avatar=(
                idtext.encode(said.avatar)
                if isinstance(said, Profile) and said.avatar
                else None
            ),
            follows=chains.wanted(person),
            why=self._why(person),
            devices=len(card.devices) if card else 0,
            records=self._store.count_blocks(person),
            bytes=chains.weight(person),
            forked=[head.log.hex() for head in chains.frozen(person)],
            unjoined=[head.log.hex() for head in chains.unjoined(person)],
            card=card.to_uri() if card else None,
        )

    async def set_profile(self, new: chain_facade.NewProfile) -> chain_facade.Profile:
        """Publish what is said of oneself."""
        own = self.find_own(new.sender)
        before = self._said(own.person, "profile")
        about = before.about if isinstance(before, Profile) else ""
        avatar = before.avatar if isinstance(before, Profile) else None
        if new.avatar is not None:
            avatar = (await self._published(new.avatar)).file if new.avatar else None
        record = Profile(
            nickname=own.card.nickname,
            about=about if new.about is None else new.about,
            avatar=avatar,
            written=self._node.wall(),
        )
        await self.publish_record(own, record)
        return await self.profile(idtext.encode(own.person))

    async def label(self, new: chain_facade.NewLabel) -> chain_facade.Record:
        """Publish an opinion."""
        own = self.find_own(new.sender)
        match new.about:
            case "person":
                target = self.find_person(new.target)
            case "block":
                target = self.find_record(new.target).id
            case "file":
                target = self.find_file(new.target)
        record = Label(
            target=target,
            about=new.about,
            rating=new.rating,
            warning=new.warning,
            text=new.text,
            written=self._node.wall(),
        )
        return await self.publish_record(own, record)

    # ---- for the other services, too

    @staticmethod
    def check_kinds(kinds: Iterable[str]) -> None:
        """Raise UsageError for a kind of record that there isn't."""
        for kind in kinds:
            if kind not in KINDS:
                raise UsageError(f"no kind {kind!r}; there are {', '.join(KINDS)}")

    async def publish_record(self, own: Own, record: Record) -> chain_facade.Record:
        """Append a record to this person's chain; it is durable when this returns."""
        self._node.check_disk()
        block = self._peer.publish(own, record, self._node.now())
        await self._node.durable()
        return await self.record(idtext.encode(block.header.id))

    def record_views(self, rows: Sequence[RecordRow]) -> list[chain_facade.Record]:
        """Give records as the facade shows them."""
        return [self._record_view(row) for row in rows]

    async def _published(self, path: str) -> "Published":
        return await self._node.library.publish(self.not_ours(path))

    def _say(self, record: Record) -> None:
        self._peer.publish(self.find_own(None), record, self._node.now())

    def _said(self, person: bytes, kind: str) -> Record | None:
        row = self._store.newest(person, kind)
        return _parsed(row) if row else None

    def _followed(self, person: bytes) -> chain_facade.Followed:
        return chain_facade.Followed(
            person=self.who(person),
            why=self._why(person),
            records=self._store.count_blocks(person),
            joined=not self._peer.chains.unjoined(person),
        )

    def _kept(self) -> list[bytes]:
        """Whose chains are kept here."""
        return list(self._peer.chains.interest.wanted)

    def _is_unheeded(self, row: RecordRow) -> bool:
        """Whether it is a label of somebody who was said not to be heeded."""
        if row.item is None or row.item.kind != "label":
            return False
        return self._node.heeding.said(Header.parse(row.header).person) is False

    def _usually_heeded(self) -> list[bytes]:
        """Whose labels count if nothing was said: persons here, whom they follow, contacts."""
        reasons = ("own", "followed", "contact")
        some = [(self._why(person), person) for person in self._kept()]
        return [
            one for _, one in sorted((reasons.index(w), p) for w, p in some if w in reasons)
        ]

    def _is_contact(self, person: bytes) -> bool:
        known = self._people.get(person)
        return known is not None and known.status is Status.CONTACT

    def _why(self, person: bytes) -> chain_facade.Why:
        chains = self._peer.chains
        if person in self._people.own:
            return "own"
        if chains.how(person) == MUTED:
            return "muted"
        if chains.how(person) == FOLLOWED:
            return "followed"
        if self._is_contact(person):
            return "contact"
        return _BY_LEVEL[chains.level(person)]

    def _record_view(self, row: RecordRow) -> chain_facade.Record:
        header = Header.parse(row.header)
        record = _parsed(row)
        item = row.item
        return chain_facade.Record(
            number=row.number,
            id=idtext.encode(row.id),
            kind=_kind(record),
            author=self.who(header.person),
            own=header.person in self._people.own,
            written=record.written if record else 0,
            received=row.received_wall,
            name=item.name if item else "",
            text=_text(record),
            tags=list(item.tags) if item else [],
            language=item.language if item else "",
            reply_to=(
                idtext.encode(record.reply_to)
                if isinstance(record, Post) and record.reply_to
                else None
            ),
            target=_target(record),
            target_who=self._target_who(record),
            target_number=self._target_number(record),
            files=[self._file_view(ref) for ref in _files(record)],
            rating=record.rating if isinstance(record, Label) else None,
            warning=record.warning if isinstance(record, Label) else "",
            total=record.total if isinstance(record, CollectionRecord) else 0,
            members=record.files if isinstance(record, CollectionRecord) else 0,
            withdrawn=row.body is None,
        )

    def _target_who(self, record: Record | None) -> Who | None:
        match record:
            case Label(about="person"):
                return self.who(record.target)
            case Follow():
                return self.who(record.person)
            case _:
                return None

    def _target_number(self, record: Record | None) -> int | None:
        match record:
            case Label(about="file"):
                rows = self._store.records_of_file(record.target, 1)
                return rows[0].number if rows else None
            case Label(about="block") | Withdraw():
                row = self._store.record_of(record.target)
                return row.number if row else None
            case _:
                return None

    def _file_view(self, ref: FileRef) -> chain_facade.FileRef:
        row = self._store.file(ref.file)
        return chain_facade.FileRef(
            file=idtext.encode(ref.file),
            name=ref.name,
            size=ref.size,
            media_type=ref.media_type,
            held=row is not None and row.have is None,
        )


_BY_LEVEL: Final[dict[Level, chain_facade.Why]] = {
    Level.NONE: "none",
    Level.SOME: "near",
    Level.ALWAYS: "followed",  # from another device of the same person
}


def _parsed(row: RecordRow) -> Record | None:
    """Give what the block says; None if its body is gone or was written by a newer peer."""
    if row.body is None:
        return None
    try:
        return parse_record(row.body)
    except (
        RemoteProtocolError
    ):  # checked when it came: only a later, stricter version lands here
        return None


def _kind(record: Record | None) -> chain_facade.RecordKind:
    return KINDS.get(type(record).__name__.lower(), "other")


def _text(record: Record | None) -> str:
    match record:
        case Post() | Label():
            return record.text
        case Profile():
            return record.about
        case File() | CollectionRecord():
            return record.description
        case _:
            return ""


def _target(record: Record | None) -> str | None:
    match record:
        case Label() | Withdraw():
            return idtext.encode(record.target)
        case Follow():
            return idtext.encode(record.person)
        case _:
            return None


def _files(record: Record | None) -> Iterable[FileRef]:
    match record:
        case Post():
            return record.attachments
        case File():
            return [FileRef(record.file, record.size, record.name, record.media_type)]
        case CollectionRecord():
            return [FileRef(record.listing, record.listing_size, record.name, LISTING_TYPE)]
        case _:
            return ()


def _read_cursor(after: str | None) -> Cursor | None:
    if after is None:
        return None
    lamport, dot, number = after.partition(".")
    if not (dot and is_number(lamport) and is_number(number)):
        raise UsageError(f"{after!r} is no cursor of this list")
    return int(lamport), int(number)


def _write_cursor(row: RecordRow) -> str:
    return f"{row.lamport}.{row.number}"
