"""What people publish, whom they follow, what they think of it."""

import json
from itertools import islice
from typing import Any, Final

import click

from meshpeer.cli import show
from meshpeer.cli.command import Session, command, existing, text_from
from meshpeer.cli.reading import post_reading
from meshpeer.errors import NotFoundError, UsageError

WHY: Final = {
    "own": "you",
    "followed": "you follow it",
    "contact": "your contact",
    "near": "a contact of yours follows it",
    "muted": "you follow it no more",
    "none": "not followed",
}


@command('meshpeer post "The well at the school gives clean water again" --tag water')
@click.argument("text", required=False)
@click.option("--tag", "tags", multiple=True, help="A word to find it by; may be repeated.")
@click.option("--attach", multiple=True, metavar="PATH", help="A file that goes with it.")
@click.option("--reply-to", metavar="RECORD", help="The record that this one answers.")
@click.option("--language", default="", help="Such as en or pt-BR.")
@click.option("--as", "sender", metavar="PERSON", help="Who, if several live here.")
def post(
    session: Session,
    text: str | None,
    tags: tuple[str, ...],
    attach: tuple[str, ...],
    **options: object,
) -> None:
    """Publish TEXT (or stdin) for all who follow you."""
    files = [str(existing(path)) for path in attach]
    body = {
        "text": text_from(text, "post"),
        "tags": list(tags),
        "attach": files,
        **options,
    }
    done = post_reading(session, files, "posts", body=body)
    session.give(done, _record_lines)


@command("meshpeer timeline --last 20")
@click.option(
    "--last", type=click.IntRange(min=1), default=30, show_default=True, help="How many."
)
@click.option("--who", help="Only of this person.")
@click.option("--kind", "kinds", multiple=True, help="Only posts, files, ...; repeatable.")
@click.option("--follow", is_flag=True, help="Go on with what comes in.")
def timeline(
    session: Session, last: int, who: str | None, kinds: tuple[str, ...], follow: bool
) -> None:
    """List what those you follow published, the newest last."""
    cursor = session.api.get("status")["last_event"] if follow else ""
    asked = {"who": who, "kinds": ",".join(kinds)}
    found = list(islice(session.api.all("timeline", at_once=min(last, 200), **asked), last))
    found.reverse()
    if not follow:
        session.give(
            found,
            lambda found: [line for r in found for line in _record_lines(r)],
            nothing="nothing yet; `meshpeer follow` lists whose chains are kept here",
        )
        return
    for record in found:
        _follow_line(session, record)
    author = session.api.get("profile", who=who)["person"]["id"] if who else None
    for event in session.api.events(cursor):
        if event.kind != "record" or (kinds and event.body["kind"] not in kinds):
            continue
        record = session.api.get("records", event.body["id"])
        if author in (None, record["author"]["id"]):
            _follow_line(session, record)


def _follow_line(session: Session, record: dict[str, Any]) -> None:
    for line in [json.dumps(record)] if session.as_json else _record_lines(record):
        click.echo(line)


@command("meshpeer record 12")
@click.argument("which")
def record(session: Session, which: str) -> None:
    """Show one record whole, by its number or id."""
    session.give(session.api.get("records", which), lambda found: _whole(found, session))


@command("meshpeer withdraw 12")
@click.argument("which")
def withdraw(session: Session, which: str) -> None:
    """Take back a record of yours: followers drop what it said and stop serving its file.

    Who has read or copied it keeps that: nothing can take it from them.
    """
    done = session.api.post("records", which, "withdraw", body={})
    session.give(
        done, lambda done: [f"withdrawn; the withdrawal is record {done['number']}"]
    )


@command("meshpeer follow '~dora'")
@click.argument("who", required=False)
@click.option("--quietly", is_flag=True, help="Don't say so in your own chain.")
def follow(session: Session, who: str | None, quietly: bool) -> None:
    """Keep here what WHO (a contact, '~nickname' or id text) publishes.

    Without WHO: list whose chains are kept here, and why.
    """
    if who is None:
        session.give(
            list(session.api.all("follows")),
            _follow_lines,
            nothing="no chain is kept here; `meshpeer follow WHO` keeps one",
        )
        return
    done = session.api.put("follows", who, body={"quietly": quietly})
    session.give(done, lambda done: _follow_lines([done]))


@command("meshpeer unfollow dora")
@click.argument("who")
@click.option("--quietly", is_flag=True, help="Don't say so in your own chain.")
def unfollow(session: Session, who: str, quietly: bool) -> None:
    """Keep what WHO publishes no more; what is here of it goes."""
    done = session.api.delete("follows", who, quietly=quietly)
    session.give(done, lambda _: ["unfollowed"])


def _follow_lines(found: list[dict[str, Any]]) -> list[str]:
    rows = [
        (show.name(one["person"]), WHY[one["why"]], one["records"], one["person"]["id"])
        for one in found
    ]
    return show.table(("who", "why", "blocks", "id"), rows)


