"""The peer itself: how it is, whom it is linked with, what it carries."""

import re
from typing import Any

import click

from meshpeer.cli import show
from meshpeer.cli.command import ListGroup, Session, command


@command("meshpeer status --json")
def status(session: Session) -> None:
    """Say how the peer is doing."""
    session.give(session.api.get("status"), _status_lines)


def _status_lines(status: dict[str, Any]) -> list[str]:
    people = ", ".join(show.safe(person["nickname"]) for person in status["persons"])
    used, limit = show.size(status["queue_bytes"]), show.size(status["queue_limit_bytes"])
    lines = [
        f"peer        {status['peer']}",
        f"people      {people}",
        f"running     {show.span(status['uptime_s'])}, pid {status['pid']}, "
        f"meshpeer {status['version']}",
        f"listening   {', '.join(status['listening']) or 'nowhere'}",
        f"neighbours  {status['neighbours']}{'' if status['online'] else ' (offline as you asked)'}",
        f"contacts    {status['contacts']}",
        f"messages    {status['unread']} unread, {status['requests']} in requests, "
        f"{status['underway']} underway",
        f"chains      {status['followed']} followed, {status['records']} records",
        f"files       {status['files']} here, {status['fetches']} being fetched",
        f"queue       {status['queue_bundles']} bundles, {used} of {limit}",
    ]
    return lines + [f"note        {show.safe(warning)}" for warning in status["warnings"]]


@click.group(cls=ListGroup)
def peers() -> None:
    """List, add or remove peers."""


@command("meshpeer peers list", group=peers, name="list")
def peers_list(session: Session) -> None:
    """List neighbours, then peers that were met or added. The path in use has a star."""
    session.give(
        list(session.api.all("peers")),
        _peer_lines,
        nothing="nobody is near now; peers on the same network come by themselves, and "
        "`meshpeer peers add` names others",
    )


def _peer_lines(found: list[dict[str, Any]]) -> list[str]:
    rows = [
        (
            f"up {show.span(peer['up_s'] or 0)}" if peer["up"] else "down",
            show.safe(peer["name"] or ""),
            ", ".join(_path(path) for path in peer["paths"]),
            peer["id"],
        )
        for peer in found
    ]
    return show.table(("link", "who", "paths", "id"), rows)


def _path(path: dict[str, Any]) -> str:
    mark = "*" if path["active"] else ""
    return show.safe(f"{mark}{path['transport']} {path['address']}")


@command("meshpeer peers add PEER-ID 192.0.2.7:6374", group=peers, name="add")
@click.argument("peer")
@click.argument("address")
def peers_add(session: Session, peer: str, address: str) -> None:
    """Remember ADDRESS (host:port, [IPv6]:port) of PEER (its id: `meshpeer status`) and try it."""
    added = session.api.post("peers", body={"peer": peer, "address": address})
    session.give(added, lambda peer: _peer_lines([peer])[1:])


@command("meshpeer peers remove PEER-ID", group=peers, name="remove")
@click.argument("peer")
def peers_remove(session: Session, peer: str) -> None:
    """Close the link with PEER and forget where it is."""
    session.give(session.api.delete("peers", peer), lambda _: ["removed"])


@command("meshpeer queue")
def queue(session: Session) -> None:
    """List the bundles held here, for people here and for others.

    Nobody but the receiver can say what is in one.
    """
    session.give(
        list(session.api.all("queue")),
        _queue_lines,
        nothing="nothing is carried here; it fills when you or a neighbour sends something",
    )


def _account(text: str) -> str:
    """Say who pays for it; of a key its start is enough for a screen."""
    return show.safe(re.sub("([0-9a-f]{8})[0-9a-f]{56}", r"\1…", text))


def _queue_lines(found: list[dict[str, Any]]) -> list[str]:
    rows = [
        (
            item["id"][:16],
            show.size(item["bytes"]),
            item["priority"],
            "own" if item["own"] else _account(item["account"]),
            f"{item['hops']}/{item['hop_limit']}",
            show.span(item["age_s"]),
            show.span(item["remaining_s"]),
        )
        for item in found
    ]
    return show.table(
        ("bundle", "size", "priority", "account", "hops", "age", "left"), rows
    )
