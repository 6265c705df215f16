"""Writing, reading, and what became of it."""

import json
from itertools import islice
from typing import Any, Final

import click

from meshpeer.cli import show
from meshpeer.cli.command import ListGroup, Session, Span, command, existing, text_from
from meshpeer.cli.reading import post_reading
from meshpeer.errors import NotFoundError, NotReachedError, UsageError

RANK: Final = {"queued": 0, "carried": 1, "arrived": 2}


@command('meshpeer send bob "The bridge is open again" --wait arrived --timeout 2h')
@click.argument("to")
@click.argument("text", required=False)
@click.option("--lifetime", type=Span(), help="How long it may travel (7d unless you say).")
@click.option(
    "--priority", type=click.Choice(["bulk", "normal", "expedited"]), default="normal"
)
@click.option("--reply-to", metavar="ID", help="The message that this one answers.")
@click.option("--attach", multiple=True, metavar="PATH", help="A file to go with it.")
@click.option("--as", "sender", metavar="PERSON", help="Who writes, if several live here.")
@click.option("--wait", type=click.Choice(list(RANK)), help="Return when it is that far.")
@click.option("--timeout", type=Span(), help="How long to wait; exit code 6 after that.")
def send(
    session: Session,
    to: str,
    text: str | None,
    attach: tuple[str, ...],
    wait: str | None,
    timeout: int | None,
    **options: object,
) -> None:
    """Queue TEXT (or stdin) for TO and print the message's id and state.

    It is on this disk when the command returns. Files that go with it are sealed, so that only TO
    can open them; leave them where they are until they have arrived. A folder goes as one tar.
    """
    if timeout is not None and wait is None:
        raise UsageError("--timeout says how long to wait, so --wait must say for what")
    files = [str(existing(path)) for path in attach]
    draft: dict[str, object] = {"to": to, "attach": files, **options}
    draft["text"] = text_from(text, "message", empty=bool(files))
    draft["lifetime_s"] = draft.pop("lifetime")
    before = session.api.get("status")["last_event"] if wait else ""
    drafts = {"messages": [draft]}
    (sent,) = post_reading(session, files, "messages", body=drafts)["sent"]
    if wait is not None:
        sent["state"] = _wait(session, sent, wait, before, timeout)
    session.give(sent, lambda sent: [f"{sent['id']}  {sent['state']}"])


def _wait(
    session: Session, sent: dict[str, Any], wanted: str, after: str, timeout: int | None
) -> str:
    state: str = sent["state"]
    if RANK[state] >= RANK[wanted]:
        return state
    session.say(f"{sent['id']}: {state}; waiting for {wanted}")
    for event in session.api.events(after, timeout):
        if event.kind != "state" or event.body["id"] != sent["id"]:
            continue
        state = event.body["state"]
        if state in ("dropped", "expired"):
            raise NotReachedError(f"{sent['id']} was {state} before it was {wanted}")
        if RANK.get(state, -1) >= RANK[wanted]:
            return state
    return state


@command("meshpeer inbox --follow")
@click.option("--all", "everything", is_flag=True, help="Read ones too.")
@click.option("--from", "who", metavar="WHO", help="Only from this person.")
@click.option("--follow", is_flag=True, help="Go on with what comes in.")
def inbox(session: Session, everything: bool, who: str | None, follow: bool) -> None:
    """List what came in and is unread."""
    status = session.api.get("status")
    found = list(session.api.all("messages", box="inbox", unread=not everything, who=who))
    last = found[-1]["number"] if found else 0
    if not everything:
        found = _as_written(found)
    session.say(f"{status['unread']} unread, {status['requests']} in requests")
    if not follow:
        session.give(found, lambda found: [_line(message) for message in found])
        return
    person = session.api.get("contacts", who)["id"] if who else None
    for message in found:
        _follow_line(session, message)
    for event in session.api.events(status["last_event"]):
        if event.kind == "message" and event.body["box"] == "inbox":
            message = session.api.get("messages", event.body["id"])
            if message["number"] > last and person in (None, message["contact"]["id"]):
                _follow_line(session, message)


