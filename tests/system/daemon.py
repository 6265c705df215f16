"""Whole peers as their owners run them: `meshpeer run`, spoken to through the API.

Nothing here waits by the clock. What is waited for is an event in the peer's own history;
`PATIENCE` only says when a test has failed.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from meshpeer.cli.client import Api, Event, Json
from meshpeer.errors import NotReachedError
from meshpeer.node.state import State

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
LOOPBACK = """
[udp]
listen = ["127.0.0.1"]
port = 0
[lan]
on = false
"""
"""Settings of peers that share this machine and are told of each other."""


class Daemon:
    """One peer: a state folder, and the process that runs on it now, if any."""

    def __init__(
        self,
        folder: Path,
        *,
        said: Path | None = None,
        namespace: str = "",
        settings: str = "",
        program: str = "meshpeer",
        prefix: Sequence[str] = (),
    ) -> None:
        self.name = folder.name
        self.state = State(folder)
        self.api = Api(self.state)
        self.cursor = "0"
        """What was heard so far of the peer's history."""
        self.peer = ""
        """Its peer id, once it is ready."""
        self.process: subprocess.Popen[bytes] | None = None
        self.loopback: int | None = None
        """The API's port on loopback, if the settings ask for one."""
        self.namespace = namespace
        self._program = program
        self._prefix = prefix
        self._said = said or folder.with_name(f"{folder.name}.stderr")
        self.state.create()
        self.state.config.write_text(f'nickname = "{self.name}"\n{settings}')

    # ---- the process

    def begin(self) -> None:
        """Start the process, and don't wait for it."""
        inside = ["ip", "netns", "exec", self.namespace] if self.namespace else []
        command = [sys.executable, "-m", self._program, "--state", str(self.state.root)]
        with self._said.open("ab") as said:
            self.process = subprocess.Popen(
                [*inside, *self._prefix, *command, "run", "--json"],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=said,
            )

    def ready(self) -> "Daemon":
        """Wait until the API answers."""
        assert self.process is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"{self.name} did not start: {self.said()}"
        told = json.loads(line)
        self.peer, self.loopback = told["peer"], told["loopback"]
        return self

    def start(self) -> "Daemon":
        """Start, and wait until the API answers."""
        self.begin()
        return self.ready()

    def kill(self) -> None:
        """End it as a power cut does: without a word."""
        self._end(lambda process: process.kill())

    def stop(self) -> None:
        """End it in good order; it must have had no fault that it did not expect."""
        code = self._end(lambda process: process.terminate())
        assert code in (0, None), f"{self.name} ended with {code}: {self.said()}"
        assert "Traceback" not in self.said(), self.said()

    def _end(self, act: Callable[[subprocess.Popen[bytes]], None]) -> int | None:
        process, self.process = self.process, None
        if process is None:
            return None
        act(process)
        try:
            return process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def said(self) -> str:
        """What its processes wrote to stderr."""
        return self._said.read_text()

    # ---- what it tells

    def hear(self, kind: str, /, **fields: object) -> Json:
        """Wait for the next event of this kind that has these fields; give its body."""
        return self.hear_all(kind, 1, **fields)[0]

    def hear_all(self, kind: str, count: int, /, **fields: object) -> list[Json]:
        """Wait for so many such events; what comes between them is passed over."""
        heard: list[Json] = []
        try:
            for event in self._events():
                if event.kind == kind and fields.items() <= event.body.items():
                    heard.append(event.body)
                if len(heard) >= count:
                    return heard
        except NotReachedError:
            pass
        raise AssertionError(
            f"{self.name} told {len(heard)} of {count} {kind} {fields}; {self.tell()}"
        )

    def _events(self) -> Iterable[Event]:
        for event in self.api.events(self.cursor, PATIENCE):
            self.cursor = event.cursor
            yield event

    def until(self, happened: Callable[[], object], what: str = "it") -> None:
        """Wait until this holds; it is asked anew after each event."""
        after = self.status()["last_event"]
        if happened():
            return
        with suppress(NotReachedError):
            for _ in self.api.events(after, PATIENCE):
                if happened():
                    return
        raise AssertionError(f"{self.name}: {what} did not happen; {self.tell()}")

    def history(self) -> list[Event]:
        """Everything that it told since its first start."""
        last = int(self.status()["last_event"])
        events = []
        for event in self.api.events("0", PATIENCE) if last else ():
            events.append(event)
            if int(event.cursor) >= last:
                break
        return events

    def tell(self) -> str:
        """What to print when a test fails."""
        status = self.status()
        shown = {key: status[key] for key in ("neighbours", "warnings", "counters")}
        return f"{shown}; {self.said()}"

    # ---- shortcuts

    def status(self) -> Json:
        return self.api.get("status")

    def neighbours(self) -> set[str]:
        """The peer ids with which a link is up."""
        return {peer["id"] for peer in self.api.all("peers") if peer["up"]}

    def path_to(self, other: "Daemon") -> str:
        """The address by which another peer is reached now."""
        (peer,) = (peer for peer in self.api.all("peers") if peer["id"] == other.peer)
        return next((path["address"] for path in peer["paths"] if path["active"]), "")

    def linked_with(self, *others: "Daemon") -> None:
        """Wait for links with all of them."""
        wanted = {other.peer for other in others}
        self.until(lambda: wanted <= self.neighbours(), "a link")

    def connects_to(self, other: "Daemon") -> None:
        """Take the other's address on loopback, and wait for the link."""
        port = other.status()["listening"][0].rpartition(":")[2]
        address = f"127.0.0.1:{port}"
        self.api.post("peers", body={"peer": other.peer, "address": address})
        self.linked_with(other)
        other.linked_with(self)

    def until_asked(self, happened: Callable[[], object]) -> None:
        """Wait for what no event tells, such as how far a fetch is."""
        eventually(happened, f"{self.name}: it")

    def knows(self, other: "Daemon") -> None:
        """Take the other's card, and call its owner by the folder's name."""
        card = other.api.get("card")["uri"]
        self.api.post("contacts", body={"card": card, "petname": other.name})

    def send(self, to: "Daemon", *texts: str) -> list[str]:
        """Hand over messages in one request; once this returns they must arrive."""
        drafts = [{"to": to.name, "text": text} for text in texts]
        return [
            sent["id"]
            for sent in self.api.post("messages", body={"messages": drafts})["sent"]
        ]

    def delivery(self, message: str) -> Json:
        """What the sender sees of a message."""
        return self.api.get("messages", message)["delivery"]

    def texts(self, box: str = "inbox") -> list[str]:
        return [message["text"] for message in self.api.all("messages", box=box)]


def eventually(happened: Callable[[], object], what: str) -> None:
    """Ask until this holds: only for what no event can tell, as with a full disk."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.05)
