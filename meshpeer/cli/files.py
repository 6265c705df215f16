"""Publishing files, listing them, keeping folders equal."""

from pathlib import Path
from typing import Any

import click

from meshpeer.cli import show
from meshpeer.cli.chains import file_lines, said
from meshpeer.cli.command import Session, Span, absolute, command, existing
from meshpeer.cli.reading import post_reading
from meshpeer.errors import UsageError


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
        body = {"path": str(path), "name": name, "tags": list(tags), "sender": sender}
        done.append(post_reading(session, [str(path)], "files", body=body | options))
        for left_out in done[-1]["left_out"]:
            why = show.safe(f"{left_out['path']}: {left_out['why']}")
            session.say(f"left out: {why}")
        if done[-1]["unchanged"]:
            session.say(f"{show.safe(str(path))}: published before as it is, no new record")
    session.give(done, lambda done: [line for one in done for line in _published(one)])


def _send_sealed(
    session: Session, paths: list[Path], to: str, sender: str | None, text: str
) -> None:
    draft: dict[str, Any] = {
        "to": to,
        "text": text,
        "sender": sender,
        "attach": [str(path) for path in paths],
    }
    body = {"messages": [draft]}
    (sent,) = post_reading(session, draft["attach"], "messages", body=body)["sent"]
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
    path = str(absolute(folder))
    session.give(
        session.api.delete("watched", directory=path), lambda _: ["not watched now"]
    )


@command("meshpeer files")
@click.option("--watched", is_flag=True, help="Instead: the folders that are watched.")
def files(session: Session, watched: bool) -> None:
    """List the files whose bytes are here."""
    if watched:
        found = session.api.get("watched")["items"]
        session.give(
            found,
            _watched_lines,
            nothing="no folder is watched; `meshpeer publish --watch FOLDER` begins it",
        )
        return
    session.give(
        list(session.api.all("files")),
        _file_lines,
        nothing="no files yet; `meshpeer publish PATH` names yours, `meshpeer get` fetches "
        "others'",
    )


def _watched_lines(found: list[dict[str, Any]]) -> list[str]:
    rows = [(show.safe(one["collection"]), show.safe(one["directory"])) for one in found]
    return show.table(("collection", "folder"), rows)


def _file_lines(found: list[dict[str, Any]]) -> list[str]:
    rows = [
        (
            show.size(one["size"]),
            ("whole" if one["held"] == one["size"] else show.percent(one))
            + (", sealed" if one["sealed"] else ""),
            show.safe(one["paths"][0]) if one["paths"] else "",
            one["file"],
        )
        for one in found
    ]
    return show.table(("size", "here", "path", "id"), rows)


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
        session.give(
            session.api.get("mirrors")["items"],
            _mirror_lines,
            nothing="nothing is mirrored; `meshpeer mirror AUTHOR/COLLECTION FOLDER` begins it",
        )
        return
    who, slash, collection = source.partition("/")
    if not slash or not who or not collection:
        raise UsageError(f"{source!r} is not AUTHOR/COLLECTION, such as ann/Maps")
    if folder is None:
        raise UsageError("say which folder is to be kept equal")
    directory = str(absolute(folder))
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
    path = str(absolute(folder))
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
        f"  here {show.percent(info) or 'nothing'}; "
        f"neighbours that hold some of it now: {info['holders']}",
    ]
    for record in info["records"]:
        lines.append(f"  {record['number']}  {show.name(record['author'])}  {said(record)}")
        lines += [f"    {line}" for line in file_lines(record)]
    return lines
