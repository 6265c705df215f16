"""Two whole peers on a false wire: what the parts do only together."""

from random import Random

import pytest

from meshpeer.core import peer as peer_module
from meshpeer.core.formats.card import Card
from meshpeer.core.identity.certificate import Certificate
from meshpeer.core.identity.keys import DeviceKey, PersonKey
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.journal import ASIDE_S, Journal
from meshpeer.core.link.config import LinkConfig
from meshpeer.core.link.path import Datagram, Path, Traits
from meshpeer.core.mail.people import People
from meshpeer.core.peer import Peer, Remembered
from meshpeer.core.sync.account import Kind
from meshpeer.core.sync.policy import SimplePolicy
from meshpeer.core.sync.queue import Queue
from store.store import Store


def make_peer(name):
    rng, journal = Random(name).randbytes, Journal()
    return Peer(
        static=KeyPair.generate(rng),
        people=People([]),
        queue=Queue(journal=journal, policy=SimplePolicy()),
        journal=journal,
        disk=Store(":memory:"),
        remembered=Remembered(),
        rng=rng,
        wall=lambda: 0.0,
        now=0.0,
        prefix=lambda path: path.transport,
    )


def exchange(ann, bob, rounds=50, start=0.0):
    """Carry datagrams both ways until nobody says anything."""
    paths = Path("wire", "ann"), Path("wire", "bob")
    for turn in range(rounds):
        now = start + turn / 100
        for source, target, path in ((ann, bob, paths[0]), (bob, ann, paths[1])):
            source.wake(now)
            said = [Datagram(path, datagram.data) for datagram in source.outgoing(now)]
            if said:
                target.receive(said, now)


def linked():
    ann, bob = make_peer("ann"), make_peer("bob")
    ann.connect(bob.id, Path("wire", "bob"), 0.0)
    exchange(ann, bob)
    return ann, bob


def test_a_link_that_we_begin_keeps_to_what_its_transport_declares():
    ann, bob = make_peer("ann"), make_peer("bob")
    ann.endpoint.traits_of = lambda _: Traits(payload_limit=300)
    ann.connect(bob.id, Path("wire", "bob"), 0.0)
    exchange(ann, bob)
    ann.endpoint.links[bob.id].write(9, bytes(3_000))
    assert max(len(datagram.data) for datagram in ann.outgoing(now=1.0)) == 300


def test_streams_that_nobody_reads_hold_no_memory():
    ann, bob = linked()
    link = ann.endpoint.links[bob.id]
    for stream in range(7, 100):
        link.write(stream, bytes(100_000))
    exchange(ann, bob, 2_000)
    streams = bob.endpoint.links[ann.id].streams
    assert sum(stream.ready_bytes for stream in streams._receiving.values()) == 0
    assert sum(link.buffered(stream) for stream in range(7, 100)) == 0
    assert LinkConfig().link_window < 93 * 100_000


def test_links_that_come_and_go_while_the_disk_is_full_fill_no_memory(monkeypatch):
    monkeypatch.setattr(peer_module, "WRITES_LIMIT", 10)
    ann, bob = linked()
    for turn in range(1, 30):
        ann.disconnect(bob.id, float(turn))
        exchange(ann, bob)
        ann.connect(bob.id, Path("wire", "bob"), float(turn))
        exchange(ann, bob)
    assert len(bob.journal) == 10


def commit(peer, disk, now):
    """Write what its journal gives, as a shell does; say how many commits that took."""
    commits = 0
    while (batch := peer.journal.take()) is not None:
        disk.commit(batch)
        peer.committed(now)
        commits += bool(batch)
    return commits


def test_who_comes_and_goes_a_thousand_times_wears_no_card():
    (ann, bob), disk = linked(), Store(":memory:")
    commits = commit(bob, disk, 0.0)
    for turn in range(1, 1_001):
        now = turn / 5
        ann.disconnect(bob.id, now)
        exchange(ann, bob, 2, start=now)
        ann.connect(bob.id, Path("wire", "bob"), now)
        exchange(ann, bob, 5, start=now)
        assert ann.id in bob.neighbours
        commits += commit(bob, disk, now)
    assert 0 < commits <= now / ASIDE_S
    bob.wake(now + ASIDE_S)
    commit(bob, disk, now + ASIDE_S)
    assert len(list(disk.contact_times())) == 1_000


@pytest.fixture
def star():
    """Ann linked with Bob and Carol by one path."""
    ann, bob = linked()
    carol = make_peer("carol")
    ann.connect(carol.id, Path("wire", "bob"), 0.0)
    exchange(ann, carol)
    assert [event.link.peer_id for event in ann.events()] == [bob.id, carol.id]
    return ann, bob, carol


def test_a_fault_over_one_neighbour_costs_the_others_nothing(star, monkeypatch):
    ann, bob, carol = star
    link_down = ann.sync.link_down

    def faulty(link, now):
        if link.peer_id == bob.id:
            raise KeyError("whatever")
        link_down(link, now)

    monkeypatch.setattr(ann.sync, "link_down", faulty)
    with pytest.raises(KeyError):
        ann.path_lost(Path("wire", "bob"), 1.0)
    assert [event.link.peer_id for event in ann.events()] == [carol.id]
    assert carol.id not in ann.neighbours


def test_all_faults_of_a_turn_are_told(star, monkeypatch):
    ann = star[0]
    monkeypatch.setattr(ann.sync, "link_down", lambda link, now: [][0])
    with pytest.raises(ExceptionGroup) as told:
        ann.path_lost(Path("wire", "bob"), 1.0)
    assert [type(fault) for fault in told.value.exceptions] == [IndexError] * 2


def card_that_names(peer, name):
    rng = Random(name).randbytes
    keys = DeviceKey.generate(rng).public, KeyPair.generate(rng).public
    person = PersonKey.generate(rng)
    return Card.sign(person, number=1, nickname=name, devices=[Certificate(*keys, peer)])


def test_a_contact_that_claims_anothers_peer_does_not_get_its_account():
    bob, carol = make_peer("bob"), bytes(31) + b"c"
    path, people = Path("wire", "carol"), bob.mail.people
    people.accept(card_that_names(carol, "carol"), None, wall=0)
    assert bob.account_of(carol, path).kind is Kind.CONTACT
    for name in ("eve", "mallory"):
        card = card_that_names(carol, name)
        people.accept(card, None, wall=0)
        account = bob.account_of(carol, path)
        assert account.kind is Kind.CONTACT
        assert account.key not in {contact.person.hex() for contact in people}
