"""Publishing files, getting them, keeping folders equal."""

import os
import sys
import time
from pathlib import Path
from typing import Any, Final

import click

from meshpeer.cli import show
from meshpeer.cli.chains import file_lines, said
from meshpeer.cli.command import ListGroup, Session, Span, command, existing
from meshpeer.errors import MeshpeerError, NotReachedError, UsageError

LOOK_S: Final = 0.3
FEW: Final = 10
"""Fetches that are asked for one by one."""
LIST_S: Final = 10.0
"""How long the peer waits at a time for the list of a collection's files."""
MANY: Final = 20
"""More files that came are told in a line."""
OVER: Final = ("done", "failed")


@command("meshpeer publish ~/Maps --tag maps --watch")
@click.argument("paths", nargs=-1, required=True)
@click.option("--name", help="What others see; else the file's own name.")
@click.option("--tag", "tags", multiple=True, help="A word to find it by; may be repeated.")
@click.option("--description", default="", help="What it is.")
@click.option("--language", default="", help="Such as en or pt-BR.")
@click.option("--media-type", help="Such as text/plain; else guessed from the name.")
@click.option(
    "--hidden", is_flag=True, help="Of a folder: files that begin with a dot, too."
)
@click.option("--watch", is_flag=True, help="Of a folder: again whenever it changes.")
@click.option("--to", metavar="CONTACT", help="Sealed: only this contact can open it.")
@click.option("--as", "sender", metavar="PERSON", help="Who, if several live here.")
def publish(
    session: Session,
    paths: tuple[str, ...],
    name: str | None,
    to: str | None,
    sender: str | None,
    tags: tuple[str, ...],
    **options: Any,  # noqa: ANN401
) -> None:
    """Publish files or folders where they lie: no copy is made, so leave them there.

    A folder becomes a collection, which others can mirror.
    """
    if name is not None and len(paths) > 1:
        raise UsageError("--name is for one path only")
    found = [existing(path) for path in paths]
    if to is not None:
        _send_sealed(session, found, to, sender, str(options["description"]))
        return
    if options["watch"] and not all(path.is_dir() for path in found):
        raise UsageError("--watch is for folders")
    done = []
    for path in found:
        session.say(f"reading {path}")
        body = {"path": str(path), "name": name, "tags": list(tags), "sender": sender}
        done.append(session.api.post("files", body=body | options, patient=True))
        for left_out in done[-1]["left_out"]:
            why = show.safe(f"{left_out['path']}: {left_out['why']}")
            session.say(f"left out: {why}")
    session.give(done, lambda done: [line for one in done for line in _published(one)])


def _send_sealed(
    session: Session, paths: list[Path], to: str, sender: str | None, text: str
) -> None:
    draft = {
        "to": to,
        "text": text or ", ".join(path.name for path in paths),
        "sender": sender,
        "attach": [str(path) for path in paths],
    }
    api = session.api
    (sent,) = api.post("messages", body={"messages": [draft]}, patient=True)["sent"]
    session.give(sent, lambda sent: [f"{sent['id']}  {sent['state']}"])


def _published(done: dict[str, Any]) -> list[str]:
    record = done["record"]
    number = f"{done['files']} files, " if record["kind"] == "collection" else ""
    return [
        f"record {record['number']}  {said(record)}",
        f"  {number}{show.size(done['bytes'])}, {done['file']}",
    ]


@command("meshpeer unpublish ~/Maps")
@click.argument("folder")
def unpublish(session: Session, folder: str) -> None:
    """Watch FOLDER no more. To take back what was published, see `withdraw`."""
    path = str(Path(folder).expanduser().absolute())
    session.give(
        session.api.delete("watched", directory=path), lambda _: ["not watched now"]
    )


@command("meshpeer files")
@click.option("--watched", is_flag=True, help="Instead: the folders that are watched.")
def files(session: Session, watched: bool) -> None:
    """List the files whose bytes are here."""
    if watched:
        found = session.api.get("watched")["items"]
        session.give(found, _watched_lines)
        return
    session.give(list(session.api.all("files")), _file_lines)


def _watched_lines(found: list[dict[str, Any]]) -> list[str]:
    rows = [(show.safe(one["collection"]), show.safe(one["directory"])) for one in found]
    return show.table(("collection", "folder"), rows)


def _file_lines(found: list[dict[str, Any]]) -> list[str]:
    rows = [
        (
            show.size(one["size"]),
            ("whole" if one["held"] == one["size"] else _percent(one))
            + (", sealed" if one["sealed"] else ""),
            show.safe(one["paths"][0]) if one["paths"] else "",
            one["file"],
        )
        for one in found
    ]
    return show.table(("size", "here", "path", "id"), rows)


