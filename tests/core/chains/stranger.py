"""Somebody at the other end of a link who keeps to no rule."""

from meshpeer.core.chains import messages
from meshpeer.core.chains.messages import Blocks, Follow, Follows, Head, Heads
from meshpeer.core.formats.block import Block
from meshpeer.core.sync.account import Account, Kind
from meshpeer.core.sync.messages import Frames
from tests.core.chains.village import Peer, Pipe, Village


class Stranger:
    """Speaks to one peer byte by byte."""

    def __init__(self, peer, name="eve"):
        self.peer, self.village = peer, Village()
        eve = Peer(name)
        self.end = Pipe(peer, eve, True)
        self.end.other = Pipe(eve, peer, False)
        self.frames = Frames()
        self.said = []
        peer.chains.link_up(self.end, Account(Kind.STRANGER, name), self.village.now)

    @property
    def now(self):
        return self.village.now

    def say(self, *said):
        self.send(b"".join(messages.pack(message) for message in said))
        return self.heard()

    def send(self, data):
        self.end.came += data
        self.work()

    def work(self):
        self.peer.chains.readable(self.end, self.now)
        while self.village.work(self.peer):
            pass

    def wait(self, seconds):
        for _ in range(int(seconds)):
            self.village.now += 1.0
            self.peer.chains.wake(self.now)
            self.work()

    def heard(self):
        """What the peer said since the last call."""
        data = bytes(self.end.out)
        self.end.out.clear()
        heard = [messages.unpack(*found) for found in self.frames.feed(data)]
        self.said += heard
        return heard

    def asks(self, kind):
        """All of this kind that the peer said since this was last called."""
        self.heard()
        said, self.said = self.said, []
        return [one for one in said if isinstance(one, kind)]

    # -- what one often says

    def wants(self, *persons):
        hash = self.peer.chains._sessions[self.end.peer_id].following.hash
        follows = tuple(Follow(hash(person.id), b"another!") for person in persons)
        return self.say(Follows(True, follows))

    def offers(self, log, height=None, first=1, head=None):
        """Heads of a log, with its person's card."""
        height = height or len(log.blocks)
        head = head or (log.blocks[height - 1].id if log.blocks else b"?" * 32)
        told = Head(log.key.public, log.id, first, height, head)
        return self.say(Heads(log.person.id, log.person.card.to_bytes(), (told,)))

    def gives(self, log, *blocks, first=None, last=None):
        """An answer with these blocks."""
        numbers = [block.header.sequence for block in blocks]
        return self.say(
            Blocks(
                log.key.public,
                log.id,
                min(numbers) if first is None else first,
                max(numbers) if last is None else last,
                tuple(sorted(blocks, key=lambda block: -block.header.sequence)),
            )
        )


def changed(block, **parts):
    """A block with other parts in its header, and the signature of the true one."""
    return Block(block.header._replace(**parts), block.body)
