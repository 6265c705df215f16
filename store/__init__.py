"""SQLite: queue, people, mail, contact times; knows ids, not their meaning."""

OWNER = "meshpeer"
