"""Searching what is published."""

import re
import time
from typing import Any, Final

import click

from meshpeer.cli import show
from meshpeer.cli.chains import said
from meshpeer.cli.command import ListGroup, Session, command
from meshpeer.errors import UsageError

SIZES: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
NOT: Final = re.compile(r"-[^-].+", re.DOTALL)
WITHOUT: Final = "\0"
SHOWN: Final = 5
"""Values of a facet that are shown."""


class Size(click.ParamType):  # type: ignore[type-arg]
    """A number of bytes: 500, 20k, 1.5M, 2G."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Give bytes."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)b?", str(value).strip().lower())
        if found is None:
            self.fail(f"{value!r} is not a size such as 500, 20k, 1.5M or 2G", param)
        return int(float(found.group(1)) * SIZES[found.group(2)])


class Day(click.ParamType):  # type: ignore[type-arg]
    """A day: 2026-11-21."""

    name = "day"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Give wall seconds of its beginning here."""
        try:
            return int(time.mktime(time.strptime(str(value), "%Y-%m-%d")))
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a day such as 2026-11-21", param)


class Searching(click.Command):
    """`-word` is a word that must not be there, not a row of options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Hide such words from click, which would call them options that don't exist."""
        return super().parse_args(
            ctx, [WITHOUT + arg if NOT.fullmatch(arg) else arg for arg in args]
        )


@command('meshpeer search "water pump" --kind file --tag repair', cls=Searching)
@click.argument("words", nargs=-1)
@click.option("--kind", "kinds", multiple=True, help="post, file, collection, ...")
@click.option("--by", "who", multiple=True, help="Only of this person.")
@click.option("--tag", "tags", multiple=True, help="Only with this tag.")
@click.option("--language", "languages", multiple=True, help="Such as en.")
@click.option("--type", "media_types", multiple=True, help="Such as image or text/plain.")
@click.option("--larger", "smallest", type=Size(), help="At least this size: 20k, 1.5M.")
@click.option("--smaller", "largest", type=Size(), help="At most this size.")
@click.option("--since", type=Day(), help="Written on this day or later.")
@click.option("--until", type=Day(), help="Written before this day.")
@click.option("--held", is_flag=True, help="Only what somebody near holds now.")
@click.option("--near", is_flag=True, help="Ask the neighbours, too.")
@click.option(
    "--last", "limit", type=click.IntRange(1, 1_000), default=20, help="How many."
)
@click.option("--after", metavar="CURSOR", help="What follows a page.")
@click.option("--watch", metavar="NAME", help="Go on: tell when more turns up.")
@click.option("--collect", metavar="NAME", help="Publish the files found as a collection.")
def search(
    session: Session,
    words: tuple[str, ...],
    limit: int,
    near: bool,
    after: str | None,
    watch: str | None,
    collect: str | None,
    **filters: Any,  # noqa: ANN401
) -> None:
    """Search all records that are here, also with their authors gone.

    All WORDS must be there: wat* finds what begins so, "two words" in quotes stand together,
    -word must not be there. A misspelt word finds what is near it. `--near` asks the neighbours.
    """
    query: dict[str, Any] = {
        "words": " ".join(_quoted(word.removeprefix(WITHOUT)) for word in words)
    }
    query |= {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in filters.items()
    }
    if watch is not None:
        done = session.api.post("searches", body={"name": watch, "query": query})
        session.give(done, lambda done: [f"{show.safe(done['name'])}: looking for it"])
        return
    body = {"query": query, "limit": limit, "near": near, "after": after}
    found = session.api.post("search", body=body)
    if collect is not None:
        _collect(session, found, collect)
        return
    session.give(found, _found_lines)


def _quoted(word: str) -> str:
    """A word of the shell that holds spaces was in quotes there."""
    return f'"{word}"' if " " in word and '"' not in word else word


def _collect(session: Session, found: dict[str, Any], name: str) -> None:
    records = [hit["record"]["number"] for hit in found["hits"] if hit["record"]["files"]]
    if not records:
        raise UsageError("no files were found, so there is nothing to collect")
    body = {"name": name, "records": records}
    done = session.api.post("collections", body=body)
    session.give(
        done, lambda done: [f"record {done['record']['number']}  {said(done['record'])}"]
    )