@command('meshpeer profile --about "Keeps the library at the school"')
@click.argument("who", required=False)
@click.option("--about", help="Say this of yourself.")
@click.option("--avatar", metavar="PATH", help="Your picture; empty removes it.")
def profile(
    session: Session, who: str | None, about: str | None, avatar: str | None
) -> None:
    """Show what WHO says of itself and what is known of its chain; yours without WHO."""
    if about is None and avatar is None:
        session.give(session.api.get("profile", who=who), _profile_lines)
        return
    if who is not None:
        raise UsageError("--about and --avatar are for your own profile")
    picture = str(existing(avatar)) if avatar else avatar
    body = {"about": about, "avatar": picture}
    session.give(session.api.put("profile", body=body), _profile_lines)


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _profile_lines(profile: dict[str, Any]) -> list[str]:
    lines = [
        f"{show.name(profile['person'])}  {profile['person']['id']}",
        f"  {WHY[profile['why']]}; {_many(profile['records'], 'block')}, "
        f"{show.size(profile['bytes'])}, {_many(profile['devices'], 'device')}",
    ]
    if profile["about"]:
        lines += [
            f"  {line}" for line in show.safe(profile["about"], lines=True).split("\n")
        ]
    if profile["avatar"]:
        lines.append(f"  picture {profile['avatar']}")
    lines += [
        f"  log {log} forked: it was written in two places at once and is frozen; "
        "this person goes on in another"
        for log in profile["forked"]
    ]
    lines += [
        f"  log {log}: what came newest is not proved yet to belong with what was held before"
        for log in profile["unjoined"]
    ]
    return lines


@command("meshpeer label 12 --rating 2")
@click.argument("target")
@click.option(
    "--about",
    type=click.Choice(["block", "person", "file"]),
    default="block",
    help="What TARGET is: a record, a person or a file.",
)
@click.option(
    "--rating", type=click.IntRange(-2, 2), help="From -2 (bad) to 2 (very good)."
)
@click.option("--warn", "warning", default="", help="What others should beware of.")
@click.option("--text", default="", help="Why.")
@click.option("--as", "sender", metavar="PERSON", help="Who, if several live here.")
def label(session: Session, target: str, **options: object) -> None:
    """Say what you think of something, signed: others may heed it."""
    if options["rating"] is None and not options["warning"]:
        raise UsageError("give --rating or --warn")
    body = {"target": target, **options}
    session.give(session.api.post("labels", body=body), _record_lines)


def _record_lines(record: dict[str, Any]) -> list[str]:
    when = show.when(record["written"] or record["received"])
    who = show.name(record["author"])
    head = f"{record['number']:>6}  {when}  {who}  "
    return [head + said(record), *(f"        {line}" for line in file_lines(record))]


def said(record: dict[str, Any]) -> str:
    """Say in a line what a record says."""
    tags = " ".join(f"#{show.safe(tag)}" for tag in record["tags"])
    text = show.first_line(record["text"]) if record["text"] else ""
    name = show.safe(record["name"])
    match "withdrawn" if record["withdrawn"] else record["kind"]:
        case "post":
            found = text
        case "file" | "collection" as kind:
            found = f"{kind} {name}" + (f": {text}" if text else "")
        case "label":
            rating = f"{record['rating']:+d}" if record["rating"] is not None else ""
            warning = f"warns: {show.safe(record['warning'])}" if record["warning"] else ""
            parts = (f"label of {_target(record)}", rating, warning, text)
            found = " ".join(part for part in parts if part)
        case "profile":
            found = f"profile {text}"
        case "follow" | "withdraw" as kind:
            found = f"{kind} {_target(record)}"
        case kind:
            found = kind
    return f"{found}  {tags}" if tags else found


def _target(record: dict[str, Any]) -> str:
    """Name what a record is about, by a name or number where there is one here."""
    if record["target_who"]:
        return show.name(record["target_who"])
    if record["target_number"]:
        return f"record {record['target_number']}"
    return f"{(record['target'] or '')[:11]}…"


def file_lines(record: dict[str, Any]) -> list[str]:
    """Name the files that a record brings."""
    if record["kind"] == "collection":
        get = "" if record["own"] else f"  meshpeer get {record['number']}"
        return [f"{record['members']:,} files  {show.size(record['total'])}{get}"]
    return [
        f"{show.safe(ref['name'])}  {show.size(ref['size'])}"
        f"  {'here' if ref['held'] else 'not here: meshpeer get ' + str(record['number'])}"
        for ref in record["files"]
    ]


def _whole(record: dict[str, Any], session: Session) -> list[str]:
    kind = "withdrawn" if record["withdrawn"] else record["kind"]
    lines = [
        f"{record['number']}  {kind}  of {show.name(record['author'])}"
        f"  {show.when(record['written'] or record['received'])}",
        f"  {record['id']}",
    ]
    if record["reply_to"]:
        lines.append(f"  answers {_answered(record['reply_to'], session)}")
    if record["withdrawn"]:
        return [*lines, "  its author took back what it said"]
    tags = " ".join(f"#{show.safe(tag)}" for tag in record["tags"])
    if record["kind"] != "post":
        lines.append(f"  {said(record)}")
    elif tags:
        lines.append(f"  {tags}")
    lines += [""] if record["text"] else []
    text = show.safe(record["text"], lines=True).rstrip()
    lines += [f"  {line}" for line in text.split("\n")] if text else []
    if record["kind"] == "collection":
        lines += [f"  {line}" for line in file_lines(record)]
    for ref in record["files"]:
        lines += [
            f"  file {show.safe(ref['name'])}  {show.size(ref['size'])}  {ref['file']}"
        ]
    return lines


def _answered(id: str, session: Session) -> str:
    try:
        record = session.api.get("records", id)
    except NotFoundError:
        return f"{id}, which is not here"
    return f"{record['number']}  {said(record)}"
