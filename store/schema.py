"""The tables, as migrations: each is a named function that runs once, in a transaction.

Choices, for a Raspberry Pi with an SD card and 100,000 bundles:

- Ids that many rows repeat (32-byte keys of peers and persons, names of accounts) are stored
  once, in `key` and `account`, and are integers elsewhere.
- A bundle's header and size lie apart from its payload, so that the index which the queue needs
  at start is read without touching 32 GB of payloads.
- Two rows for one thing are never needed to list a box: unread and box listings have an index.
- `carried` is about bundles held; `carrier` is what a sender knows of its own message and
  outlives the bundle.
- A log is named in `key` by its device's key and its own id, one behind the other: 48 bytes.
- A block's number is never given twice and is its item's too: what was searched for up to a
  number need not be looked at again. A body that comes later gives the block a new number. An
  item is put and dropped, never changed. The body is the last column, for what does not fit
  into a page lies elsewhere: headers are read without it.
- A timeline walks `item_person` (or, of all, `item_kind`) from the highest lamport number down.
- An item's tags are one text, each on a line of its own.
- Paths of ordinary files are blobs: the names that a disk gives need not be text.
- An ordinary file is the place of one file as it lies there, and of one more for each key with
  which it was sealed.
- Chunks are found by 8 bytes of their hash, in a row of some 20 bytes; who reads one checks it.

A released migration is never changed; a change is a new function below the last.
"""

from typing import Final

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

APPLICATION_ID: Final = 0x6D736870
"""'mshp' in the file's header: says whose database this is."""

MIGRATIONS: Final = Migrations("meshpeer")

