"""Packets of links that are up are opened with the keys that their peer gives, and no others."""

import pytest

from meshpeer.core.chains import messages as chains
from meshpeer.core.link.config import LinkConfig
from meshpeer.core.link.packet import shorten
from meshpeer.core.sync import messages as sync
from meshpeer.dissect.opening import Opening
from meshpeer.dissect.streams import Streams
from tests.core.link.pair import Network


def told(link):
    """What `GET /links/keys` says of one link."""
    halves = [
        {
            "connection": each.connection.hex(),
            "secret": each.secret.hex(),
            "phase": each.phase,
            "counter": each.counter,
        }
        for each in link.secrets
    ]
    return {"peer": "b", "name": "bob", "sent": halves[0], "received": halves[1]}


class Tapped:
    """Ann and Bob, linked, and all packets that passed since."""

    def __init__(self, seed=1, **config):
        self.network = Network(seed)
        made = LinkConfig(**config)
        self.ann, self.bob = (self.network.node(name, made) for name in ("ann", "bob"))
        self.packets = []
        self.network.watch = lambda sender, to, data: self.packets.append(
            (sender is self.ann, data)
        )
        self.ann.connect(self.bob)
        assert self.network.run(5, lambda: bool(self.ann.ups and self.bob.ups))
        self.network.run(1)
        self.link = self.ann.ups[0]

    def talk(self, times=20):
        for number in range(times):
            self.link.write(0, sync.pack(sync.Pause()))
            self.bob.ups[0].write(3, bytes(2_000))
            self.network.run(number % 3)


def opened(opening, packets):
    return [opening.open(data) for _, data in packets]


def test_what_passes_after_the_keys_were_given_is_opened():
    tapped = Tapped()
    opening = Opening()
    opening.learn([told(tapped.link)])
    tapped.packets.clear()
    tapped.talk()
    found = opened(opening, tapped.packets)
    assert len(found) > 40
    assert None not in found
    assert [each.sent for each in found] == [ours for ours, _ in tapped.packets]
    assert {each.peer for each in found} == {"bob"}


def test_the_keys_of_either_side_will_do():
    tapped = Tapped()
    ours, theirs = Opening(), Opening()
    ours.learn([told(tapped.link)])
    theirs.learn([told(tapped.bob.ups[0])])
    tapped.packets.clear()
    tapped.talk()
    for (_, data), each in zip(tapped.packets, opened(ours, tapped.packets), strict=True):
        other = theirs.open(data)
        assert (other.plain, other.counter) == (each.plain, each.counter)
        assert other.sent is not each.sent


def test_shortened_packets_are_opened_too():
    tapped = Tapped()
    opening = Opening()
    opening.learn([told(tapped.link)])
    tapped.packets.clear()
    tapped.talk()
    short = [shorten(data) for _, data in tapped.packets]
    assert opening.knows(short[0])
    assert None not in [opening.open(data) for data in short]


def test_renewals_of_the_keys_are_followed():
    tapped = Tapped(renew_packets=30)
    opening = Opening()
    before = told(tapped.link)
    opening.learn([before])
    tapped.packets.clear()
    tapped.talk(100)
    assert told(tapped.link)["sent"]["secret"] != before["sent"]["secret"]
    assert len({data[0] & 1 for _, data in tapped.packets}) == 2
    assert None not in opened(opening, tapped.packets)


def test_what_was_sealed_before_a_renewal_stays_closed():
    tapped = Tapped(renew_packets=30)
    tapped.packets.clear()
    tapped.talk(5)
    early = list(tapped.packets)
    tapped.talk(100)
    opening = Opening()
    opening.learn([told(tapped.link)])
    assert set(opened(opening, early)) == {None}


def test_forged_repeated_and_foreign_packets_change_nothing():
    tapped, other = Tapped(), Tapped(seed=2)
    opening = Opening()
    opening.learn([told(tapped.link)])
    tapped.packets.clear()
    tapped.talk()
    forged = tapped.packets[3][1]
    for phase in (0, 1):
        bad = bytes((forged[0] ^ phase,)) + forged[1:5] + b"\xff" * 4 + forged[9:]
        assert opening.open(bad) is None
    assert set(opened(opening, other.packets)) == {None}
    assert opening.open(b"") is None
    assert opening.open(b"\x40" * 26) is None
    assert None not in opened(opening, tapped.packets * 2)


def test_asking_again_goes_on_and_forgets_no_link_that_is_up():
    tapped = Tapped(renew_packets=30)
    opening = Opening()
    for _ in range(10):
        opening.learn([told(tapped.link)])
        tapped.packets.clear()
        tapped.talk(7)
        assert None not in opened(opening, tapped.packets)
    assert opening.knows(tapped.packets[0][1])


MESSAGES = [sync.Hello((bytes(8),) * 4), sync.Lack((bytes(32),) * 50), sync.Resume()]


@pytest.mark.parametrize("piece", [1, 7, 100, 10_000])
def test_messages_are_named_where_they_end(piece):
    wire = b"".join(map(sync.pack, MESSAGES))
    streams, names = Streams(), []
    for at in range(0, len(wire), piece):
        names += streams.named("ann", 0, at, wire[at : at + piece])
        again = streams.named("ann", 0, at, wire[at : at + piece])
        assert again == [], "what is sent again is named once"
    assert names == ["HELLO", "LACK", "RESUME"]


def test_who_comes_late_joins_at_a_whole_message():
    streams = Streams()
    assert streams.named("ann", 0, 5_000, bytes.fromhex("08ffff")) == []
    assert streams.named("ann", 0, 5_003, sync.pack(MESSAGES[1])) == ["LACK"]
    assert streams.named("ann", 0, 9_000, b"\x07") == [], "there was a gap"
    assert streams.named("bob", 4, 77, chains.frame(1, b"anything")) == ["FOLLOWS"]
    assert streams.named("bob", 2, 77, b"anything") == ["normal bundles"]
    assert streams.named("bob", 99, 77, b"anything") == []


def test_noise_on_a_stream_is_not_named():
    streams = Streams()
    assert streams.named("ann", 0, 0, b"\x01" + b"\xff" * 20) == []
    assert streams.named("ann", 0, 21, b"\x01" + b"\x80" * 20) == []
