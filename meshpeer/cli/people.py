"""Who you are, and whom you know."""

import base64
from pathlib import Path
from typing import Any, Final

import click

from meshpeer.cli import show
from meshpeer.cli.command import ListGroup, Session, command, text_from
from meshpeer.errors import UsageError

QR_COLUMNS: Final = 80


@command("meshpeer id")
def id_(session: Session) -> None:
    """Show the id of each person who lives on this peer, to be read aloud or compared."""
    session.give(
        session.api.get("persons")["items"],
        lambda persons: [
            f"{person['id']}  {show.safe(person['nickname'])}" for person in persons
        ],
    )


@command("meshpeer card --qr")
@click.option("--qr", is_flag=True, help="Show it as a QR code.")
@click.option("--file", "path", type=click.Path(path_type=Path), help="Write it to a file.")
@click.option("--person", help="Whose card, if several persons live here.")
def card(session: Session, qr: bool, path: Path | None, person: str | None) -> None:
    """Show your card: who has it can write to you.

    A `meshpeer:` URI on stdout, a QR code, or a file.
    """
    given = session.api.get("card", person=person)
    if path is not None:
        path.write_bytes(base64.b64decode(given["file"]))
        session.say(f"card of {show.safe(given['nickname'])} written to {path}")
    session.give(
        given, lambda given: [] if path and not qr else uri_lines(given["uri"], qr)
    )


def uri_lines(uri: str, qr: bool) -> list[str]:
    """Give a URI as a line, or drawn as a QR code."""
    if not qr:
        return [uri]
    from io import StringIO

    import segno

    code = segno.make(uri, error="l", micro=False, boost_error=False)
    if code.symbol_size(border=2)[0] > QR_COLUMNS:
        raise UsageError(
            "this is too long for a QR code in a terminal; use the text instead"
        )
    drawn = StringIO()
    code.terminal(drawn, border=2, compact=True)
    return drawn.getvalue().rstrip("\n").split("\n")


@command("meshpeer add meshpeer:... --name bob")
@click.argument("card", required=False)
@click.option("--name", help="Your petname for this person.")
def add(session: Session, card: str | None, name: str | None) -> None:
    """Add a contact from a CARD: a `meshpeer:` URI, a card file, or - for stdin."""
    path = Path(card) if card and not card.startswith("meshpeer:") and card != "-" else None
    body: dict[str, Any] = {"petname": name}
    if path is not None and path.is_file():
        body["file"] = base64.b64encode(path.read_bytes()).decode()
    elif path is not None:
        raise UsageError(f"{card!r} is neither a `meshpeer:` URI nor a file")
    else:
        body["card"] = text_from(card, "card").strip()
    session.give(session.api.post("contacts", body=body), _added)


def _added(contact: dict[str, Any]) -> list[str]:
    return [f"{show.name(contact)}  {contact['id']}"]


@click.group(cls=ListGroup)
def contacts() -> None:
    """List, rename, verify, remove or block contacts.

    `bob` is your own name for somebody; `~bob` is what somebody calls itself.
    """


@command("meshpeer contacts list", group=contacts, name="list")
def contacts_list(session: Session) -> None:
    """List everybody known here."""
    session.give(
        list(session.api.all("contacts")),
        _contact_lines,
        nothing="no contacts yet; `meshpeer add CARD` makes somebody one, `meshpeer card` "
        "shows yours",
    )


def _contact_lines(found: list[dict[str, Any]]) -> list[str]:
    rows = [
        (
            show.name(contact),
            "~" + show.safe(contact["nickname"]),
            "verified" if contact["verified"] else "",
            "" if contact["status"] == "contact" else contact["status"],
            contact["id"],
        )
        for contact in sorted(found, key=show.name)
    ]
    return show.table(("name", "calls itself", "", "", "id"), rows)


@command("meshpeer contacts rename '~bob' bobby", group=contacts)
@click.argument("who")
@click.argument("name", required=False)
def rename(session: Session, who: str, name: str | None) -> None:
    """Set your petname NAME for WHO; without NAME, clear it."""
    change = {"petname": name}
    session.give(session.api.patch("contacts", who, body=change), _added)


@command("meshpeer contacts verify bob", group=contacts)
@click.argument("who")
@click.option("--yes", is_flag=True, help="You have compared the ids already.")
@click.option("--undo", is_flag=True, help="You doubt it now.")
def verify(session: Session, who: str, yes: bool, undo: bool) -> None:
    """Note that you compared the id of WHO with its owner, face to face or by voice."""
    contact = session.api.get("contacts", who)
    if not (yes or undo):
        session.say(f"Ask {show.name(contact)} to read its id (`meshpeer id`) to you:")
        session.say(f"  {contact['id']}")
        if not click.confirm("Is it the same, to the last letter?", err=True):
            raise UsageError("not verified")
    change = {"verified": not undo}
    session.give(session.api.patch("contacts", contact["id"], body=change), _contact_line)


@command("meshpeer contacts block '~mallory'", group=contacts)
@click.argument("who")
@click.option("--undo", is_flag=True, help="Take what it sends again.")
def block(session: Session, who: str, undo: bool) -> None:
    """Refuse everything that WHO sends; it is not told."""
    change = {"blocked": not undo}
    session.give(session.api.patch("contacts", who, body=change), _contact_line)


def _contact_line(contact: dict[str, Any]) -> list[str]:
    return _contact_lines([contact])[1:]


@command("meshpeer contacts remove bob", group=contacts)
@click.argument("who")
def remove(session: Session, who: str) -> None:
    """Forget WHO; its messages stay until you delete them.

    What it writes from now on is refused, and it isn't told, unless its card comes along.
    """
    session.give(session.api.delete("contacts", who), lambda _: ["removed"])
