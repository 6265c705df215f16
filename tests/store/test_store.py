"""What a batch leaves behind, as the next start finds it."""

import threading
from contextlib import closing
from pathlib import Path
from tempfile import mkdtemp
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshpeer.core.clock import ClockReading
from meshpeer.core.sync.queue import Held
from meshpeer.core.writes import (
    Box,
    DeliveryState,
    DropBundle,
    DropContact,
    DropOver,
    DropPeer,
    DropValue,
    EraseMessage,
    MoveMessage,
    PutBundle,
    PutCarried,
    PutContact,
    PutContactTime,
    PutDelivery,
    PutEvent,
    PutMessage,
    PutOver,
    PutPeer,
    PutSeen,
    PutSetting,
    PutValue,
    SetDelivery,
    SetRead,
    TouchBundle,
    Write,
)
from meshpeer.errors import StoreError
from store import names
from store import store as store_module
from store.history import EVENTS
from store.people import TRIM_CONTACT_TIMES
from store.store import LANE_OF, PLAN, Store

ANNA, BOB, PEER, OTHER = (bytes([n]) * 32 for n in range(4))


def name(number: int, size: int = 32) -> bytes:
    return number.to_bytes(size, "big")


def wire(fill: int, payload: int = 351) -> bytes:
    return bytes(3) + b"\x02" + bytes([fill]) * (45 + 2 + payload)


def bundle(number: int, *, account: str = "contact:anna", own: bool = False) -> PutBundle:
    return PutBundle(name(number), wire(number % 256), account, 10.0, 11.0, own)


def message(number: int, box: Box = Box.INBOX, contact: bytes = BOB) -> PutMessage:
    text = f"hello {number}"
    id = name(number, 16)
    return PutMessage(
        id, box, ANNA, contact, text, "text", 7, 1_800, 12.5, 1_801, 3600, None
    )


def delivery(number: int) -> PutDelivery:
    return PutDelivery(name(number, 16), name(number), OTHER, name(9, 16), 500.0)


@pytest.fixture(params=["memory", "file"])
def store(request, tmp_path):
    where = ":memory:" if request.param == "memory" else tmp_path / "meshpeer.db"
    store = Store(where)
    yield store
    store.close()


def test_every_kind_of_write_has_a_place():
    assert set(PLAN) == set(LANE_OF) == set(get_args(Write))


def test_a_bundle_is_held_until_dropped(store):
    store.commit([bundle(1), bundle(2, account="stranger:x", own=True)])
    assert list(store.queue_index()) == [
        Held(name(1), wire(1)[:51], 402, "contact:anna", 10.0, 11.0, False),
        Held(name(2), wire(2)[:51], 402, "stranger:x", 10.0, 11.0, True),
    ]
    assert store.wires([name(2), name(3)]) == {name(2): wire(2)}
    store.commit([DropBundle(name(1)), DropBundle(name(7))])
    assert [row.id for row in store.queue_index()] == [name(2)]
    assert [row.id for row in store.queue_page(after=name(1))] == [name(2)]


def test_a_younger_copy_lends_its_header(store):
    store.commit([bundle(1)])
    header = wire(1)[:44] + b"\x07" * 7
    store.commit([TouchBundle(name(1), header, 99.0)])
    (row,) = store.queue_index()
    assert (row.header, row.first_seen, row.received) == (header, 10.0, 99.0)
    assert store.wires([name(1)]) == {name(1): header + wire(1)[51:]}


def test_who_carries_a_bundle_is_known_while_it_is_held(store):
    store.commit(
        [bundle(1), PutCarried(name(1), PEER, 5.0), PutCarried(name(1), PEER, 6.0)]
    )
    store.commit(
        [bundle(1), PutCarried(name(1), OTHER, 7.0), PutCarried(name(8), PEER, 7.0)]
    )
    assert list(store.carried()) == [
        PutCarried(name(1), PEER, 5.0),
        PutCarried(name(1), OTHER, 7.0),
    ]
    store.commit([DropBundle(name(1))])
    assert list(store.carried()) == []


def test_a_sender_knows_its_carriers_after_the_bundle_is_gone(store):
    store.commit(
        [
            message(1, Box.OUTBOX),
            delivery(1),
            bundle(1, own=True),
            PutCarried(name(1), PEER, 5.0),
            SetDelivery(name(1), DeliveryState.CARRIED, 5.0),
            DropBundle(name(1)),
        ]
    )
    assert store.carriers([1]) == [PutCarried(name(1), PEER, 5.0)]
    (row,) = store.deliveries([1])
    assert (row.state, row.at, row.contact) == (DeliveryState.CARRIED, 5.0, BOB)


