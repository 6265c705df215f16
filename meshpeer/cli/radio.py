"""`meshpeer radio`: what the radios here can do; one set up for us, and put back as it was.

The peer itself never does this: it only opens interfaces that are there, which takes less right
(CAP_NET_RAW) than making them (CAP_NET_ADMIN).
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from meshpeer.cli import radio_show
from meshpeer.cli.command import ListGroup, Session, command
from meshpeer.errors import NotFoundError, TransportError, UsageError

if TYPE_CHECKING:
    from transports.radio.machine import Machine
    from transports.radio.planning import Plan

CARRIER_WITHIN: Final = 10.0
"""Seconds; a cell begins within one. A mesh without anybody has its carrier, too."""


@click.group(cls=ListGroup)
def radio() -> None:
    """Radios of this machine: list them, set one up for cells without access points."""


@command("meshpeer radio list", group=radio, name="list")
def radio_list(session: Session) -> None:
    """List radios, what each can do, who uses it. Changes nothing and needs no right."""
    from transports.radio.machine import look

    machine = look()
    if not machine.radios:
        session.say(
            "there is no radio here that Linux knows; if a stick is in, its driver or "
            "firmware is missing: `dmesg | grep -i firmware`"
        )
    told = [radio_show.view(machine, one) for one in machine.radios]
    session.give(told, radio_show.list_lines)


@command("meshpeer radio up --mesh --channel 1", group=radio)
@click.argument("which", required=False, default="", metavar="[INTERFACE|RADIO]")
@click.option(
    "--cell", "mode", flag_value="cell", default="cell", help="IBSS; the default."
)
@click.option("--mesh", "mode", flag_value="mesh", help="802.11s; USB sticks can.")
@click.option("--monitor", "mode", flag_value="monitor", help="Raw frames, for long range.")
@click.option("--channel", default=1, show_default=True, help="The same at everybody's.")
@click.option(
    "--network", default="meshpeer", show_default=True, help="Its name; everybody's alike."
)
@click.option("--name", default="", help="Of the new interface; else cell0, mesh0, mon0.")
@click.option(
    "--in-place",
    is_flag=True,
    help="Change the interface itself: its name stays, for units.",
)
@click.option("--yes", is_flag=True, help="Don't ask before an interface in use is taken.")
@click.option(
    "--take-default-route",
    default="",
    metavar="INTERFACE",
    help="Take this interface though a default route leads over it.",
)
def up(
    session: Session,
    which: str,
    mode: str,
    channel: int,
    network: str,
    name: str,
    in_place: bool,
    yes: bool,
    take_default_route: str,
) -> None:
    """Set a radio up, keep it so until Ctrl-C, then put all back as it was.

    A new interface is made beside those that are there if the radio can, else one that is there
    is changed. Needs CAP_NET_ADMIN. The regulatory domain is heeded and never changed.
    """
    from transports.radio.machine import look, may_set_up
    from transports.radio.planning import Mode, Wish, candidates, ways
    from transports.radio.upkeep import restore

    wish = Wish(Mode(mode), which, channel, network, name, take_default_route, in_place)
    machine = look()
    candidates(machine, wish)
    if not may_set_up():
        raise TransportError(
            "setting a radio up needs the capability CAP_NET_ADMIN (not root): with sudo, or in "
            "a systemd unit with AmbientCapabilities=CAP_NET_ADMIN"
        )
    folder = _folder(session)
    if restore(folder):
        session.say("what an earlier `radio up` left when it was killed is put back")
        machine = look()
    plans = ways(machine, wish)
    for last, plan in enumerate(plans, 1 - len(plans)):
        _ask(session, plan, yes=yes)
        try:
            _keep(session, plan, folder, machine)
            return
        except NotUpError as refusal:
            if not last:
                raise TransportError(str(refusal)) from refusal
            session.say(f"{refusal}; trying another way")


class NotUpError(TransportError):
    """A plan failed before its interface was up; another may do."""


def _ask(session: Session, plan: "Plan", *, yes: bool) -> None:
    """Ask the person before anything in use is interrupted."""
    if not plan.interrupts or yes:
        return
    question = radio_show.interruption(plan)
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Say --yes if that is meant")
    if not click.confirm(f"{question} Go on?", err=True):
        raise UsageError("nothing was changed")


def _keep(session: Session, plan: "Plan", folder: Path, machine: "Machine") -> None:
    """Bring one plan up, tell of it, and keep it until asked to end."""
    from transports.radio.upkeep import up as bring_up
    from transports.radio.watching import Watch

    is_up = False
    try:
        with Watch() as watch, bring_up(plan, folder) as ifindex:
            is_up = True
            if not watch.until_carrier(ifindex, CARRIER_WITHIN) and not watch.ended:
                raise TransportError(
                    f"{plan.name} is set up, but its radio says nothing within 10 s"
                )
            session.give(radio_show.plan_view(plan), radio_show.up_lines)
            for line in radio_show.advice(plan, machine):
                session.say(line)
            sys.stdout.flush()
            _tell_systemd()
            watch.until_over(ifindex, plan.name)
    except TransportError as error:
        raise (error if is_up else NotUpError(str(error))) from error
    session.say(f"{plan.name}: all is as it was")


def _tell_systemd() -> None:
    """Say that it is up, so that a peer's unit can wait for it."""
    if "NOTIFY_SOCKET" in os.environ:
        from meshpeer.cli.supervisor import Supervisor

        Supervisor.of_this_process().ready()


@command("meshpeer radio status", group=radio)
def status(session: Session) -> None:
    """Show what is up, and which stations it hears."""
    from transports.radio.machine import ask_stations, look
    from transports.radio.nl80211 import Kind
    from transports.radio.upkeep import living

    ours = {record.interface: record for record in living(_folder(session))}
    machine = look()
    kinds = {Kind.IBSS, Kind.MESH, Kind.MONITOR}
    told = [
        radio_show.status_view(
            machine,
            held,
            ours.get(held.interface.name),
            ask_stations(held.interface.ifindex),
        )
        for held in machine.held
        if held.interface.kind in kinds
    ]
    if not told:
        session.say("no cell, mesh or monitor is up: `meshpeer radio up`")
    session.give(told, radio_show.status_lines)


@command("meshpeer radio down cell0", group=radio)
@click.argument("interface", required=False, default="")
def down(session: Session, interface: str) -> None:
    """End what `radio up` keeps, and put all back as it was."""
    from transports.radio.upkeep import living, restore, take_down

    folder = _folder(session)
    found = [one for one in living(folder) if interface in {"", one.interface}]
    for record in found:
        take_down(record)
    found += [one for one in restore(folder) if one not in found]
    if not found:
        raise NotFoundError(
            f"`radio up` keeps no {interface or 'interface'} here (looked in {folder})"
        )
    session.give([one.interface for one in found], radio_show.down_lines)


@command("meshpeer radio restore", group=radio)
def restore(session: Session) -> None:
    """Put back what a `radio up` left that was killed with its guardian; harmless otherwise."""
    from transports.radio.upkeep import restore as put_right

    done = [one.interface for one in put_right(_folder(session))]
    if not done:
        session.say("nothing was left behind")
    session.give(done, radio_show.down_lines)


def _folder(session: Session) -> Path:
    from transports.radio.record import folder

    return folder(os.environ, session.state.root)
