"""The life of a peer process: open the node and its API, tell what happens, end in good order.

What is imported here decides how soon the API answers after the start, so what only some need
(mDNS, QR codes, writing settings) is imported where it is used.
"""

import asyncio
import json
import os
import signal
import sys
from typing import Final

import click

from meshpeer.api.server import Server
from meshpeer.cli import show
from meshpeer.cli.calling import meshpeer
from meshpeer.cli.command import Session
from meshpeer.cli.supervisor import Supervisor
from meshpeer.node.config import Config
from meshpeer.node.facade import Event, Facade, Status
from meshpeer.node.node import Node
from meshpeer.node.service import Service
from meshpeer.node.state import State

STATE_WORDS: Final = {
    "carried": "a neighbour carries a message of yours",
    "arrived": "a message of yours has arrived",
    "expired": "a message of yours expired without proof of arrival",
}


def keep_running(session: Session, settings: Config) -> None:
    """Run a peer until it is told to stop."""
    asyncio.run(_run(session, settings))
    session.say("stopped")


async def _run(session: Session, settings: Config) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    node = Node(session.state, settings)
    try:
        await node.start()
        service = Service(node)
        server = Server(service, session.state)
        try:
            await server.start(
                loopback_port=settings.api.port if settings.api.loopback else None
            )
            await _until(stopped, session, service, server.loopback_port)
        finally:
            await server.close()
    finally:
        await node.close()


async def _until(
    stopped: asyncio.Event, session: Session, service: Facade, loopback: int | None
) -> None:
    status = await service.status()
    if session.as_json:
        ready = {
            "ready": True,
            "pid": os.getpid(),
            "peer": status.peer,
            "socket": str(session.state.socket),
            "loopback": loopback,
        }
        click.echo(json.dumps(ready))
    else:
        for line in _welcome(session, status):
            session.say(line)
        if loopback is not None:
            api = f"http://127.0.0.1:{loopback}"
            session.say(f"The API is at {api} too, for who has {session.state.token}.")
    supervisor = Supervisor.of_this_process()
    supervisor.ready()
    telling = [asyncio.create_task(supervisor.keep_telling())]
    if sys.stderr.isatty():
        telling.append(asyncio.create_task(_tell(session, service, status.last_event)))
    await stopped.wait()
    supervisor.stopping()
    for task in telling:
        task.cancel()


def _welcome(session: Session, status: Status) -> list[str]:
    people = ", ".join(show.safe(person.nickname) for person in status.persons)
    mesh = meshpeer()
    if session.state.root != State.find(None).root:
        mesh += f" --state {session.state.root}"
    listening = ", ".join(status.listening) or "no address: it can only call others"
    return [
        f"The peer of {people} runs here until you press Ctrl-C. It listens on {listening}.",
        "It finds other peers on this network by itself, keeps what you write until it arrives,",
        "and carries what others write, sealed, to where it meets the next peer.",
        "Next, in another terminal:",
        f"  {mesh} card              shows your card; give it to somebody (--qr, --file)",
        f"  {mesh} add CARD          makes somebody whose card you have a contact",
        f'  {mesh} send NAME "text"  writes to a contact',
        f"  {mesh} status            says how it is doing",
    ]


async def _tell(session: Session, service: Facade, after: str) -> None:
    async for event in service.events(after):
        if words := _words(event):
            session.say(words)


def _words(event: Event) -> str:
    body = json.loads(event.body)
    if event.kind == "link":
        return f"link with {body['peer'][:9]}… {'is up' if body['up'] else 'ended'}"
    if event.kind == "message" and body["box"] == "inbox":
        return f"a message from {show.name(body['contact'])} came: meshpeer read"
    if event.kind == "message" and body["box"] == "requests":
        return f"a stranger, {show.name(body['contact'])}, wrote: meshpeer requests"
    return STATE_WORDS.get(body["state"], "") if event.kind == "state" else ""
