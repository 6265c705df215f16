"""What to do next, told by where things stand."""

import click

from meshpeer.cli.calling import meshpeer
from meshpeer.cli.client import Api
from meshpeer.errors import NotRunningError
from meshpeer.node.state import State


def give_advice(named: str | None) -> None:
    """Print how things stand in a sentence, and the commands that come next."""
    state = State.find(named)
    option = f" --state {named}" if named else ""
    for line in _advice(state):
        click.echo(line.replace("`meshpeer", f"`{meshpeer()}{option}"))


def _advice(state: State) -> list[str]:
    if not state.exists():
        return [
            f"There is no peer in {state.root} yet.",
            "  `meshpeer run` makes one and runs it here, in the foreground",
            "  `meshpeer demo` shows in some seconds what it does",
        ]
    try:
        status = Api(state).get("status")
    except NotRunningError:
        return [
            f"A peer lives in {state.root}, but it is not running.",
            "  `meshpeer run` runs it in the foreground",
            "  `meshpeer service install` runs it in the background, now and after each start",
        ]
    lines = [
        f"The peer runs. Neighbours: {status['neighbours']}, contacts: {status['contacts']}, "
        f"unread: {status['unread']}, your messages underway: {status['underway']}."
    ]
    lines += [f"  note: {warning}" for warning in status["warnings"]]
    if status["requests"]:
        lines.append(
            f"  `meshpeer requests` shows what strangers wrote: {status['requests']}"
        )
    if status["unread"]:
        lines.append("  `meshpeer read` shows what is unread")
    if not status["contacts"]:
        lines += [
            "  `meshpeer card` shows your card: give it to somebody",
            "  `meshpeer add CARD` makes somebody a contact",
        ]
    else:
        lines.append('  `meshpeer send NAME "text"` writes to a contact')
    if status["records"]:
        lines.append("  `meshpeer timeline` shows what was published")
    if status["fetches"]:
        lines.append("  `meshpeer fetches` shows how far the files are that you get")
    return [*lines, "  `meshpeer --help` lists all commands"]