@command("meshpeer get 12 --to ~/Downloads")
@click.argument("what")
@click.option("--to", metavar="PATH", help="A folder, or what it is to be called.")
@click.option("--in-order", is_flag=True, help="From the beginning on, to watch meanwhile.")
@click.option("--priority", type=int, default=0, help="Higher ones go first.")
@click.option("--detach", is_flag=True, help="Return at once; see `meshpeer fetches`.")
@click.option("--timeout", type=Span(), help="How long to wait; exit code 6 after that.")
def get(
    session: Session,
    what: str,
    to: str | None,
    in_order: bool,
    priority: int,
    detach: bool,
    timeout: int | None,
) -> None:
    """Fetch a file, or all of a collection or post, from whoever has it.

    WHAT is a record's number or id, or a file's id. It goes on after you interrupt this, and
    after a restart; if nobody near has it, a want travels until somebody does.
    """
    folder = "/" if to and to.endswith("/") else ""
    target = str(Path(to).expanduser().absolute()) + folder if to else None
    body = {"what": what, "to": target, "in_order": in_order, "priority": priority}
    deadline = None if timeout is None else time.monotonic() + timeout
    found = _begin(session, body, deadline, detach)
    if not detach:
        found = _watch(session, found, deadline)
    session.give(found, _done_lines)
    if any(fetch["state"] == "failed" for fetch in found):
        raise MeshpeerError("not all of it came")


def _begin(
    session: Session, body: dict[str, Any], deadline: float | None, detach: bool
) -> list[dict[str, Any]]:
    """Ask for the files; of a collection their list has to come first, and is waited for."""
    told = False
    while True:
        left = LIST_S if deadline is None else deadline - time.monotonic()
        body["patience_s"] = min(max(left, 0.0), LIST_S)
        try:
            found: list[dict[str, Any]] = session.api.post("fetches", body=body)["items"]
        except NotReachedError:
            if detach or (deadline is not None and time.monotonic() >= deadline):
                raise
        else:
            return found
        if not told:
            session.say("waiting for the list of its files, which nobody near has now")
            told = True


def _watch(
    session: Session, found: list[dict[str, Any]], deadline: float | None
) -> list[dict[str, Any]]:
    """Show how far they are until all are done or failed."""
    total = sum(max(fetch["size"], 0) for fetch in found)
    with click.progressbar(
        length=max(total, 1),
        label="fetching",
        file=sys.stderr,
        item_show_func=_shown,
        show_eta=False,
        update_min_steps=1,
    ) as bar:
        held, wait = 0, LOOK_S
        while any(fetch["state"] not in OVER for fetch in found):
            if deadline is not None and time.monotonic() >= deadline:
                raise NotReachedError("not all of it came in that time; it goes on")
            time.sleep(wait)
            began = time.monotonic()
            found = _look_again(session, found)
            wait = max(LOOK_S, 5 * (time.monotonic() - began))
            now = sum(fetch["held"] for fetch in found)
            bar.length = max(sum(max(fetch["size"], 0) for fetch in found), 1)
            bar.update(max(now - held, 0), _how(found))
            held = max(now, held)
    return found