def test_a_delivery_only_rises_and_arrival_is_final(store):
    store.commit([message(1, Box.OUTBOX), delivery(1)])
    assert [row.bundle for row in store.pending()] == [name(1)]
    assert store.pending(alive=500.0) == []
    for state in (DeliveryState.EXPIRED, DeliveryState.CARRIED):
        store.commit([SetDelivery(name(1), state, 7.0)])
    assert store.delivery(name(1)).state is DeliveryState.EXPIRED
    store.commit([SetDelivery(name(1), DeliveryState.ARRIVED, 8.0)])
    store.commit([SetDelivery(name(1), DeliveryState.RECALL_ASKED, 9.0)])
    assert store.delivery(name(1)).state is DeliveryState.ARRIVED
    assert store.pending() == []


def test_a_message_is_underway_until_it_arrives_at_one_device_or_its_time_is_over(store):
    second = delivery(1)._replace(bundle=name(2))
    store.commit([message(1, Box.OUTBOX), delivery(1), second, message(3, Box.OUTBOX)])
    store.commit([delivery(3)])
    assert store.counts(now=10.0).underway == 2
    store.commit([SetDelivery(name(2), DeliveryState.ARRIVED, 9.0)])
    assert store.counts(now=10.0).underway == 1
    assert store.counts(now=500.0).underway == 0


def test_what_is_over_and_what_is_passed_on(store):
    store.commit([PutOver(name(1), 50.0, "a"), PutValue(name(2, 16), 60.0, "b")])
    store.commit([PutOver(name(1), 70.0, "b")])
    assert list(store.overs()) == [(name(1), 70.0, "b")]
    assert list(store.values()) == [(name(2, 16), 60.0, "b")]
    store.commit([DropOver(name(1)), DropValue(name(2, 16))])
    assert (list(store.overs()), list(store.values())) == ([], [])


def test_boxes_list_oldest_first_and_page_by_number(store):
    store.commit([message(number) for number in range(1, 8)])
    store.commit([message(8, Box.REQUESTS, OTHER), SetRead(name(2, 16), BOB, True)])
    first = store.messages(Box.INBOX, limit=3)
    assert [row.text for row in first] == ["hello 1", "hello 2", "hello 3"]
    rest = store.messages(Box.INBOX, after=first[-1].number)
    assert [row.number for row in rest] == [4, 5, 6, 7]
    assert 2 not in [row.number for row in store.messages(Box.INBOX, unread=True)]
    assert store.messages(Box.INBOX, contact=OTHER) == []
    assert store.messages(Box.INBOX, contact=name(77)) == []
    assert [row.number for row in store.messages(Box.REQUESTS, contact=OTHER)] == [8]
    assert (store.counts().unread, store.counts().requests) == (6, 1)


def test_a_message_is_found_by_number_and_by_the_beginning_of_its_id(store):
    store.commit([message(0x1F), message(0x20)])
    assert store.message(1).message_id == name(0x1F, 16)
    assert store.message(3) is None
    assert [row.number for row in store.messages_by_id("0" * 30)] == [1, 2]
    assert [row.number for row in store.messages_by_id("0" * 30 + "1")] == [1]
    assert [row.number for row in store.messages_by_id(name(0x20, 16).hex())] == [2]


def test_an_accepted_request_moves_to_the_inbox(store):
    store.commit([message(1, Box.REQUESTS), MoveMessage(name(1, 16), BOB, Box.INBOX)])
    assert [row.number for row in store.messages(Box.INBOX)] == [1]


def test_a_number_is_never_given_twice_and_what_was_seen_stays_seen(store):
    store.commit([message(1), PutSeen(BOB, name(1, 16), 3.0)])
    store.commit([EraseMessage(name(1, 16), BOB), message(2)])
    assert [row.number for row in store.messages(Box.INBOX)] == [2]
    assert store.was_seen(BOB, name(1, 16))
    assert not store.was_seen(ANNA, name(1, 16))


