"""Several devices of one person."""

from pathlib import Path
from typing import Any

import click

from meshpeer.cli import show
from meshpeer.cli.command import ListGroup, Session, command, text_from
from meshpeer.cli.people import uri_lines
from meshpeer.errors import UsageError

PERSON = click.option("--person", help="Whose, if several persons live here.")


@click.group(cls=ListGroup)
def device() -> None:
    """Be one person on several devices.

    On the new one: request. On the one with your key: add. On the new one again: join.
    """


@command("meshpeer device list", group=device, name="list")
@PERSON
def list_(session: Session, person: str | None) -> None:
    """List your devices, and which of them wrote last."""
    found = session.api.get("devices", person=person)
    if not found["listed"]:
        session.say("this device is not on the list: `meshpeer device request`")
    session.give(found, _device_lines)


def _device_lines(found: dict[str, Any]) -> list[str]:
    rows = [
        (
            device["number"],
            "this one" if device["here"] else "revoked" if device["revoked"] else "",
            _written(device),
            device["id"],
        )
        for device in found["items"]
    ]
    return show.table(("", "", "written", "id"), rows)


def _written(device: dict[str, Any]) -> str:
    if not device["blocks"]:
        return "nothing"
    count = f"{device['blocks']} block{'s' if device['blocks'] > 1 else ''}"
    when = f", came {show.when(device['received'])}" if device["received"] else ""
    return f"{count}{when}{', the newest of all' if device['newest'] else ''}"


@command("meshpeer device request --qr", group=device)
@click.option("--qr", is_flag=True, help="Show it as a QR code.")
@PERSON
def request(session: Session, qr: bool, person: str | None) -> None:
    """Show what makes this device yours: give it to `device add` on the one with your key."""
    given = session.api.get("devices", "request", person=person)
    session.say(f"This device is {given['id']}")
    session.say("On the device that has your key: meshpeer device add REQUEST")
    session.give(given, lambda given: uri_lines(given["uri"], qr))


@command("meshpeer device add meshpeer-device:...", group=device)
@click.argument("request", required=False)
@click.option("--yes", is_flag=True, help="You have compared the ids already.")
@click.option("--qr", is_flag=True, help="Show the card as a QR code.")
@PERSON
def add(
    session: Session, request: str | None, yes: bool, qr: bool, person: str | None
) -> None:
    """Put the device that made REQUEST on your list, and print the card that it joins with."""
    from meshpeer.core.formats.device_request import DeviceRequest
    from meshpeer.core.identity.idtext import encode

    uri = text_from(request, "request").strip()
    asked = DeviceRequest.read(uri).certificate
    if not yes:
        session.say("The new device shows its id beside the request:")
        session.say(f"  {encode(asked.device)}")
        session.say("Whoever has that device will read your mail and write in your name.")
        if not click.confirm("Is it the same, to the last letter?", err=True):
            raise UsageError("not added")
    body = {"request": uri, "person": person}
    found = session.api.post("devices", body=body)
    session.say("On the new device: meshpeer device join CARD")
    session.give(found, lambda found: uri_lines(found["card"], qr))


@command("meshpeer device join meshpeer:...", group=device)
@click.argument("card", required=False)
@click.option("--yes", is_flag=True, help="You have compared the ids already.")
@PERSON
def join(session: Session, card: str | None, yes: bool, person: str | None) -> None:
    """Become a device of the person whose CARD lists this one; your contacts stay."""
    from meshpeer.core.formats.card import Card
    from meshpeer.core.identity.idtext import encode

    uri = text_from(card, "card").strip()
    given = Card.read(uri)
    if not yes:
        session.say(f"That is the card of {show.safe(given.nickname)}:")
        session.say(f"  {encode(given.person)}")
        if not click.confirm("Are you that person (`meshpeer id` there)?", err=True):
            raise UsageError("not joined")
    body = {"card": uri, "person": person}
    session.give(session.api.post("devices", "join", body=body), _device_lines)


@command("meshpeer device revoke 2", group=device)
@click.argument("which")
@click.option("--yes", is_flag=True, help="Don't ask.")
@PERSON
def revoke(session: Session, which: str, yes: bool, person: str | None) -> None:
    """Take a device off your list for good; what it wrote so far stays yours.

    WHICH is its number in the list, or its id. Others hear of it through your chain.
    """
    if not yes:
        session.say(
            "It gets no mail any more, and nobody takes what it writes from now on."
        )
        session.say("Its keys never come back; it would need new ones.")
        if not click.confirm(f"Revoke device {show.safe(which)}?", err=True):
            raise UsageError("not revoked")
    body = {"device": which, "person": person}
    session.give(session.api.post("devices", "revoke", body=body), _device_lines)


@command("meshpeer device export-key key.vault --remove", group=device, name="export-key")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--remove", is_flag=True, help="Take the key off this device.")
def export_key(session: Session, path: Path, remove: bool) -> None:
    """Write your person's key into a file that a passphrase locks, to be kept off line.

    Without the key a device reads and writes as before, but can't add or revoke devices.
    """
    from meshpeer.cli.passphrase import new_passphrase
    from meshpeer.core.identity.idtext import encode
    from meshpeer.node import person_key

    person = person_key.export_key(
        session.state, path.absolute(), new_passphrase(), remove=remove
    )
    session.say("the key left this device" if remove else "the key is still here, too")
    told = {"person": encode(person), "path": str(path.absolute()), "removed": remove}
    session.give(told, lambda told: [str(told["path"])])


@command("meshpeer device import-key key.vault", group=device, name="import-key")
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def import_key(session: Session, path: Path) -> None:
    """Bring your person's key back onto this device."""
    from meshpeer.cli.passphrase import passphrase
    from meshpeer.core.identity.idtext import encode
    from meshpeer.node import person_key

    person = person_key.import_key(session.state, path, passphrase())
    session.give({"person": encode(person)}, lambda told: [told["person"]])