def _look_again(session: Session, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ask how far those are that are not over; of many together, a page at a time."""
    going = {fetch["file"] for fetch in found if fetch["state"] not in OVER}
    if len(going) <= FEW:
        now = [session.api.get("fetches", file) for file in going]
    else:
        now = [fetch for fetch in session.api.all("fetches") if fetch["file"] in going]
    news = {fetch["file"]: fetch for fetch in now}
    return [news.get(fetch["file"], fetch) for fetch in found]


def _shown(text: str | None) -> str | None:
    return text


def _how(found: list[dict[str, Any]]) -> str:
    going = [fetch for fetch in found if fetch["state"] not in OVER]
    rate = sum(fetch["rate"] for fetch in going)
    sources = max((fetch["sources"] for fetch in going), default=0)
    left = max((fetch["left_s"] or 0 for fetch in going), default=0)
    why = next((fetch["why"] for fetch in going if fetch["why"]), "")
    parts = [
        f"{show.size(rate)}/s from {sources}" if sources and rate else "",
        f"{show.span(left)} left" if left else "",
        show.safe(why) if not sources else "",
    ]
    return ", ".join(part for part in parts if part)


def _done_lines(found: list[dict[str, Any]]) -> list[str]:
    done = [fetch for fetch in found if fetch["state"] == "done"]
    if len(done) <= MANY:
        return _fetched_lines(found)
    paths = [fetch["path"] for fetch in done if fetch["path"]]
    total = show.size(sum(fetch["size"] for fetch in done))
    where = show.safe(os.path.commonpath(paths)) if paths else ""
    others = [fetch for fetch in found if fetch["state"] != "done"]
    return [f"{len(done):,} files in {where}  {total}", *_fetched_lines(others)]


def _fetched_lines(found: list[dict[str, Any]]) -> list[str]:
    return [
        f"{show.safe(fetch['path'] or fetch['name'])}  {show.size(max(fetch['size'], 0))}"
        + ("" if fetch["state"] == "done" else f"  {_state(fetch)}")
        for fetch in found
    ]


@click.group(cls=ListGroup)
def fetches() -> None:
    """What is being fetched: list, pause, resume, priority, cancel."""


@command("meshpeer fetches list", group=fetches, name="list")
@click.option("--all", "everything", is_flag=True, help="Those that are done, too.")
def fetches_list(session: Session, everything: bool) -> None:
    """List what was asked for and is not here yet."""
    found = [
        fetch
        for fetch in session.api.all("fetches")
        if everything or fetch["state"] != "done"
    ]
    session.give(found, _fetch_lines)


def _fetch_lines(found: list[dict[str, Any]]) -> list[str]:
    rows = [
        (
            show.safe(fetch["name"]),
            show.size(max(fetch["size"], 0)),
            _percent(fetch),
            f"{show.size(fetch['rate'])}/s" if fetch["rate"] else "",
            fetch["sources"] or "",
            show.span(fetch["left_s"]) if fetch["left_s"] else "",
            _state(fetch),
            fetch["file"],
        )
        for fetch in found
    ]
    return show.table(("name", "size", "here", "rate", "from", "left", "state", "id"), rows)


def _percent(fetch: dict[str, Any]) -> str:
    return f"{100 * fetch['held'] // fetch['size']} %" if fetch["size"] > 0 else ""


def _state(fetch: dict[str, Any]) -> str:
    want = ", a want travels" if fetch.get("want") else ""
    why = f": {show.safe(fetch['why'])}" if fetch["why"] else ""
    return f"{fetch['state']}{why}{want}"


@command("meshpeer fetches pause FILE-ID", group=fetches)
@click.argument("file")
def pause(session: Session, file: str) -> None:
    """Stop asking for a file until `resume`; what has come stays."""
    _change(session, file, paused=True)


@command("meshpeer fetches resume FILE-ID", group=fetches)
@click.argument("file")
def resume(session: Session, file: str) -> None:
    """Go on with a paused or failed fetch."""
    _change(session, file, paused=False)


@command("meshpeer fetches priority FILE-ID 5", group=fetches, name="priority")
@click.argument("file")
@click.argument("number", type=int)
def priority(session: Session, file: str, number: int) -> None:
    """Let a fetch go before those with a lower NUMBER."""
    _change(session, file, priority=number)


@command("meshpeer fetches cancel FILE-ID", group=fetches)
@click.argument("file")
def cancel(session: Session, file: str) -> None:
    """Ask for a file no more, and drop what has come of it."""
    session.give(session.api.delete("fetches", file), lambda _: ["cancelled"])


def _change(session: Session, file: str, **change: object) -> None:
    done = session.api.patch("fetches", file, body=change)
    session.give(done, lambda done: _fetch_lines([done]))


@command("meshpeer mirror ann/Maps ~/Maps")
@click.argument("source", metavar="AUTHOR/COLLECTION", required=False)
@click.argument("folder", required=False)
@click.option(
    "--grace", type=Span(), help="Keep deleted files aside so long (7d if not said)."
)
def mirror(
    session: Session, source: str | None, folder: str | None, grace: int | None
) -> None:
    """Keep FOLDER equal to a collection of AUTHOR, from now on.

    What you change in it yourself is kept aside, never lost. Alone it lists the mirrors.
    """
    if source is None:
        session.give(session.api.get("mirrors")["items"], _mirror_lines)
        return
    who, slash, collection = source.partition("/")
    if not slash or not who or not collection:
        raise UsageError(f"{source!r} is not AUTHOR/COLLECTION, such as ann/Maps")
    if folder is None:
        raise UsageError("say which folder is to be kept equal")
    directory = str(Path(folder).expanduser().absolute())
    body = {
        "who": who,
        "collection": collection,
        "directory": directory,
        "grace_s": grace,
    }
    done = session.api.post("mirrors", body=body)
    session.give(done, lambda done: _mirror_lines([done]))


def _mirror_lines(found: list[dict[str, Any]]) -> list[str]:
    rows = [
        (
            f"{show.name(one['person'])}/{show.safe(one['collection'])}",
            show.safe(one["directory"]),
            one["files"],
            "equal" if one["current"] else _behind(one),
            show.safe(one["why"]),
        )
        for one in found
    ]
    return show.table(("collection", "folder", "files", "now", ""), rows)


def _behind(mirror: dict[str, Any]) -> str:
    return f"{mirror['missing']} missing" if mirror["missing"] else "behind"


@command("meshpeer unmirror ~/Maps")
@click.argument("folder")
def unmirror(session: Session, folder: str) -> None:
    """Leave FOLDER as it is from now on; its files stay."""
    path = str(Path(folder).expanduser().absolute())
    done = session.api.delete("mirrors", directory=path)
    session.give(done, lambda _: ["no mirror any more"])


@command("meshpeer file FILE-ID")
@click.argument("what")
def file(session: Session, what: str) -> None:
    """Say what is known of a file: who published it, who near holds it now."""
    session.give(session.api.get("files", what), _info_lines)


def _info_lines(info: dict[str, Any]) -> list[str]:
    lines = [
        f"{show.safe(info['name'])}  {show.size(info['size'])}  {info['file']}",
        f"  here {_percent(info) or 'nothing'}; "
        f"neighbours that hold some of it now: {info['holders']}",
    ]
    for record in info["records"]:
        lines.append(f"  {record['number']}  {show.name(record['author'])}  {said(record)}")
        lines += [f"    {line}" for line in file_lines(record)]
    return lines
