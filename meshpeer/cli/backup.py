"""Everything in one locked file, and back."""

import sys
import time
from pathlib import Path
from typing import Any, Final

import click

import meshpeer.errors as errors
from meshpeer.cli import show
from meshpeer.cli.command import Session, absolute, command
from meshpeer.errors import MeshpeerError

ASK_EACH_S: Final = 0.2


@command("meshpeer backup /media/stick/ann.backup")
@click.argument("path", type=click.Path(path_type=Path))
def backup(session: Session, path: Path) -> None:
    """Save keys, settings, mail and chains in one file, while the peer runs.

    A passphrase locks it; without that nobody opens it, nor do you. Published files are not in
    it: they are ordinary files of yours. An older backup of that name is replaced once the new
    one is whole. Without a terminal the first line of stdin is the passphrase.
    """
    from meshpeer.cli.passphrase import new_passphrase

    session.api.get("backup")
    body = {"path": str(absolute(path)), "passphrase": new_passphrase()}
    told = session.api.post("backup", body=body, patient=True)
    try:
        while told["state"] == "making":
            _progress(told["done"], told["total"])
            time.sleep(ASK_EACH_S)
            told = session.api.get("backup")
    except KeyboardInterrupt:
        session.api.delete("backup")
        raise
    _progress(0, 0)
    if told["state"] != "done":
        kind = getattr(errors, told["error"], MeshpeerError)
        raise kind(told["why"])
    session.say(f"{show.size(told['bytes'])}; keep the passphrase in another place")
    session.give({"path": told["path"], "bytes": told["bytes"]}, _path_line)


def _path_line(told: dict[str, Any]) -> list[str]:
    return [str(told["path"])]


@command("meshpeer restore ann.backup --state /home/ann/meshpeer")
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--as-new-device",
    is_flag=True,
    help="Get keys of its own, for the old machine goes on; needs `device request` then.",
)
def restore(session: Session, path: Path, as_new_device: bool) -> None:
    """Make the peer of a backup in the state folder, which must be empty.

    It is the same device on another machine, so the old one must not run any more.
    """
    from meshpeer.cli.passphrase import passphrase
    from meshpeer.node import restoring

    restoring.check_empty(session.state.root)
    told = restoring.restore(
        path,
        session.state,
        passphrase(),
        as_new_device=as_new_device,
        progress=_progress,
    )
    _progress(0, 0)
    nickname = show.safe(told.nickname)
    session.say(f"{nickname} is back as of {show.when(told.made)}: meshpeer run")
    if as_new_device:
        session.say("Then ask to be listed: meshpeer device request")
    else:
        session.say("Never start the peer from which this backup was made again.")
    said = {
        "state": str(session.state.root),
        "nickname": told.nickname,
        "made": told.made,
        "new_device": told.new_device,
    }
    session.give(said, lambda said: [str(said["state"])])


def _progress(done: int, total: int) -> None:
    """Show how far it is on a terminal; nothing of it stays there."""
    if sys.stderr.isatty():
        share = f"{done / total:4.0%} of {show.size(total)}" if total else ""
        click.echo(
            f"\r{share:<30}\r" if not total else f"\r{share:<30}", nl=False, err=True
        )
