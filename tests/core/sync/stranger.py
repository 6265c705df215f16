"""Somebody at the other end of a link who keeps to no rule."""

from meshpeer.core.sync import messages
from meshpeer.core.sync.account import Account, Kind
from meshpeer.core.sync.messages import Result
from tests.core.sync.village import Peer, Pipe, Village


class Stranger:
    """Speaks to one peer byte by byte, and keeps to no rule."""

    def __init__(self, peer, kind=Kind.CONTACT, initiator=False, name="eve"):
        self.peer, self.now = peer, 0.0
        self.village = Village()
        eve = Peer(name)
        self.end = Pipe(peer, eve, not initiator)
        self.end.other = Pipe(eve, peer, initiator)
        self.frames = messages.Frames()
        peer.sync.link_up(self.end, Account(kind, name), 0.0)

    def say(self, *said):
        self.send(0, b"".join(messages.pack(message) for message in said))
        return self.heard()

    def send(self, stream, data):
        self.end.came[stream] += data
        self.work()

    def work(self):
        self.peer.sync.readable(self.end, self.now)
        while self.village.work(self.peer):
            pass

    def heard(self):
        data = bytes(self.end.out[0])
        self.end.out[0].clear()
        return [messages.unpack(*found) for found in self.frames.feed(data)]

    def answers(self):
        return [
            run for said in self.heard() if isinstance(said, Result) for run in said.runs
        ]
