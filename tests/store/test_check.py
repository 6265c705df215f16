"""A damaged database tells what is wrong, and repair keeps all that can be kept."""

import contextlib
import os
import sqlite3
from random import Random

import pytest
from sqlite_utils import Database

from meshpeer.core.chain_writes import DropBody, PutFork, PutWithdrawn
from meshpeer.core.chains.log import Log
from meshpeer.core.file_writes import PutBlob, PutFile
from meshpeer.core.formats.block import Header
from meshpeer.core.formats.bundle import Bundle, Priority
from meshpeer.core.formats.bundle import Header as BundleHeader
from meshpeer.core.formats.manifest import Manifest, want_tag
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.sync.shares import Limits
from meshpeer.core.writes import (
    Box,
    DropBundle,
    PutBundle,
    PutContact,
    PutDelivery,
    PutMessage,
    PutSetting,
    Write,
)
from meshpeer.errors import StoreError
from store.check import check
from store.restore import restore_peer
from store.schema import APPLICATION_ID, MIGRATIONS
from store.store import Store
from tests.core.mail.post import Person
from tests.store.author import Author

ANNA, BOB = b"a" * 32, b"b" * 32
PAGE = 4_096


def bundle(number: int) -> PutBundle:
    header = BundleHeader(Priority.NORMAL, 6, bytes(16), bytes(16), 3_600, number)
    made = Bundle.make(header, os.urandom(1_000))
    return PutBundle(made.id, made.wire, "contact:x", 1.0, 1.0, False)


def message(number: int) -> PutMessage:
    id = number.to_bytes(16, "big")
    return PutMessage(
        id, Box.INBOX, ANNA, BOB, f"{number} " * 50, "text", 1, 1, 1.0, 1, 60, None
    )


@pytest.fixture
def database(tmp_path):
    return tmp_path / "meshpeer.db"


def write(database, *writes: Write) -> None:
    store = Store(database)
    store.commit(writes)
    store.close()


def tamper(database, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def damage(database, page: int) -> None:
    """Overwrite one page, the first being 1."""
    with database.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(b"\xff" * PAGE)


def pages(database, table: str, kind: str = "leaf") -> list[int]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = ? ORDER BY path",
            (table, kind),
        )
        return [row[0] for row in rows]


def test_a_sound_database_has_no_problems(database):
    write(database, bundle(1), message(1))
    assert check(database, repair=True) == ([], [], None)
    with pytest.raises(StoreError, match="no database"):
        check(database.with_name("nowhere.db"))


def test_a_bundle_with_a_flipped_bit_is_found_and_dropped(database):
    good, flipped, headless = bundle(1), bundle(2), bundle(3)
    write(database, good, flipped, headless)
    tamper(
        database,
        "UPDATE payload SET data = zeroblob(1000) WHERE bundle = 2",
        "DELETE FROM payload WHERE bundle = 3",
    )
    found = check(database)
    assert len(found.problems) == 2
    assert flipped.id.hex() in found.problems[0]
    assert not found.repairs
    assert not check(database, repair=True).whole
    assert check(database).whole
    store = Store(database)
    assert [row.id for row in store.queue_index()] == [good.id]
    store.close()


def test_rows_that_point_nowhere_are_dropped(database):
    write(database, bundle(1), message(1))
    tamper(database, "PRAGMA foreign_keys = OFF", "DELETE FROM account", "DELETE FROM key")
    assert len(check(database).problems) == 3
    assert check(database, repair=True).repairs
    assert check(database).whole


