"""A message, its receipt, and then a file cross a gap: three real peers on this machine.

Ann and Carla never meet; Bob meets one and later the other. Ann publishes a map; Bob, who follows
her, brings Carla the record of it, takes Carla's want for the file along, and later brings what
Ann answered. Each is a peer process of its own
with a state folder of its own; that they come and go is done by taking them off line through the
API. Nothing waits by the clock: each step waits for the event that tells it has happened.
"""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import click

from meshpeer.cli import show
from meshpeer.cli.calling import run_command
from meshpeer.cli.client import Api, Event
from meshpeer.cli.command import Session, command
from meshpeer.cli.local import make_state
from meshpeer.errors import MeshpeerError, NotReachedError
from meshpeer.node.state import State

KEPT: Final = ("record", "want", "fetch")
LIMIT_S: Final = 30.0
TEXT: Final = "The bridge is open again."
MAP_NAME: Final = "map-of-the-valley.svg"
MAP: Final = b"<svg>" + bytes(range(256)) * 2_000 + b"</svg>"
"""Half a megabyte, so three parts: more than a small file, and more than one chunk."""


class Actor:
    """One peer process and what is heard from it."""

    def __init__(self, name: str, state: State, deadline: float) -> None:
        self.name = name
        self.api = Api(state)
        status = self.api.get("status")
        self.peer: str = status["peer"]
        self.address: str = status["listening"][0].removeprefix("udp ")
        self.met: set[str] = set()
        self._passed: list[Event] = []
        self._events = self.api.events("0", deadline - time.monotonic())

    def hear(self, kind: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Give the next event of the kind that is wanted; NotReachedError if time is up.

        Things may happen in another order than they are told: what was passed over counts.
        """
        for event in self._passed:
            if event.kind == kind and wanted(event.body):
                self._passed.remove(event)
                return event.body
        for event in self._events:
            self._note(event)
            if event.kind == kind and wanted(event.body):
                return event.body
            if event.kind in KEPT:
                self._passed.append(event)
        raise NotReachedError(f"{self.name}'s peer fell silent")

    def hear_state(self, message: str, state: str) -> dict[str, Any]:
        """Wait until a message of ours is that far."""
        return self.hear("state", lambda b: b["id"] == message and b["state"] == state)

    def delivery(self, message: str) -> str:
        """Give what the sender sees now."""
        return show.delivery(self.api.get("messages", message)["delivery"])

    def go(self, *, online: bool) -> None:
        """Come, or go away from everybody."""
        self.api.put("online", body={"online": online})

    def _note(self, event: Event) -> None:
        if event.kind == "link" and event.body["up"]:
            self.met.add(event.body["peer"])


class Story:
    """Tells each step as it happens, with the seconds since the start."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._start = time.monotonic()
        self.deadline = self._start + LIMIT_S

    def tell(self, who: str, what: str) -> None:
        """Print one step."""
        passed = time.monotonic() - self._start
        if self._session.as_json:
            click.echo(json.dumps({"at_s": round(passed, 2), "who": who, "what": what}))
        else:
            click.echo(f"{passed:5.1f} s  {who:<6} {what}")

    def verdict(self, *, crossed: bool, text: str) -> None:
        """Print the last line."""
        passed = round(time.monotonic() - self._start, 2)
        if self._session.as_json:
            click.echo(json.dumps({"crossed": crossed, "seconds": passed, "verdict": text}))
        else:
            click.echo(f"{'CROSSED' if crossed else 'FAILED'} in {passed} s: {text}")


@command("meshpeer demo")
def demo(session: Session) -> None:
    """Watch a message, its receipt and a file cross a gap between peers that never meet.

    Three peers run on this machine for some seconds. Exit code 0 only if all of it happened.
    """
    story = Story(session)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="meshpeer-demo-") as folder,
            ExitStack() as stack,
        ):
            ann, bob, carla = _start(Path(folder), story, stack)
            _play(ann, bob, carla, Path(folder), story)
    except MeshpeerError as error:
        story.verdict(crossed=False, text=str(error))
        raise click.exceptions.Exit(1) from None
    text = "Carla has read it once, Ann has the proof, Carla has the map, and the two never met"
    story.verdict(crossed=True, text=text)


