"""Getting files: how far they are, and who waits for them."""

import os
import sys
import time
from typing import Any, Final

import click

from meshpeer.cli import show
from meshpeer.cli.command import ListGroup, Session, Span, absolute, command
from meshpeer.errors import MeshpeerError, NotReachedError

LOOK_S: Final = 0.3
FEW: Final = 10
"""Fetches that are asked for one by one."""
LIST_S: Final = 10.0
"""How long the peer waits at a time for the list of a collection's files."""
MANY: Final = 20
"""More files that came are told in a line."""
OVER: Final = ("done", "failed")


@command("meshpeer get 12 --to ~/Downloads")
@click.argument("what")
@click.option("--to", metavar="PATH", help="A folder, or what it is to be called.")
@click.option("--in-order", is_flag=True, help="From the beginning on, to watch meanwhile.")
@click.option("--priority", type=int, default=0, help="Higher ones go first.")
@click.option("--slow", is_flag=True, help="By a slow link too, however long it takes.")
@click.option("--detach", is_flag=True, help="Return at once; see `meshpeer fetches`.")
@click.option("--timeout", type=Span(), help="How long to wait; exit code 6 after that.")
def get(
    session: Session,
    what: str,
    to: str | None,
    in_order: bool,
    priority: int,
    slow: bool,
    detach: bool,
    timeout: int | None,
) -> None:
    """Fetch a file, or all of a collection or post, from whoever has it.

    WHAT is a record's number or id, or a file's id. It goes on after you interrupt this, and
    after a restart; if nobody near has it, a want travels until somebody does.
    """
    folder = "/" if to and to.endswith("/") else ""
    target = str(absolute(to)) + folder if to else None
    body = {"what": what, "to": target, "in_order": in_order, "priority": priority}
    body |= {"slow": True} if slow else {}
    deadline = None if timeout is None else time.monotonic() + timeout
    found = _begin(session, body, deadline, detach)
    if not detach:
        try:
            found = _watch(session, found, deadline)
        except KeyboardInterrupt:
            session.say(
                "\nit goes on; `meshpeer fetches` shows how far it is, and cancels it"
            )
            raise
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
        held, wait, why, said = 0, LOOK_S, "", ""
        while any(fetch["state"] not in OVER for fetch in found):
            if deadline is not None and time.monotonic() >= deadline:
                raise NotReachedError(
                    "not all of it came in that time; it goes on: see `meshpeer fetches`"
                )
            time.sleep(wait)
            began = time.monotonic()
            found = _look_again(session, found)
            wait = max(LOOK_S, 5 * (time.monotonic() - began))
            now = sum(fetch["held"] for fetch in found)
            bar.length = max(sum(max(fetch["size"], 0) for fetch in found), 1)
            bar.update(max(now - held, 0), _how(found))
            held = max(now, held)
            before, why = why, _why(found)
            if why == before != said and why and not sys.stderr.isatty():
                session.say(
                    said := why
                )  # where no bar is drawn, and not what passes at once
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
    parts = [
        f"{show.size(rate)}/s from {sources}" if sources and rate else "",
        f"{show.span(left)} left" if left else "",
        _why(found) if not rate else "",
    ]
    return ", ".join(part for part in parts if part)


def _why(found: list[dict[str, Any]]) -> str:
    """What they wait for; of several reasons the first."""
    reasons = (fetch["why"] for fetch in found if fetch["state"] not in OVER)
    return show.safe(next(filter(None, reasons), ""))


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
    session.give(
        found,
        _fetch_lines,
        nothing="nothing is being fetched; `meshpeer get` asks for a file",
    )


def _fetch_lines(found: list[dict[str, Any]]) -> list[str]:
    rows = [
        (
            show.safe(fetch["name"]),
            show.size(max(fetch["size"], 0)),
            show.percent(fetch),
            f"{show.size(fetch['rate'])}/s" if fetch["rate"] else "",
            fetch["sources"] or "",
            show.span(fetch["left_s"]) if fetch["left_s"] else "",
            _state(fetch),
            fetch["file"],
        )
        for fetch in found
    ]
    return show.table(("name", "size", "here", "rate", "from", "left", "state", "id"), rows)


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
