"""Peers on real state folders, databases and chains; only the network between them is a pipe."""

import asyncio
from random import Random
from types import SimpleNamespace

from meshpeer.core.chains.chains import STREAM, Chains
from meshpeer.core.chains.events import CardHeard, Forked
from meshpeer.core.clock import ClockReading
from meshpeer.core.formats.record import Post, parse_record
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.journal import Journal
from meshpeer.core.mail.people import People
from meshpeer.core.sync.account import Account, Kind
from meshpeer.node import device_facade as asks
from meshpeer.node.config import Config
from meshpeer.node.devices import DeviceService
from meshpeer.node.loading import must_begin_logs
from meshpeer.node.own_cards import load_own
from meshpeer.node.state import State
from store.restore import restore_chains
from store.store import Store

WORDS = "correct horse battery staple"


class Pipe:
    """One end of a link that carries bytes when it is told to."""

    def __init__(self, near, far):
        self.peer_id, self.initiator = far.peer.id, near.peer.id < far.peer.id
        self.binding = bytes(32)
        self.closed = self.rate = None
        self.out, self.came = bytearray(), bytearray()

    def write(self, stream, data):
        assert stream == STREAM
        self.out += data

    def read(self, stream, limit=1 << 30):
        data = bytes(self.came[:limit])
        del self.came[:limit]
        return data

    def buffered(self, stream):
        return len(self.out)

    def close(self, reason):
        self.closed = reason


class Machine:
    """A peer on its state folder, started again by `start`; nothing but the disk outlives that."""

    def __init__(self, folder, nickname="ann"):
        self.state = State(folder)
        self.config = Config(nickname=nickname)
        self.state.create()
        self.starts = 0
        self.start()

    def start(self):
        self.starts += 1
        self.store = Store(self.state.database)
        fresh = self.store.saved_clock() is None
        self.store.clock = lambda: ClockReading(1.0, "boot", 1.0, 1.0)
        heard = {author.person: author.card for author in self.store.authors()}
        own = load_own(self.state, self.config.nickname, fresh=fresh, heard=heard)
        new_log = must_begin_logs(self.state, self.store, own)
        self.people = People(own, self.store.contacts())
        self.journal = Journal()
        self.chains = Chains(
            people=self.people,
            journal=self.journal,
            rng=Random(f"{self.state.root} {self.starts}").randbytes,
            wall=self.wall,
            archive=self.store,
            restored=restore_chains(self.store, new_log=new_log),
        )
        self.peer = SimpleNamespace(
            id=KeyPair(self.state.peer_key()).public,
            mail=SimpleNamespace(people=self.people),
            journal=self.journal,
            chains=self.chains,
            publish=self.chains.publish,
        )
        self.service = DeviceService(self)
        self.seen = []
        self.commit()

    def stop(self):
        self.commit()
        self.store.close()

    def commit(self):
        """Bring to the disk what waits, and from it what is asked for."""
        while self.take() | self.read():
            pass

    def take(self):
        batch = self.journal.take()
        if batch is None:
            return False
        self.store.commit(batch)
        self.journal.committed(0.0)
        for event in self.chains.events():
            self.seen.append(event)
            if isinstance(event, CardHeard):
                self.journal.add(*self.people.take(event.card))
        return True

    def read(self):
        requests = self.chains.reads()
        for request in requests:
            self.chains.blocks_read(request, self.store.log_blocks(*request[1:]), 0.0)
        return bool(requests)

    # what a service asks of the node

    def now(self):
        return 0.0

    def wall(self):
        return 1_800_000_000

    def check_disk(self):
        pass

    async def durable(self):
        self.commit()

    def learn_hints(self, card):
        self.hinted = card

    def hints(self):
        return ["udp:192.0.2.7:6374"]

    # what people do

    def do(self, asked):
        done = asyncio.run(asked)
        self.commit()
        return done

    @property
    def own(self):
        (own,) = self.people.own.values()
        return own

    def request(self):
        return self.do(self.service.device_request()).uri

    def add(self, other):
        """Add another machine's device, and let it join; give the list."""
        found = self.do(self.service.add_device(asks.NewDevice(other.request())))
        other.do(other.service.join_person(asks.Joining(found.card)))
        return found

    def revoke(self, which):
        return self.do(self.service.revoke_device(asks.WhichDevice(which)))

    def listed(self):
        return self.do(self.service.devices())

    def post(self, text):
        self.chains.publish(self.own, Post(text=text), 0.0)
        self.commit()

    def timeline(self):
        """All posts held here of the person who lives here, as they are shown."""
        rows = self.store.timeline([self.own.person], limit=100)
        records = (parse_record(row.body) for row in rows if row.body)
        return sorted(record.text for record in records if isinstance(record, Post))

    def forks(self):
        return [event for event in self.seen if isinstance(event, Forked)]


def meet(one, other):
    """Two machines have a link until they have no more to say."""
    ends = Pipe(one, other), Pipe(other, one)
    pairs = list(zip((one, other), ends, strict=True))
    for machine, end in pairs:
        account = Account(Kind.CONTACT, "neighbour")
        machine.chains.link_up(end, account, 0.0)
    now, quiet = 0.0, 0
    while quiet < 5:
        now += 1.0
        quiet += 1
        for machine, end in pairs:
            machine.chains.wake(now)
            machine.commit()
            far, other_end = pairs[machine is one]
            if end.out:
                quiet = 0
                other_end.came += end.out
                end.out.clear()
                far.chains.readable(other_end, now)
                far.commit()
    for machine, end in pairs:
        assert end.closed is None, end.closed
        machine.chains.link_down(end, now)
        machine.commit()