FIRST: Final = (
    # --- names that rows repeat
    """CREATE TABLE account (
        n INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE
    ) STRICT""",
    """CREATE TABLE key (
        n INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE
    ) STRICT""",
    # --- the queue
    """CREATE TABLE bundle (
        n INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE,
        header BLOB NOT NULL,
        size INTEGER NOT NULL,
        account INTEGER NOT NULL REFERENCES account(n),
        first_seen REAL NOT NULL,
        received REAL NOT NULL,
        own INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE payload (
        bundle INTEGER PRIMARY KEY REFERENCES bundle(n) ON DELETE CASCADE,
        data BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE carried (
        bundle INTEGER NOT NULL REFERENCES bundle(n) ON DELETE CASCADE,
        peer INTEGER NOT NULL REFERENCES key(n),
        at REAL NOT NULL,
        PRIMARY KEY (bundle, peer)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE over (
        id BLOB PRIMARY KEY,
        until REAL NOT NULL,
        account INTEGER NOT NULL REFERENCES account(n)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE value (
        value BLOB PRIMARY KEY,
        expires REAL NOT NULL,
        account INTEGER NOT NULL REFERENCES account(n)
    ) STRICT, WITHOUT ROWID""",
    # --- mail
    """CREATE TABLE message (
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        id BLOB NOT NULL,
        box INTEGER NOT NULL,
        person INTEGER NOT NULL REFERENCES key(n),
        contact INTEGER NOT NULL REFERENCES key(n),
        text TEXT NOT NULL,
        kind TEXT NOT NULL,
        lamport INTEGER NOT NULL,
        written INTEGER NOT NULL,
        stored REAL NOT NULL,
        stored_wall INTEGER NOT NULL,
        lifetime INTEGER NOT NULL,
        reply_to BLOB,
        read INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    "CREATE UNIQUE INDEX message_once ON message(id, contact, box = 2)",
    "CREATE INDEX message_box ON message(box)",
    "CREATE INDEX message_contact ON message(contact, box)",
    "CREATE INDEX message_unread ON message(box) WHERE read = 0",
    """CREATE TABLE delivery (
        n INTEGER PRIMARY KEY,
        message INTEGER NOT NULL REFERENCES message(n) ON DELETE CASCADE,
        bundle BLOB NOT NULL UNIQUE,
        device INTEGER NOT NULL REFERENCES key(n),
        receipt BLOB NOT NULL,
        expires REAL NOT NULL,
        priority INTEGER NOT NULL,
        state INTEGER NOT NULL DEFAULT 0,
        at REAL
    ) STRICT""",
    "CREATE INDEX delivery_message ON delivery(message)",
    "CREATE INDEX delivery_pending ON delivery(expires) WHERE state < 5",
    """CREATE TABLE carrier (
        delivery INTEGER NOT NULL REFERENCES delivery(n) ON DELETE CASCADE,
        peer INTEGER NOT NULL REFERENCES key(n),
        at REAL NOT NULL,
        PRIMARY KEY (delivery, peer)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE seen (
        sender INTEGER NOT NULL REFERENCES key(n),
        message BLOB NOT NULL,
        at REAL NOT NULL,
        PRIMARY KEY (sender, message)
    ) STRICT, WITHOUT ROWID""",
    # --- people and peers
    """CREATE TABLE contact (
        person INTEGER PRIMARY KEY REFERENCES key(n),
        card BLOB NOT NULL,
        nickname TEXT NOT NULL,
        petname TEXT,
        status TEXT NOT NULL,
        verified INTEGER NOT NULL,
        introduced INTEGER NOT NULL,
        since INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE setting (
        name TEXT PRIMARY KEY,
        value BLOB NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE path (
        peer INTEGER NOT NULL REFERENCES key(n),
        transport TEXT NOT NULL,
        address TEXT NOT NULL,
        configured INTEGER NOT NULL,
        last_up REAL NOT NULL,
        PRIMARY KEY (peer, transport, address)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX path_recent ON path(configured, last_up)",
    """CREATE TABLE contact_time (
        n INTEGER PRIMARY KEY,
        peer INTEGER NOT NULL REFERENCES key(n),
        start REAL NOT NULL,
        "end" REAL NOT NULL,
        transport TEXT NOT NULL
    ) STRICT""",
    # --- history and clock
    """CREATE TABLE event (
        seq INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        body TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE clock (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
        running REAL NOT NULL,
        boot_id TEXT NOT NULL,
        boottime REAL NOT NULL,
        wall REAL NOT NULL
    ) STRICT""",
)


@MIGRATIONS(name="0001_first")
def first(db: Database) -> None:
    """Make everything that a peer remembers."""
    for statement in FIRST:
        db.execute(statement)


CHAINS_AND_FILES: Final = (
    # --- chains
    """CREATE TABLE log (
        log INTEGER PRIMARY KEY REFERENCES key(n),
        person INTEGER NOT NULL REFERENCES key(n),
        height INTEGER NOT NULL,
        state BLOB NOT NULL
    ) STRICT""",
    "CREATE INDEX log_person ON log(person)",
    """CREATE TABLE block (
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        id BLOB NOT NULL UNIQUE,
        log INTEGER NOT NULL REFERENCES key(n),
        sequence INTEGER NOT NULL,
        received REAL NOT NULL,
        received_wall INTEGER NOT NULL,
        header BLOB NOT NULL,
        body BLOB
    ) STRICT""",
    "CREATE INDEX block_log ON block(log, sequence)",
    """CREATE TABLE item (
        block INTEGER PRIMARY KEY REFERENCES block(n) ON DELETE CASCADE,
        person INTEGER NOT NULL REFERENCES key(n),
        kind TEXT NOT NULL,
        lamport INTEGER NOT NULL,
        written INTEGER NOT NULL,
        size INTEGER NOT NULL,
        language TEXT NOT NULL,
        media_type TEXT NOT NULL,
        tags TEXT NOT NULL,
        file BLOB,
        target BLOB,
        name TEXT NOT NULL,
        text TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX item_person ON item(person, kind, lamport)",
    "CREATE INDEX item_kind ON item(kind, lamport)",
    "CREATE INDEX item_file ON item(file) WHERE file IS NOT NULL",
    "CREATE INDEX item_target ON item(target) WHERE target IS NOT NULL",
    """CREATE TABLE fork (
        log INTEGER PRIMARY KEY REFERENCES key(n),
        person INTEGER NOT NULL REFERENCES key(n),
        one BLOB NOT NULL,
        other BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE author (
        person INTEGER PRIMARY KEY REFERENCES key(n),
        card BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE follow (
        person INTEGER PRIMARY KEY REFERENCES key(n),
        how TEXT NOT NULL,
        since INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE withdrawn (
        target BLOB NOT NULL,
        person INTEGER NOT NULL REFERENCES key(n),
        PRIMARY KEY (target, person)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX withdrawn_person ON withdrawn(person)",
    """CREATE TABLE standing (
        name TEXT PRIMARY KEY,
        query BLOB NOT NULL,
        seen INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    # --- files
    """CREATE TABLE file (
        n INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE,
        tag BLOB NOT NULL,
        size INTEGER NOT NULL,
        have BLOB
    ) STRICT""",
    "CREATE INDEX file_tag ON file(tag)",
    """CREATE TABLE manifest (
        file INTEGER PRIMARY KEY REFERENCES file(n) ON DELETE CASCADE,
        data BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE place (
        n INTEGER PRIMARY KEY,
        path BLOB NOT NULL,
        file INTEGER NOT NULL REFERENCES file(n) ON DELETE CASCADE,
        mtime_ns INTEGER NOT NULL,
        size INTEGER NOT NULL,
        key BLOB,
        inode INTEGER NOT NULL
    ) STRICT""",
    "CREATE UNIQUE INDEX place_once ON place(path, coalesce(key, x''))",
    "CREATE INDEX place_file ON place(file)",
    """CREATE TABLE blob (
        file INTEGER PRIMARY KEY REFERENCES file(n) ON DELETE CASCADE,
        data BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE chunk (
        file INTEGER NOT NULL REFERENCES file(n) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        short BLOB NOT NULL,
        PRIMARY KEY (file, position)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX chunk_short ON chunk(short)",
    """CREATE TABLE fetch (
        n INTEGER PRIMARY KEY,
        file BLOB NOT NULL UNIQUE,
        name TEXT NOT NULL,
        target BLOB NOT NULL,
        size INTEGER NOT NULL,
        state TEXT NOT NULL,
        why TEXT NOT NULL,
        priority INTEGER NOT NULL,
        in_order INTEGER NOT NULL,
        added INTEGER NOT NULL,
        key BLOB
    ) STRICT""",
    """CREATE TABLE want (
        bundle BLOB PRIMARY KEY,
        file BLOB NOT NULL,
        private BLOB NOT NULL,
        receipt BLOB NOT NULL,
        expires REAL NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE answered (
        bundle BLOB PRIMARY KEY,
        until REAL NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE attachment (
        message INTEGER NOT NULL REFERENCES message(n) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        file BLOB NOT NULL,
        size INTEGER NOT NULL,
        name TEXT NOT NULL,
        media_type TEXT NOT NULL,
        key BLOB NOT NULL,
        state TEXT NOT NULL,
        PRIMARY KEY (message, position)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX attachment_file ON attachment(file)",
    # --- folders
    """CREATE TABLE watched (
        directory BLOB PRIMARY KEY,
        person INTEGER NOT NULL REFERENCES key(n),
        collection TEXT NOT NULL,
        settings BLOB NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE mirror (
        n INTEGER PRIMARY KEY,
        directory BLOB NOT NULL UNIQUE,
        person INTEGER NOT NULL REFERENCES key(n),
        collection TEXT NOT NULL,
        block BLOB,
        grace INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE mirrored (
        mirror INTEGER NOT NULL REFERENCES mirror(n) ON DELETE CASCADE,
        path TEXT NOT NULL,
        file BLOB NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        PRIMARY KEY (mirror, path)
    ) STRICT, WITHOUT ROWID""",
)


@MIGRATIONS(name="0002_chains_and_files")
def chains_and_files(db: Database) -> None:
    """Make what is known of chains, of what they publish, and of the folders behind it."""
    for statement in CHAINS_AND_FILES:
        db.execute(statement)


@MIGRATIONS(name="0003_heed")
def heed(db: Database) -> None:
    """Make room for whose labels count, where that was said."""
    db.execute(
        """CREATE TABLE heed (
            person INTEGER PRIMARY KEY REFERENCES key(n),
            heeded INTEGER NOT NULL
        ) STRICT"""
    )


@MIGRATIONS(name="0004_slow_fetches")
def slow_fetches(db: Database) -> None:
    """Note which files may come by a slow link too."""
    db.execute("ALTER TABLE fetch ADD COLUMN slow INTEGER NOT NULL DEFAULT 0")
