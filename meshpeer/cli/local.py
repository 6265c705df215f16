"""Commands that need no running peer: they work on the state folder."""

import json
from collections import deque
from typing import Any, Final

import click

from meshpeer.cli import show
from meshpeer.cli.command import ListGroup, Session, command
from meshpeer.errors import StoreError, UsageError
from meshpeer.node.state import State

NICKNAME_BYTES: Final = 16


@command("meshpeer init --nickname ann")
@click.option("--nickname", help="What others see; else your login name.")
def init(session: Session, nickname: str | None) -> None:
    """Make a peer's keys and settings in the state folder; `run` does this too."""
    made = make_state(session.state, nickname)
    if not made:
        session.say("all was there already; nothing is changed")
    told = {"state": str(session.state.root), "made": made}
    session.give(told, lambda told: [str(told["state"])])


def make_state(state: State, nickname: str | None) -> bool:
    """Complete the state folder; False if nothing was missing."""
    from meshpeer.node import config
    from meshpeer.node.durable import write_file

    if state.config.exists():
        if nickname is not None:
            raise UsageError("there are settings already: meshpeer config set nickname ...")
        config.load(state.config)
        return state.create()
    text = config.template(nickname or _login_name())
    config.parse(text, "the nickname")
    made = state.create()
    write_file(state.config, text.encode(), 0o600)
    return made


def _login_name() -> str:
    import getpass

    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        return "somebody"
    return name.encode()[:NICKNAME_BYTES].decode(errors="ignore").strip() or "somebody"


@click.group(cls=ListGroup)
def config() -> None:
    """Show or change settings. A running peer takes them at its next start."""


@command("meshpeer config list", group=config, name="list")
def config_list(session: Session) -> None:
    """List all settings with what is allowed."""
    from meshpeer.node import config

    found = list(config.settings(config.load(session.state.config)))
    if session.as_json:
        click.echo(json.dumps({key: value for key, value, _ in found}))
        return
    for line in show.table(("setting", "value", "allowed"), map(_setting, found)):
        click.echo(line)


def _setting(found: tuple[str, object, str]) -> tuple[str, str, str]:
    key, value, allowed = found
    return key, _value_text(value), allowed


@command("meshpeer config get udp.port", group=config)
@click.argument("key")
def get(session: Session, key: str) -> None:
    """Print one setting."""
    from meshpeer.node import config

    value = config.get(config.load(session.state.config), key)
    session.give(value, lambda value: [_value_text(value)])


@command("meshpeer config set lan.interfaces eth0,wlan0", group=config, name="set")
@click.argument("key")
@click.argument("value")
def config_set(session: Session, key: str, value: str) -> None:
    """Write one setting into config.toml; comments there stay. Lists are given with commas."""
    from meshpeer.node import config

    if not session.state.root.is_dir():
        raise UsageError(f"there is no peer in {session.state.root}: `meshpeer init` first")
    written = config.put(session.state.config, key, value)
    if _runs(session):
        session.say("the running peer takes it at its next start")
    session.give(written, lambda written: [_value_text(written)])


def _runs(session: Session) -> bool:
    from meshpeer.errors import NotRunningError

    try:
        session.api.get("status")
    except NotRunningError:
        return False
    return True


def _value_text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


@command("meshpeer log --last 20")
@click.option(
    "--last",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="How many lines.",
)
def log(session: Session, last: int) -> None:
    """Show the end of the log. It never holds messages or keys."""
    lines: deque[str] = deque(maxlen=last)
    for path in (session.state.log.with_name("meshpeer.log.1"), session.state.log):
        if path.exists():
            lines.extend(path.read_text(errors="replace").splitlines())
    if not lines:
        session.say("the log is empty; `meshpeer config set log_level info` tells more")
    for line in lines:
        click.echo(line if session.as_json else _log_line(line))


def _log_line(line: str) -> str:
    try:
        said: dict[str, Any] = json.loads(line)
        head = f"{said.pop('time')}  {said.pop('level'):<7}  {said.pop('event')}"
    except (ValueError, KeyError, AttributeError):
        return show.safe(line)
    said.pop("where", None)
    fields = ", ".join(f"{key} {json.dumps(value)}" for key, value in said.items())
    return show.safe(f"{head}  {fields}".rstrip())


@command("meshpeer check --repair")
@click.option("--repair", is_flag=True, help="Drop what is wrong, keep all that is whole.")
def check(session: Session, repair: bool) -> None:
    """Look the database over while the peer is stopped; minutes for a big queue.

    Exit code 5 if something is wrong and was not repaired.
    """
    from store.check import check as look_over

    with session.state.locked():
        report = look_over(session.state.database, repair=repair)
    told = {
        "problems": report.problems,
        "repairs": report.repairs,
        "broken": str(report.broken) if report.broken else None,
    }
    session.give(told, _report_lines)
    if report.problems and not repair:
        raise StoreError("the database is damaged: `meshpeer check --repair`")


def _report_lines(told: dict[str, Any]) -> list[str]:
    lines = [*told["problems"], *told["repairs"]] or ["the database is whole"]
    if told["broken"]:
        lines.append(f"the broken file is kept as {told['broken']}")
    return [show.safe(line) for line in lines]
