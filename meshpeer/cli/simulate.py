"""`meshpeer sim`: how well a queue, a rate and a policy do on recorded or made-up contact times."""

import sys
from pathlib import Path

import click

from meshpeer.cli.command import Session, command
from meshpeer.errors import UsageError


@command(
    "meshpeer sim contacts.csv --workload messages.csv --queue-bytes 1000000 --rate 250000"
)
@click.argument("contacts", required=False, type=click.Path(path_type=Path))
@click.option("--workload", type=click.Path(path_type=Path), help="Messages: CSV.")
@click.option(
    "--queue-bytes", default=1_000_000, show_default=True, help="Queue of each peer."
)
@click.option(
    "--rate", default=250_000, show_default=True, help="Bytes a second of each link."
)
@click.option(
    "--seed", default=1, show_default=True, help="The same seed, the same figures."
)
@click.option(
    "--save", type=click.Path(path_type=Path), help="Folder for a made-up world's files."
)
def sim(
    session: Session,
    contacts: Path | None,
    workload: Path | None,
    queue_bytes: int,
    rate: int,
    seed: int,
    save: Path | None,
) -> None:
    """Simulate many peers on the contact times of CONTACTS and the messages of a workload.

    Without files, the seed makes a world of villages and buses; --save keeps its files.

    \b
    CONTACTS has the columns start_s,end_s,a,b: who can hear whom, and when.
    The workload has created_s,src,dst,size_bytes,ttl_s,id.
    """
    if (contacts is None) != (workload is None):
        raise UsageError(
            "give both CONTACTS and --workload, or neither for a made-up world"
        )
    if queue_bytes <= 0 or rate <= 0:
        raise UsageError("--queue-bytes and --rate must be above 0")
    from meshpeer.sim.contacts import (
        read_contacts,
        read_messages,
        write_contacts,
        write_messages,
    )
    from meshpeer.sim.generator import World, generate
    from meshpeer.sim.medium import Conditions
    from meshpeer.sim.simulation import Setting, simulate

    if contacts is not None and workload is not None:
        times, messages = read_contacts(contacts), read_messages(workload)
    else:
        times, messages = generate(World(), seed=seed)
    if save is not None:
        save.mkdir(parents=True, exist_ok=True)
        with open(save / "contacts.csv", "w", newline="") as out:
            write_contacts(times, out)
        with open(save / "messages.csv", "w", newline="") as out:
            write_messages(messages, out)
    setting = Setting(queue_bytes=queue_bytes, seed=seed, conditions=Conditions(rate=rate))
    with click.progressbar(length=100, label="simulating", file=sys.stderr) as bar:
        figures = simulate(times, messages, setting, bar.update)
    session.give(figures.as_dict(), lambda _: figures.as_text().split("\n"))
