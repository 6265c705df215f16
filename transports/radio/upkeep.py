"""One interface brought up and kept; taken down; and what killed processes left, put right."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from select import poll
from typing import Final

from meshpeer.errors import TransportError
from transports.radio.changing import Setup, undo_of
from transports.radio.guardian import Guardian, undo_and_tell
from transports.radio.nl80211 import number_of
from transports.radio.planning import Plan
from transports.radio.record import (
    SUFFIX,
    Record,
    RecordFile,
    is_its_owners,
    read_all,
    started,
    where,
)

PATIENCE_MS: Final = 15_000
"""How long `down` waits for a process to put all back."""


@contextmanager
def up(plan: Plan, folder: Path) -> Iterator[int]:
    """Bring it up and give its index; when the block is left, all is as it was.

    TransportError if the kernel refuses, or if something can't be put back.
    """
    boot, namespace = where()
    undo = undo_of(plan)
    record = Record(
        boot=boot,
        namespace=namespace,
        pid=os.getpid(),
        started=started(os.getpid()),
        interface=plan.name,
        radio=plan.radio.name,
        mode=plan.mode.value,
        network=plan.network,
        channel=number_of(plan.frequency),
        undo=undo,
    )
    file = RecordFile.make(folder / f"{plan.name}{SUFFIX}", record)
    guardian = Guardian(undo, file)
    try:
        with Setup() as setup:
            yield setup.carry_out(plan)
    finally:
        well = guardian.dismiss()
        file.close()
    if not well:
        raise TransportError(f"{plan.name}: not all is as it was; `meshpeer radio restore`")


def restore(folder: Path) -> list[Record]:
    """Undo what killed processes left behind; gives what was undone."""
    done = []
    for path, record in list(read_all(folder)):
        alive = started(record.pid) == record.started
        file = RecordFile.take(path, wait=not alive)
        if file is None:
            continue
        try:
            if not record.holds:
                _forget(file, record)
            elif not undo_and_tell(record.undo, file):
                raise TransportError(f"{record.interface}: not all could be put back")
            else:
                done.append(record)
        finally:
            file.close()
    return done


def _forget(file: RecordFile, record: Record) -> None:
    """Drop a record of another boot; one of another network namespace is not ours to judge."""
    if record.boot != where()[0]:
        file.remove()


def living(folder: Path) -> list[Record]:
    """Give the records of what is up now."""
    found = []
    for path, record in read_all(folder):
        file = RecordFile.take(path)
        if file is None:
            if is_its_owners(path, record):
                found.append(record)
        else:
            file.close()
    return found


def take_down(record: Record) -> None:
    """End the process that keeps it, and wait until it has put all back."""
    with suppress(ProcessLookupError):
        try:
            handle = os.pidfd_open(record.pid)
        except OSError as error:
            raise ProcessLookupError from error
        try:
            if started(record.pid) != record.started:
                return
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            ended = poll()
            ended.register(handle)
            if not ended.poll(PATIENCE_MS):
                raise TransportError(
                    f"process {record.pid} keeps {record.interface}, and does not end"
                )
        except PermissionError:
            raise TransportError(
                f"process {record.pid} keeps {record.interface}, and is another user's"
            ) from None
        finally:
            os.close(handle)
