"""Makes the row of a log anew from its blocks, where damage took the row or some of the blocks.

A log whose row says that it holds what is gone would never ask for it again, and who publishes
in it would sign a block without knowing the ones before. What is made anew counts as somebody
else's log: who lives here goes on in another, so nothing lost can make a fork.
"""

import sqlite3
from collections.abc import Iterator
from struct import error as StructError
from typing import Final

from meshpeer.core.chains.book import cost
from meshpeer.core.chains.log import Followed, Key, Log, conflict
from meshpeer.core.chains.spans import Spans
from meshpeer.core.formats import record as records
from meshpeer.core.formats.block import Header
from meshpeer.core.formats.record import Follow, parse_record
from meshpeer.errors import LocalProtocolError, RemoteProtocolError
from store.chains import DEVICE_SIZE, log_row

LAMPORT: Final = """SELECT coalesce(max(lamport), 0) FROM item JOIN block ON block.n = item.block
    WHERE log = ?"""
"""What the numbers of a log's blocks count as here; a header may claim any."""

UNREADABLE: Final = (ValueError, StructError, RemoteProtocolError, LocalProtocolError)
"""What reading a damaged row raises."""


def untrue_logs(connection: sqlite3.Connection) -> list[int]:
    """Give the logs, by number, that have blocks and no row, or a row that names blocks gone."""
    blocks = {n for (n,) in connection.execute("SELECT DISTINCT log FROM block")}
    rows = connection.execute(
        """SELECT log, name.id, person.id, height, state FROM log
           JOIN key AS name ON name.n = log JOIN key AS person ON person.n = log.person"""
    ).fetchall()
    untrue = blocks - {row[0] for row in rows}
    for number, *row in rows:
        try:
            log = Log.restore(log_row(*row))
        except UNREADABLE:
            continue
        held = _held(connection, number)
        for first, last in log.held:
            if (span := held.over(first)) is None or span[1] < last:
                untrue.add(number)
    return sorted(untrue)


def relog(connection: sqlite3.Connection, number: int) -> None:
    """Make the row of this log true; a log without blocks goes."""
    log = _from_blocks(connection, number)
    if log is None:
        connection.execute("DELETE FROM log WHERE log = ?", (number,))
        return
    connection.execute("INSERT OR IGNORE INTO key(id) VALUES (?)", (log.person,))
    row = log.row()
    connection.execute(
        """INSERT OR REPLACE INTO log(log, person, height, state)
           SELECT ?, n, ?, ? FROM key WHERE id = ?""",
        (number, row.height, row.state, log.person),
    )


def _from_blocks(connection: sqlite3.Connection, number: int) -> Log | None:
    log = None
    for header, body, withdrawn in _blocks(connection, number):
        log = log or Log(header.person, header.device, header.log)
        bare = body is None and not withdrawn
        log.hold(header, bare=bare, size=cost(header, body is not None), lamport=0)
        log.unsaved.clear()
        log.withdraws = log.withdraws or withdrawn
        if body is not None:
            _learn(log, header, body)
    if log is not None:
        log.lamport = connection.execute(LAMPORT, (number,)).fetchone()[0]
        _claim(log, connection, number)
        _freeze(log, connection, number)
    return log


def _learn(log: Log, header: Header, body: bytes) -> None:
    """Remember what a record says that the core asks the log for."""
    try:
        record = parse_record(body)
    except RemoteProtocolError:
        return
    match record:
        case Follow():
            said = Followed(header.lamport, header.sequence, record.following)
            log.remember_follow(record.person, said)
        case records.Key() if log.key is None or record.number > log.key.number:
            log.key = Key(record.number, header.lamport, record.sealing)
        case records.Withdraw():
            log.withdraws = True
        case _:
            pass


def _claim(log: Log, connection: sqlite3.Connection, number: int) -> None:
    """Remember the links that lead to blocks not held."""
    for header, _, _ in _blocks(connection, number):
        for sequence, id in log.links(header):
            if sequence not in log.held:
                log.claim(sequence, id, header.sequence)


def _freeze(log: Log, connection: sqlite3.Connection, number: int) -> None:
    """A fork whose proof is kept ends the log where it says."""
    for one, other in connection.execute(
        "SELECT one, other FROM fork WHERE log = ?", (number,)
    ):
        log.fork_at = conflict(Header.parse(one), Header.parse(other))


def _held(connection: sqlite3.Connection, number: int) -> Spans:
    held = Spans()
    for (sequence,) in connection.execute(
        "SELECT sequence FROM block WHERE log = ? ORDER BY sequence", (number,)
    ):
        held.add(sequence)
    return held


def _blocks(
    connection: sqlite3.Connection, number: int
) -> Iterator[tuple[Header, bytes | None, bool]]:
    """Give header, body and whether its author withdrew it, oldest first."""
    rows = connection.execute(
        """SELECT header, body, EXISTS (
               SELECT 1 FROM withdrawn JOIN key ON key.n = withdrawn.person
               WHERE target = block.id AND key.id = substr(header, 3, ?))
           FROM block WHERE log = ? ORDER BY sequence""",
        (DEVICE_SIZE, number),
    )
    for header, body, withdrawn in rows:
        yield Header.parse(header), body, withdrawn == 1