def _as_written(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Messages that came in one contact time came in any order; read them as they were written."""
    return sorted(found, key=lambda message: (message["written"], message["number"]))


def _follow_line(session: Session, message: dict[str, Any]) -> None:
    click.echo(json.dumps(message) if session.as_json else _line(message))


def _line(message: dict[str, Any]) -> str:
    mark = " " if message["read"] else "*"
    who, when = show.name(message["contact"]), show.when(message["written"])
    return f"{mark}{message['number']:>5}  {when}  {who}  {_beginning(message, 60)}"


def _beginning(message: dict[str, Any], width: int) -> str:
    """The beginning of its text, and the names of what goes with it."""
    files = ", ".join(show.safe(file["name"]) for file in message["attachments"])
    text = show.first_line(message["text"], width)
    return f"{text} [{files}]".lstrip() if files else text


@command("meshpeer read 12")
@click.argument("which", nargs=-1)
@click.option("--keep", is_flag=True, help="Leave it unread.")
def read(session: Session, which: tuple[str, ...], keep: bool) -> None:
    """Show messages by number or id, or all unread ones, and mark them read."""
    found = (
        [session.api.get("messages", one) for one in which]
        if which
        else _as_written(list(session.api.all("messages", box="inbox", unread=True)))
    )
    session.give(
        found,
        lambda found: [line for m in found for line in _whole(m, session)],
        nothing="nothing is unread; `meshpeer inbox --all` lists what you have read",
    )
    unread = [str(m["number"]) for m in found if m["box"] != "outbox" and not m["read"]]
    if unread and not keep:
        session.api.post("messages", "read", body={"which": unread, "read": True})


def _whole(message: dict[str, Any], session: Session) -> list[str]:
    way = "to" if message["box"] == "outbox" else "from"
    head = f"{message['number']}  {way} {show.name(message['contact'])}"
    lines = [f"{head}  {show.when(message['written'])}  {message['id']}"]
    if message["reply_to"]:
        lines.append(f"  answers {_answered(message['reply_to'], session)}")
    if message["delivery"]:
        lines.append(f"  {show.delivery(message['delivery'])}")
    lines += [f"  file {_attached(file)}" for file in message["attachments"]]
    text = show.safe(message["text"], lines=True).rstrip()
    return [*lines, "", *(f"  {line}" for line in text.split("\n")), ""]


def _attached(file: dict[str, Any]) -> str:
    place = f": {show.safe(file['path'])}" if file["path"] else f"  {file['file']}"
    return f"{show.safe(file['name'])}  {show.size(file['size'])}  {file['state']}{place}"


def _answered(id: str, session: Session) -> str:
    try:
        message = session.api.get("messages", id)
    except NotFoundError:
        return "a message that is not here"
    return f"{message['number']}  {show.first_line(message['text'])}"


@command("meshpeer delete 12 13")
@click.argument("which", nargs=-1, required=True)
def delete(session: Session, which: tuple[str, ...]) -> None:
    """Erase messages here for good. What you sent still travels: see `recall`."""
    done = session.api.post("messages", "delete", body={"which": which})
    session.give(done, lambda _: [f"deleted {len(which)}"])


@command("meshpeer outbox")
@click.option("--underway", is_flag=True, help="Only what may still arrive.")
@click.option(
    "--last",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="How many, the newest ones.",
)
@click.option("--to", "who", metavar="WHO", help="Only to this person.")
def outbox(session: Session, underway: bool, last: int, who: str | None) -> None:
    """List what you sent, and what is known of it."""
    found = session.api.all("messages", box="outbox", who=who, newest=True, at_once=100)
    over = ("arrived", "dropped", "expired") if underway else ()
    kept = list(islice((m for m in found if m["delivery"]["state"] not in over), last))
    session.give(
        kept[::-1],
        lambda found: [line for m in found for line in _sent_lines(m)],
        nothing="nothing was sent; `meshpeer send NAME TEXT` writes to a contact",
    )


def _sent_lines(message: dict[str, Any]) -> list[str]:
    who, when = show.name(message["contact"]), show.when(message["written"])
    head = f"{message['number']:>5}  {when}  to {who}  {_beginning(message, 40)}"
    left = message["delivery"]["remaining_s"]
    ends = (
        f" ({show.span(left)} left)"
        if message["delivery"]["state"] in RANK and left
        else ""
    )
    ends = "" if message["delivery"]["state"] == "arrived" else ends
    return [
        head,
        f"       {show.delivery(message['delivery'])}{ends}",
        *(
            f"       {show.safe(file['name'])}: {_under_way(file)}"
            for file in message["attachments"]
            if file["state"] != message["delivery"]["state"]
        ),
    ]


def _under_way(file: dict[str, Any]) -> str:
    gone = file["state"] == "underway" and file["path"] is None
    return (
        "changed or gone here, so it can't arrive whole: send it again"
        if gone
        else file["state"]
    )


@command("meshpeer recall 14")
@click.argument("which")
def recall(session: Session, which: str) -> None:
    """Ask every carrier to drop a message of yours; it may still arrive."""
    session.give(session.api.post("messages", which, "recall", body={}), _sent_lines)


@click.group(cls=ListGroup)
def requests() -> None:
    """List, accept or refuse strangers who wrote to you."""


@command("meshpeer requests list", group=requests, name="list")
def requests_list(session: Session) -> None:
    """List what strangers wrote. A stranger's name is only what it says of itself."""
    found = list(session.api.all("messages", box="requests"))
    session.give(
        found,
        lambda found: [line for m in found for line in _request_lines(m)],
        nothing="no stranger wrote; who has your card (`meshpeer card`) can",
    )


def _request_lines(message: dict[str, Any]) -> list[str]:
    return [_line(message), f"        id {message['contact']['id']}"]


@command("meshpeer requests accept '~bob' --name bob", group=requests)
@click.argument("who")
@click.option("--name", help="Your petname for this person.")
def accept(session: Session, who: str, name: str | None) -> None:
    """Make a stranger a contact; what it wrote moves to the inbox."""
    contact = session.api.post("requests", who, "accept", body={"petname": name})
    session.give(contact, lambda contact: [f"{show.name(contact)}  {contact['id']}"])


@command("meshpeer requests refuse '~mallory' --block", group=requests)
@click.argument("who")
@click.option("--block", is_flag=True, help="Take nothing from it again.")
def refuse(session: Session, who: str, block: bool) -> None:
    """Erase what a stranger wrote; it is not told.

    What it writes later is refused too, unless its card comes along again.
    """
    if not who:
        raise UsageError("say whom to refuse")
    session.give(
        session.api.post("requests", who, "refuse", body={"block": block}),
        lambda _: ["refused and blocked" if block else "refused"],
    )