def _found_lines(found: dict[str, Any]) -> list[str]:
    lines = [
        f"few or none have {show.safe(word)!r}; searched for {show.safe(other)!r}, too"
        for word, other in found["instead"].items()
    ]
    for hit in found["hits"]:
        record = hit["record"]
        number = "near" if hit["near"] else record["number"]
        head = (
            f"{number:>6}  {show.when(record['written'])}  {show.name(record['author'])}  "
        )
        lines.append(head + said(record) + _rating(hit))
        lines += [f"        {show.safe(hit['marked'])}"] if _adds(hit) else []
        lines += [f"        beware: {show.safe(text)}" for text in hit["warnings"]]
        if hit["near"]:
            lines += [f"        {file['file']}" for file in record["files"]]
    total = f"{found['total']:,}{'+' if found['more'] else ''}"
    lines.append(f"{total} found" + (", time ran out" if found["cut"] else ""))
    names = {
        hit["record"]["author"]["id"]: show.name(hit["record"]["author"])
        for hit in found["hits"]
    }
    lines += [
        f"  {facet}: {_counts(counts, names)}"
        for facet, counts in found["facets"].items()
        if len(counts) > 1
    ]
    if found["next"]:
        lines.append(f"more: --after {found['next']}")
    return lines


def _adds(hit: dict[str, Any]) -> bool:
    """Whether the marked text says more than the line above it."""
    shown = show.first_line(hit["record"]["text"])
    return bool(hit["marked"]) and show.safe(hit["marked"]) != shown


def _rating(hit: dict[str, Any]) -> str:
    return f"  [{hit['rating']:+.1f}]" if hit["rating"] is not None else ""


def _counts(counts: list[dict[str, Any]], names: dict[str, str]) -> str:
    return ", ".join(
        f"{names.get(one['value'], show.safe(one['value']))} {one['count']:,}"
        for one in counts[:SHOWN]
    )


@click.group(cls=ListGroup)
def searches() -> None:
    """Searches that go on: list, remove; `search ... --watch NAME` adds one."""


@command("meshpeer searches list", group=searches, name="list")
def searches_list(session: Session) -> None:
    """List the searches that go on."""
    found = session.api.get("searches")["items"]
    rows = [(show.safe(one["name"]), show.safe(one["query"]["words"])) for one in found]
    session.give(
        found,
        lambda _: show.table(("name", "words"), rows),
        nothing="no search goes on; `meshpeer search WORDS --watch NAME` begins one",
    )


@command("meshpeer searches remove pumps", group=searches)
@click.argument("name")
def remove(session: Session, name: str) -> None:
    """Look for it no more."""
    session.give(session.api.delete("searches", name), lambda _: ["removed"])


@command("meshpeer also 12")
@click.argument("what")
@click.option("--last", "limit", type=click.IntRange(1, 100), default=20, help="How many.")
def also(session: Session, what: str, limit: int) -> None:
    """List what else those publish who have this: a record, a file or a person.

    Files and collections are listed, since having the same ones is what shows a like taste. What a
    person writes is in `meshpeer timeline --who`.
    """
    found = session.api.get("also", what, limit=limit)["items"]
    session.give(
        found,
        lambda found: [
            f"{r['number']:>6}  {show.name(r['author'])}  {said(r)}" for r in found
        ],
        nothing="nobody known here publishes this and something else; "
        "`meshpeer search --near` asks the neighbours",
    )


@command("meshpeer heed '~dora'")
@click.argument("who", required=False)
def heed(session: Session, who: str | None) -> None:
    """Let what WHO rates and warns of count in your searches; nobody is told.

    If you say nothing, the labels of your contacts and of whom you follow count. Without WHO: list
    whose labels count, and whose you don't heed.
    """
    if who is None:
        session.give(session.api.get("heeded")["items"], _heed_lines)
        return
    done = session.api.put("heeded", who, body={})
    if not done["labels"]:
        session.say("no label of theirs is here yet; they come with what you follow")
    session.give(done, lambda done: _heed_lines([done]))


@command("meshpeer unheed bob")
@click.argument("who")
def unheed(session: Session, who: str) -> None:
    """Let what WHO rates and warns of have no effect here, though you follow them."""
    session.give(session.api.delete("heeded", who), lambda done: _heed_lines([done]))


def _heed_lines(found: list[dict[str, Any]]) -> list[str]:
    rows = [
        (
            show.name(one["person"]),
            "heeded" if one["heeded"] else "not heeded",
            "you said so" if one["chosen"] else "",
            one["labels"],
            one["person"]["id"],
        )
        for one in found
    ]
    return show.table(("who", "", "", "labels", "id"), rows)
