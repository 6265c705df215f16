"""What all commands share: where the state is, how a result is given, what help looks like.

stdout holds the result and nothing else; talk goes to stderr. `--json` gives the same result for
programs: one JSON value, or one a line where a command follows something.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import click

from meshpeer.errors import UsageError
from meshpeer.node.state import State

if TYPE_CHECKING:
    from meshpeer.cli.client import Api

T = TypeVar("T")

SPAN_UNITS: Final = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class Session:
    """One command's view of the world."""

    def __init__(self, state: State, *, as_json: bool) -> None:
        self.state = state
        self.as_json = as_json

    @cached_property
    def api(self) -> "Api":
        """The running peer."""
        from meshpeer.cli.client import Api

        return Api(self.state)

    def give(
        self, result: T, lines: Callable[[T], Iterable[str]], *, nothing: str = ""
    ) -> None:
        """Print the result: as JSON if asked, else as the lines made of it.

        Of an empty one `nothing` says that it is, and what to do next."""
        if nothing and not result:
            self.say(nothing)
        if self.as_json:
            click.echo(json.dumps(result))
            return
        for line in lines(result):
            click.echo(line)

    def say(self, text: str) -> None:
        """Talk to the person; not a part of the result."""
        click.echo(text, err=True)


class Span(click.ParamType):  # type: ignore[type-arg]
    """A duration: 90, 90s, 30m, 12h, 7d, 2w."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Give seconds."""
        text = str(value).strip().lower()
        digits = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
        unit = text[len(digits) :].strip() or "s"
        try:
            seconds = int(float(digits) * SPAN_UNITS[unit])
        except (ValueError, KeyError, OverflowError):
            self.fail(f"{value!r} is not a duration such as 90s, 30m, 12h, 7d or 2w", param)
        if seconds <= 0:
            self.fail(f"a duration must be above 0, not {value}", param)
        return seconds


def command(
    example: str,
    *,
    group: click.Group | None = None,
    name: str | None = None,
    cls: type[click.Command] = click.Command,
) -> Callable[[Callable[..., None]], click.Command]:
    """Make a command of a function that takes a Session first; help shows the example."""

    def wrap(function: Callable[..., None]) -> click.Command:
        def run(state: str | None, as_json: bool, **options: object) -> None:
            inherited = click.get_current_context().find_root().params.get("state")
            session = Session(State.find(state or inherited), as_json=as_json)
            function(session, **options)

        made = cls(
            name or function.__name__.strip("_"),
            callback=run,
            params=_params(function),
            help=function.__doc__,
            short_help=_first_sentence(function.__doc__ or ""),
            epilog=f"\b\nExample:\n  {example}",
        )
        if group is not None:
            group.add_command(made)
        return made

    return wrap


def _first_sentence(text: str) -> str:
    """A list of commands shows it whole; click would cut it in the middle."""
    return re.split(r"(?<=\.)\s", " ".join(text.split()), maxsplit=1)[0]


class ListGroup(click.Group):
    """A group that lists when nothing else is asked: `peers --json` is `peers list --json`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `list` in front where no subcommand is named."""
        if not args or (args[0].startswith("-") and args[0] not in ("-h", "--help")):
            args = ["list", *args]
        return super().parse_args(ctx, args)


def _params(function: Callable[..., None]) -> list[click.Parameter]:
    declared: list[click.Parameter] = list(
        reversed(getattr(function, "__click_params__", []))
    )
    return [
        *declared,
        click.Option(["--state"], metavar="FOLDER", help="The state folder."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
    ]


def text_from(argument: str | None, what: str, *, empty: bool = False) -> str:
    """Give an argument, or what stdin says where it is missing or `-`.

    Where it may be empty, nobody at a terminal is asked to type it.
    """
    if empty and argument is None and sys.stdin.isatty():
        return ""
    text = _typed(argument, what) if argument is None or argument == "-" else argument
    if not text.strip() and not empty:
        raise UsageError(f"the {what} is empty")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise UsageError(f"the {what} is not text: it has bytes that are no UTF-8")
    return text


def _typed(argument: str | None, what: str) -> str:
    if argument is None and sys.stdin.isatty():
        click.echo(f"Type the {what}; end with Ctrl-D.", err=True)
    try:
        return sys.stdin.read()
    except UnicodeDecodeError:
        raise UsageError(
            f"the {what} is not text: it has bytes that are no UTF-8"
        ) from None


def absolute(path: str | Path) -> Path:
    """Give a path as the peer needs it, which may run in another folder."""
    return Path(path).expanduser().absolute()


def existing(path: str) -> Path:
    """Give a path as the peer needs it; UsageError if nothing is there."""
    found = absolute(path)
    if not found.exists():
        raise UsageError(f"there is no {found}")
    return found
