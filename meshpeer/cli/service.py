"""Running in the background: a systemd unit of the user, no root needed."""

import shlex
import subprocess
from pathlib import Path
from typing import Final

import click

from meshpeer.cli.calling import run_command
from meshpeer.cli.command import Session, command
from meshpeer.errors import MeshpeerError

NAME: Final = "meshpeer.service"
UNIT: Final = """\
[Unit]
Description=meshpeer: writes, carries and shares where links come and go

[Service]
Type=notify
WatchdogSec=300
ExecStart={start}
Restart=on-failure
RestartSec=5
NoNewPrivileges=yes
UMask=0077

[Install]
WantedBy=default.target
"""


def unit(start: list[str]) -> str:
    """Give the unit's text for a command line."""
    quoted = " ".join(shlex.quote(part).replace("%", "%%") for part in start)
    return UNIT.format(start=quoted)


@click.group()
def service() -> None:
    """Run in the background with systemd, now and at each start; no root needed."""


@command("meshpeer service install", group=service)
@click.option(
    "--print", "only_print", is_flag=True, help="Print the unit, install nothing."
)
def install(session: Session, only_print: bool) -> None:
    """Write a systemd user unit for this state folder, enable and start it."""
    text = unit(run_command(session.state))
    if only_print:
        session.give({"unit": text}, lambda told: [told["unit"].rstrip()])
        return
    path = _unit_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    _systemctl("daemon-reload")
    _systemctl("enable", "--now", NAME)
    session.say("to let it run while you are logged out: loginctl enable-linger")
    session.give({"unit": str(path)}, lambda told: [told["unit"]])


@command("meshpeer service remove", group=service)
def remove(session: Session) -> None:
    """Stop the service and remove its unit; the state folder stays."""
    path = _unit_path()
    if path.exists():
        try:
            _systemctl("disable", "--now", NAME)
        except MeshpeerError as error:
            session.say(f"not stopped: {error}")
            path.unlink()
        else:
            path.unlink()
            _systemctl("daemon-reload")
    session.give({"removed": str(path)}, lambda told: [f"removed {told['removed']}"])


def _unit_path() -> Path:
    from os import environ

    base = environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "systemd" / "user" / NAME


def _systemctl(*arguments: str) -> None:
    try:
        done = subprocess.run(
            ["systemctl", "--user", *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise MeshpeerError(
            f"there is no systemctl here; the unit is in {_unit_path()}, "
            "or start `meshpeer run` by what this system has"
        ) from None
    if done.returncode != 0:
        said = done.stderr.strip() or f"exit code {done.returncode}"
        if "connect to bus" in said:
            said += (
                "\nNo systemd serves this user here: log in as that user on the machine or "
                "by ssh, not by su or sudo. `meshpeer run` needs none."
            )
        raise MeshpeerError(f"systemctl --user {' '.join(arguments)}: {said}")