def _play(ann: Actor, bob: Actor, carla: Actor, folder: Path, story: Story) -> None:
    for one in (ann, carla):
        one.go(online=False)
        for other in {ann, bob, carla} - {one}:
            uri = other.api.get("card")["uri"]
            one.api.post("contacts", body={"card": uri, "petname": other.name.lower()})
    bob.api.post("contacts", body={"card": ann.api.get("card")["uri"], "petname": "ann"})
    story.tell("Ann", "and Carla have each other's card and Bob's; no peer is near another")

    draft = {"to": "carla", "text": TEXT}
    (sent,) = ann.api.post("messages", body={"messages": [draft]})["sent"]
    message = sent["id"]
    story.tell("Ann", f"writes to Carla: {ann.delivery(message)}")
    file = _publish(ann, folder, story)

    _meet(ann, bob, story)
    ann.hear_state(message, "carried")
    story.tell("Ann", f"sees: {ann.delivery(message)}")
    _part(ann, bob, story)

    _meet(carla, bob, story)
    carla.hear("message", lambda body: body["id"] == message)
    (received,) = carla.api.get("messages", box="inbox")["items"]
    _expect(received["text"] == TEXT, "what came is not what was written")
    story.tell("Carla", f"reads: “{received['text']}”")
    _expect("arrived" not in ann.delivery(message), "Ann can't know yet that it arrived")
    story.tell("Ann", f"still sees: {ann.delivery(message)}")
    _want(carla, bob, file, story)
    _part(carla, bob, story)

    _meet(ann, bob, story)
    ann.hear_state(message, "arrived")
    story.tell("Ann", f"sees: {ann.delivery(message)}; the receipt came back through Bob")
    ann.hear("want", lambda body: body["file"] == file and body["state"] == "handed_on")
    story.tell(
        "Ann", "answers a want for her map, not knowing whose; Bob takes the parts along"
    )
    _part(ann, bob, story)

    _meet(carla, bob, story)
    done = carla.hear(
        "fetch", lambda body: body["file"] == file and body["state"] == "done"
    )
    _expect(Path(done["path"]).read_bytes() == MAP, "the map came otherwise than it was")
    story.tell("Carla", f"has the map, checked: {Path(done['path']).name}")
    _expect(ann.met == carla.met == {bob.peer}, "Ann and Carla have met after all")
    inbox = carla.api.get("messages", box="inbox")["items"]
    _expect(len(inbox) == 1, f"Carla was shown {len(inbox)} messages")


def _publish(ann: Actor, folder: Path, story: Story) -> str:
    path = folder / MAP_NAME
    path.write_bytes(MAP)
    published = ann.api.post("files", body={"path": str(path), "tags": ["map"]})
    story.tell(
        "Ann", f"publishes {MAP_NAME}, {show.size(len(MAP))}, for all who follow her"
    )
    file: str = published["file"]
    return file


def _want(carla: Actor, bob: Actor, file: str, story: Story) -> None:
    """Carla finds the map in Ann's chain, which Bob keeps, and asks for it; Bob hasn't got it."""
    record = carla.hear("record", lambda body: body["kind"] == "file")
    record = carla.api.get("records", record["id"])
    _expect(record["files"][0]["file"] == file, "that is another file")
    story.tell("Carla", f"reads in Ann's chain, through Bob: file {record['name']}")
    carla.api.post("fetches", body={"what": str(record["number"])})
    carla.hear("want", lambda body: body["file"] == file and body["state"] == "carried")
    story.tell("Carla", "asks for it; nobody near has it, so Bob takes her want along")


def _meet(one: Actor, bob: Actor, story: Story) -> None:
    one.go(online=True)
    one.api.post("peers", body={"peer": bob.peer, "address": bob.address})
    one.hear("link", lambda body: body["up"])
    story.tell(one.name, "meets Bob")


def _part(one: Actor, bob: Actor, story: Story) -> None:
    one.go(online=False)
    one.hear("link", lambda body: not body["up"])
    bob.hear("link", lambda body: not body["up"] and body["peer"] == one.peer)
    story.tell(one.name, "goes away again")


def _expect(happened: bool, otherwise: str) -> None:
    if not happened:
        raise MeshpeerError(otherwise)


def _start(folder: Path, story: Story, stack: ExitStack) -> list[Actor]:
    names = ("Ann", "Bob", "Carla")
    states = [_settle(folder / name.lower(), name) for name in names]
    processes = [stack.enter_context(_process(state)) for state in states]
    for name, process in zip(names, processes, strict=True):
        assert process.stdout is not None
        if not process.stdout.readline():
            said = process.stderr.read().decode().strip() if process.stderr else ""
            raise MeshpeerError(f"{name}'s peer did not start: {show.safe(said)[-500:]}")
    story.tell("Ann,", "Bob and Carla run, each in a process of its own")
    return [
        Actor(name, state, story.deadline)
        for name, state in zip(names, states, strict=True)
    ]


def _settle(folder: Path, name: str) -> State:
    from meshpeer.node import config

    state = State(folder)
    make_state(state, name)
    for key, value in (("udp.listen", "127.0.0.1"), ("udp.port", "0"), ("lan.on", "false")):
        config.put(state.config, key, value)
    return state


@contextmanager
def _process(state: State) -> Iterator[subprocess.Popen[bytes]]:
    command = [*run_command(state), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.communicate(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