def test_what_lies_around_broken_pages_is_salvaged(database):
    write(database, *(message(n) for n in range(1, 1_001)), PutSetting("lamport", b"9"))
    leaves = pages(database, "message")
    for page in (leaves[0], leaves[len(leaves) // 2], leaves[-1]):
        damage(database, page)
    assert not check(database).whole
    report = check(database, repair=True)
    assert report.broken == database.with_name("meshpeer.db.broken-1")
    assert report.broken.exists()
    assert check(database).whole
    store = Store(database)
    numbers = [row.number for row in store.messages(Box.INBOX, limit=2_000)]
    lost = 1_000 - len(numbers)
    assert 0 < lost <= 3 * 30, "only what was on the broken pages"
    assert {100, 400, 600, 900} <= set(numbers)
    assert store.settings() == {"lamport": b"9"}
    store.commit([message(5_000)])
    assert store.messages(Box.INBOX, after=1_000)[0].number == 1_001
    store.close()


def test_a_broken_index_is_made_anew(database):
    write(database, *(message(n) for n in range(1, 1_001)))
    damage(database, pages(database, "message_once")[1])
    report = check(database, repair=True)
    assert "message: all 1000 rows copied" in report.repairs
    assert check(database).whole


def test_messages_outlive_the_page_of_the_names_that_they_point_to(database):
    write(database, *(message(n) for n in range(1, 11)))
    damage(database, *pages(database, "key"))
    report = check(database, repair=True)
    assert "key: all 2 rows copied" in report.repairs
    store = Store(database)
    assert [row.contact for row in store.messages(Box.INBOX)] == [BOB] * 10
    store.close()


def test_a_broken_table_keyed_by_bytes_is_read_from_both_ends(database):
    writes = [PutSetting(f"{n:04}", bytes(100)) for n in range(1_000)]
    write(database, *writes)
    leaves = pages(database, "setting")
    damage(database, leaves[len(leaves) // 2])
    check(database, repair=True)
    store = Store(database)
    assert len(store.settings()) > 900
    assert {"0000", "0999"} <= set(store.settings())
    store.close()


def test_a_file_without_a_readable_schema_is_left_alone(database):
    write(database, bundle(1))
    damage(database, 1)
    before = database.read_bytes()
    assert not check(database).whole
    with pytest.raises(StoreError, match="move it away"):
        check(database, repair=True)
    assert database.read_bytes() == before
    assert not database.with_name("meshpeer.db.salvaged").exists()


def test_a_store_that_meets_a_broken_page_says_what_to_do(database):
    put = [bundle(n) for n in range(100)]
    write(database, *put)
    damage(database, pages(database, "payload")[3])
    store = Store(database)
    with pytest.raises(StoreError, match="check --repair"):
        store.wires([row.id for row in put])
    with pytest.raises(StoreError, match="check --repair"):
        store.commit([DropBundle(row.id) for row in put])
    store.close()


HOSTILE = {
    "account": "UPDATE account SET name = 'king:eve'",
    "bundle": "UPDATE bundle SET received = -9e999",
    "over": "INSERT INTO over VALUES (x'00', 1.0, 1)",
    "value": "INSERT INTO value VALUES (zeroblob(16), 9e999, 1)",
    "message": "UPDATE message SET box = 9",
    "delivery": "UPDATE delivery SET state = -1",
    "contact": "UPDATE contact SET status = 'friend'",
    "log": "INSERT INTO log VALUES (1, 1, 9, x'00')",
    "author": "INSERT INTO author VALUES (1, x'00')",
    "fetch": "INSERT INTO fetch VALUES (1, x'00', '', x'', 0, 'lost', '', 0, 0, 0, NULL, 0)",
    "file": "INSERT INTO file VALUES (1, x'00', x'00', 0, NULL)",
    "contact's card": "UPDATE contact SET card = x'00'",
}


@pytest.mark.parametrize("statement", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_row_that_no_start_understands_is_dropped(database, statement):
    rng = Random(1).randbytes
    ann, bob = Person("ann"), Person("bob")
    sent = PutMessage(
        b"m" * 16, Box.OUTBOX, ANNA, BOB, "hi", "text", 1, 1, 1.0, 1, 60, None
    )
    ann.knows(bob)
    (contact,) = [write for write in ann.journal.take() if isinstance(write, PutContact)]
    delivery = PutDelivery(sent.message_id, b"b" * 32, BOB, rng(16), 100.0)
    write(database, bundle(1), sent, delivery, contact)
    tamper(database, statement)
    assert len(check(database).problems) == 1
    assert check(database, repair=True).repairs
    assert check(database).whole
    store = Store(database)
    keys = {"static": KeyPair.generate(rng), "own": [ann.own], "limits": Limits()}
    rest = {"rng": rng, "wall": lambda: 0.0, "now": 2.0, "prefix": str}
    peer = restore_peer(store, **keys, **rest)
    peer.wake(2.0)
    for box in Box:
        store.messages(box)
    store.close()


def test_a_file_whose_rows_cannot_be_dropped_is_given_up(database):
    write(database)
    tamper(
        database,
        "PRAGMA foreign_keys = OFF",
        "INSERT INTO over VALUES (zeroblob(32), 1.0, 99)",
        "CREATE TRIGGER t BEFORE DELETE ON over BEGIN SELECT RAISE(IGNORE); END",
    )
    with pytest.raises(StoreError, match="can't be dropped"):
        check(database, repair=True)


def publish(database, count):
    """Write a log of so many posts with its row as the core would."""
    author = Author(1)
    log = Log(author.person, author.device, author.log)
    log.started = 1
    blocks = [author.posts(f"post {n} " * 20) for n in range(1, count + 1)]
    for block in blocks:
        log.hold(Header.parse(block.header), bare=False, size=512, lamport=block.lamport)
    write(database, *blocks, log.row())
    return author, blocks, log


def restored_log(database):
    with contextlib.closing(Store(database)) as store:
        (row,) = store.logs()
        return Log.restore(row), len(store.timeline(limit=1_000))


def test_a_block_with_a_flipped_bit_is_dropped_and_asked_for_again(database):
    _, blocks, _ = publish(database, 9)
    tamper(
        database,
        "UPDATE block SET header = zeroblob(262) WHERE sequence = 3",
        "UPDATE block SET body = x'a0' WHERE sequence = 6",
    )
    assert check(database).problems[0] == "2 rows of block can't be understood"
    assert check(database, repair=True).repairs
    assert check(database).whole
    log, shown = restored_log(database)
    assert list(log.held) == [(1, 2), (4, 5), (7, 9)]
    assert log.claims[6].id == blocks[5].id, "it must be the same block that comes"
    assert log.started == 0, "whoever lost blocks goes on in a new log"
    assert shown == 7


def test_a_log_is_written_anew_from_its_blocks(database):
    author, blocks, log = publish(database, 30)
    head, before = log.head, list(log.held)
    fork = Author(1)
    other = [fork.posts(f"another {n}") for n in range(3)][2]
    write(
        database,
        PutFork(author.person, author.device, author.log, blocks[2].header, other.header),
        DropBody(blocks[4].id),
        PutWithdrawn(blocks[4].id, author.person),
        DropBody(blocks[5].id),
    )
    tamper(database, "UPDATE log SET state = x'00'")
    assert check(database).problems == ["1 rows of log can't be understood"]
    assert "1 logs written anew from their blocks" in check(database, repair=True).repairs
    assert check(database).whole
    again, shown = restored_log(database)
    assert (list(again.held), again.head, again.height) == (before, head, 30)
    assert list(again.bare) == [(6, 6)]
    assert again.withdraws
    assert again.fork_at == 2
    assert shown == 28


def test_blocks_and_files_around_broken_pages_are_salvaged_and_found_again(database):
    publish(database, 400)
    made = [Manifest(1, bytes([n, m]) * 16) for n in range(4) for m in range(250)]
    files = [PutFile(one.id, want_tag(one.id), 1, one.to_bytes(), None) for one in made]
    write(database, *files, *(PutBlob(file.id, b"x") for file in files))
    blocks, held = pages(database, "block"), pages(database, "file")
    for page in (blocks[len(blocks) // 2], held[len(held) // 2]):
        damage(database, page)
    assert check(database, repair=True).broken
    assert check(database).whole
    log, shown = restored_log(database)
    lost = 400 - log.held.count
    assert 0 < lost <= 30
    assert shown == log.held.count
    with contextlib.closing(Store(database)) as store:
        kept = [row for row in store.files(limit=1_000) if store.blob(row.id) == b"x"]
    assert 900 < len(kept) < 1_000


def test_a_database_of_the_first_release_is_checked_as_it_stands(database):
    with contextlib.closing(sqlite3.connect(database)) as connection:
        db = Database(connection)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        MIGRATIONS.apply(db, stop_before="0002_chains_and_files")
        connection.commit()
    assert check(database).whole
    Store(database).close()
    assert check(database).whole