def test_a_contact_that_copies_our_message_id_cannot_make_us_erase_ours(store):
    store.commit([message(1, Box.OUTBOX), message(1, Box.INBOX)])
    assert len(store.messages_by_id(name(1, 16).hex())) == 2
    store.commit([EraseMessage(name(1, 16), BOB, sent=False)])
    assert [row.box for row in store.messages_by_id(name(1, 16).hex())] == [Box.OUTBOX]


def test_people_peers_and_settings(store):
    bob = PutContact(BOB, b"card", "bob", None, "stranger", False, False, 100)
    store.commit([bob, bob._replace(petname="Bobby", verified=True, status="contact")])
    (contact,) = store.contacts()
    assert (contact.petname, contact.verified, contact.person) == ("Bobby", True, BOB)
    assert store.counts().contacts == 1
    store.commit(
        [PutPeer(PEER, "udp", "a:1", False, 9.0), PutPeer(OTHER, "udp", "b:1", True, 0.0)]
    )
    assert [path.peer for path in store.peers()] == [OTHER, PEER]
    assert [path.address for path in store.paths(PEER)] == ["a:1"]
    store.commit([PutSetting("lamport", b"1"), PutSetting("lamport", b"2")])
    assert store.settings() == {"lamport": b"2"}
    store.commit([PutContactTime(PEER, 1.0, 2.0, "udp"), DropPeer(PEER), DropContact(BOB)])
    assert list(store.contact_times()) == [(PEER, 1.0, 2.0, "udp")]
    assert list(store.contact_times(since=3.0)) == []
    assert (store.contacts(), store.paths(PEER)) == ([], [])


def test_events_are_without_gaps_and_only_the_latest_are_kept(store):
    assert store.event_range() == (0, 0)
    store.commit([PutEvent("link", f"{{{n}}}") for n in range(EVENTS + 5)])
    with pytest.raises(StoreError):
        store.commit([PutEvent("link", "{}"), bundle(1)._replace(account=None)])
    store.commit([PutEvent("link", "last")])
    assert store.event_range() == (7, EVENTS + 6)
    assert [row.seq for row in store.events_after(EVENTS + 3)] == [
        EVENTS + n for n in (4, 5, 6)
    ]
    assert store.events_after(EVENTS + 5)[0].body == "last"


def test_a_batch_that_fails_leaves_nothing_and_works_when_put_right(store):
    bad = PutOver(name(2), 1.0, None)
    with pytest.raises(StoreError):
        store.commit([bundle(1, account="new"), bad])
    assert list(store.queue_index()) == []
    store.commit([bundle(1, account="new"), PutCarried(name(1), PEER, 1.0)])
    assert next(store.queue_index()).account == "new"


def test_the_clock_is_saved_with_every_commit(tmp_path):
    reading = ClockReading(5.0, "boot", 6.0, 7.0)
    store = Store(tmp_path / "meshpeer.db")
    assert store.saved_clock() is None
    store.clock = lambda: reading
    store.commit([])
    store.close()
    store = Store(tmp_path / "meshpeer.db")
    assert store.saved_clock() == reading
    store.close()


def test_another_thread_reads_while_one_writes(tmp_path):
    store, seen, done = Store(tmp_path / "meshpeer.db"), [], threading.Event()

    def read():
        while not done.is_set():
            seen.append(len(list(store.queue_index())))

    reader = threading.Thread(target=read)
    reader.start()
    for batch in range(30):
        store.commit([bundle(batch * 10 + n) for n in range(10)])
    done.set()
    reader.join()
    assert all(count % 10 == 0 for count in seen), "a batch is seen whole or not at all"
    assert seen == sorted(seen)
    store.close()


def test_room_comes_back_after_a_big_drop(tmp_path):
    file = tmp_path / "meshpeer.db"
    big = [bundle(n)._replace(wire=wire(1, 300_000)) for n in range(100)]
    with closing(Store(file)) as store:
        store.commit(big)
    assert file.stat().st_size > 30e6
    with closing(Store(file)) as store:
        store.commit([DropBundle(put.id) for put in big])
        for _ in range(20):
            store.commit([])
    assert file.stat().st_size < (store_module.SLACK_PAGES + 100) * 4096


def test_the_log_is_cut_after_a_slow_reader(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "LOG_TOO_LONG", 1 << 20)
    store = Store(tmp_path / "meshpeer.db")
    store.commit([bundle(1)])
    slow = store.queue_index()
    next(slow)
    store.commit([bundle(n)._replace(wire=wire(1, 300_000)) for n in range(2, 20)])
    list(slow)
    store.commit([])
    assert (tmp_path / "meshpeer.db-wal").stat().st_size <= 1 << 20
    store.close()


