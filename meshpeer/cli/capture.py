"""Seeing the air: our packets, decoded.

scapy is loaded when the command runs, and what passes is told in this process: the peer itself only
gives keys, to its owner, if asked.
"""

import os
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Final

import click

from meshpeer.cli import show
from meshpeer.cli.command import Session, command
from meshpeer.core.bucket import Bucket
from meshpeer.errors import MeshpeerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshpeer.dissect.reading import Recording, Seen, Sorting
    from meshpeer.dissect.telling import Teller

ASK_RATE, ASK_BURST = 1.0, 3.0
"""Times of asking for keys in a second, and at once: packets of others' links lead to it, too."""
ASK_PAUSES: Final = (0.0, 0.02, 0.2)
"""Seconds before each question of one time: the first packet of a link may be read here before the
peer has made the link of it."""


@command("meshpeer capture -i mesh0 --decrypt")
@click.argument("file", required=False, type=click.Path(dir_okay=False))
@click.option("-i", "--interface", metavar="NAME", help="Listen here; else on all.")
@click.option("--decrypt", is_flag=True, help="Open packets of the running peer's links.")
@click.option(
    "--port", "ports", multiple=True, type=click.IntRange(1, 65_535), help="Also a peer's."
)
@click.option("--count", type=click.IntRange(1), help="End after so many packets of ours.")
@click.option("--write", "target", type=click.Path(), help="Record our packets as pcap.")
def capture(
    session: Session,
    file: str | None,
    interface: str | None,
    decrypt: bool,
    ports: tuple[int, ...],
    count: int | None,
    target: str | None,
) -> None:
    """Print the packets of peers, from the air or a pcap FILE, one a line.

    `--decrypt` asks the running peer for the keys of its links that are up; no keys open what
    passed before. Listening takes the capability CAP_NET_RAW, and `pip install 'meshpeer[radio]'`.
    """
    if file is not None and interface is not None:
        raise UsageError("give a FILE or -i, not both")
    _load_scapy(session)
    from meshpeer.dissect.air import on_port
    from meshpeer.dissect.reading import Listening, Recording, Sorting, of_file
    from meshpeer.dissect.telling import Teller

    for port in ports:
        on_port(port)
    keys = Keys(session) if decrypt else None
    teller = Teller(keys.opening, keys.ask) if keys else Teller()
    listening = Listening(interface, time.time) if file is None else None
    recording = Recording(os.path.expanduser(target)) if target is not None else None
    if listening is not None:
        session.say(f"listening on {interface or 'all interfaces'}; Ctrl-C ends")
    seen = iter(listening) if listening else of_file(os.path.expanduser(file or ""))
    try:
        _print(session, seen, teller, Sorting(frozenset(ports)), recording, count)
    except KeyboardInterrupt:
        if listening is None:
            raise
    finally:
        lost = listening.close() if listening is not None else 0
        _say_what_lacks(session, teller, lost, recording)


def _say_what_lacks(
    session: Session, teller: "Teller", lost: int, recording: "Recording | None"
) -> None:
    if lost:
        session.say(f"{lost} packets of all kinds were missed: too many for this machine")
    if teller.stumbles:
        session.say(f"{teller.stumbles} packets could not be dissected")
    if recording is not None:
        recording.close()
        if recording.left_out:
            session.say(f"{recording.left_out} packets of other link types left out")


def _print(
    session: Session,
    packets: "Iterator[Seen]",
    teller: "Teller",
    sorting: "Sorting",
    recording: "Recording | None",
    count: int | None,
) -> None:
    from meshpeer.dissect.telling import as_json, line

    printed = 0
    for seen in packets:
        found = teller.tell(seen) if sorting.may_be_ours(seen) else []
        if found and recording is not None:
            recording.add(seen)
        for told in found:
            text = f"{_clock(seen.at)} {show.safe(line(told))}"
            click.echo(as_json(told) if session.as_json else text)
            printed += 1
            if printed == count:
                return


class Keys:
    """The keys of the running peer's links, asked for again when they don't suffice."""

    def __init__(self, session: Session) -> None:
        from meshpeer.dissect.opening import Opening

        self.opening: Opening = Opening()
        self._session = session
        self._times = Bucket(rate=ASK_RATE, burst=ASK_BURST, now=time.monotonic())
        self._learn()

    def ask(self) -> "Iterator[None]":
        """Ask, unless it was just done; a peer that went away leaves the keys there are."""
        if not self._times.take(time.monotonic()):
            return
        for pause in ASK_PAUSES:
            time.sleep(pause)
            try:
                self._learn()
            except MeshpeerError:
                return
            yield

    def _learn(self) -> None:
        self.opening.learn(self._session.api.get("links", "keys")["items"])


def _clock(at: float) -> str:
    try:
        return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S.%f")
    except (ValueError, OverflowError, OSError):
        return f"{at:.6f}"


def _load_scapy(session: Session) -> None:
    """Import it, which takes seconds on a small machine; UsageError says how to get it."""
    if sys.stderr.isatty():
        session.say("loading scapy")
    try:
        import meshpeer.dissect.telling  # noqa: F401
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "scapy":
            raise
        raise UsageError(
            "this takes scapy: `pip install 'meshpeer[radio]'` in meshpeer's environment"
        ) from error