def test_names_that_no_row_needs_any_more_are_dropped_at_start(tmp_path, monkeypatch):
    monkeypatch.setattr(names, "UNUSED", 2)
    store = Store(tmp_path / "meshpeer.db")
    store.commit([bundle(n, account=f"stranger:{n}") for n in range(9)])
    store.commit([PutCarried(name(n), name(n + 50), 1.0) for n in range(9)])
    store.commit([DropBundle(name(n)) for n in range(8)])
    store.close()
    store = Store(tmp_path / "meshpeer.db")
    assert store._one("SELECT count(*), (SELECT count(*) FROM key) FROM account") == (1, 1)
    assert store._all("PRAGMA foreign_key_check") == []
    assert [row.account for row in store.queue_index()] == ["stranger:8"]
    assert [row.peer for row in store.carried()] == [name(58)]
    store.close()


ids = st.integers(1, 4)
queue_writes = st.lists(
    st.one_of(
        st.builds(bundle, ids),
        st.builds(DropBundle, ids.map(name)),
        st.builds(lambda n: PutOver(name(n), 1.0, "a"), ids),
        st.builds(lambda n: DropOver(name(n)), ids),
        st.builds(lambda n: PutEvent("link", str(n)), ids),
    ),
    max_size=12,
)


@settings(max_examples=60)
@given(queue_writes)
def test_one_batch_is_the_same_as_one_commit_for_each_write(writes):
    together, singly = Store(":memory:"), Store(":memory:")
    together.commit(writes)
    for write in writes:
        singly.commit([write])
    for read in (Store.queue_page, Store.overs, Store.events_after):
        argument = (0,) if read is Store.events_after else ()
        assert list(read(together, *argument)) == list(read(singly, *argument))
    together.close()
    singly.close()


batches = st.lists(
    st.lists(
        st.one_of(
            st.builds(bundle, ids, own=st.booleans()),
            st.builds(DropBundle, ids.map(name)),
            st.builds(
                TouchBundle,
                ids.map(name),
                st.binary(min_size=51, max_size=51),
                st.just(9.0),
            ),
        ),
        max_size=6,
    ),
    max_size=4,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches)
def test_after_any_history_a_restart_finds_what_a_dictionary_would_hold(tmp_path, batches):
    folder = Path(mkdtemp(dir=tmp_path))
    held: dict[bytes, bytes] = {}
    for batch in batches:
        for write in batch:
            match write:
                case PutBundle():
                    held[write.id] = write.wire
                case DropBundle():
                    held.pop(write.id, None)
                case TouchBundle() if write.id in held:
                    held[write.id] = write.header + held[write.id][51:]
        store = Store(folder / "meshpeer.db")
        store.commit(batch)
        store.close()
    store = Store(folder / "meshpeer.db")
    found = {row.id: row.size for row in store.queue_index()}
    assert found == {id: len(wire) for id, wire in held.items()}
    assert store.wires(held) == held
    store.close()


def test_the_newest_messages_are_found_without_paging_through_the_old_ones(store):
    store.commit([message(n) for n in range(1, 8)])
    newest = store.messages(Box.INBOX, limit=3, newest=True)
    assert [row.number for row in newest] == [7, 6, 5]
    older = store.messages(Box.INBOX, newest[-1].number, 3, newest=True)
    assert [row.number for row in older] == [4, 3, 2]


def test_names_of_strangers_that_came_by_once_do_not_pile_up(tmp_path, monkeypatch):
    monkeypatch.setattr(names, "UNUSED", 50)
    monkeypatch.setitem(store_module.TRIMS, PutContactTime, (TRIM_CONTACT_TIMES, 10))
    with closing(Store(tmp_path / "meshpeer.db")) as store:
        for n in range(500):
            store.commit([PutContactTime(name(n), n, n + 1.0, "udp")])
        (kept,) = store._db.conn.execute("SELECT count(*) FROM key").fetchone()
        assert kept < 120
        last = [
            row[0]
            for row in store._db.conn.execute(
                "SELECT key.id FROM contact_time JOIN key ON key.n = contact_time.peer"
            )
        ]
        assert sorted(last) == [name(n) for n in range(490, 500)]
