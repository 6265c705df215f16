"""A neighbour that says what no honest one would, over a link of its own."""

from meshpeer.core.files import messages
from meshpeer.core.files.messages import CONTROL, PART_HEAD, PARTS, Frames


class Stranger:
    """The far end of a link to a host; nothing takes time."""

    def __init__(self, host, name="stranger"):
        self.host = host
        self.peer_id = name.encode().ljust(32, b".")
        self.initiator, self.binding, self.closed = True, b"B" * 32, None
        self.rtt, self.rate = 0.001, None
        self.came = {CONTROL: bytearray(), PARTS: bytearray()}
        self.out = {CONTROL: bytearray(), PARTS: bytearray()}
        self.reads = True
        self.unread = 0
        host.files.link_up(self, host.now)

    # -- what the host does with its end

    def write(self, stream, data):
        self.out[stream] += data
        self.unread += len(data)

    def read(self, stream, limit):
        data = bytes(self.came[stream][:limit])
        del self.came[stream][:limit]
        return data

    def buffered(self, stream):
        return 0 if self.reads else len(self.out[stream])

    def close(self, reason):
        self.closed = self.closed or reason

    # -- what the stranger does

    def say(self, *said):
        self.send(CONTROL, b"".join(map(messages.pack, said)))

    def send(self, stream, data):
        self.came[stream] += data
        self.host.files.readable(self, self.host.now)
        self.host.settle()

    def part(self, handle, part, data):
        self.send(PARTS, PART_HEAD.pack(handle, part, len(data)) + data)

    def heard(self):
        """The messages that the host said since this was last called."""
        said = list(Frames().feed(bytes(self.out[CONTROL])))
        self.out[CONTROL].clear()
        return [messages.unpack(number, body) for number, body in said]

    def parts(self):
        """The parts that came since."""
        data, self.out[PARTS] = bytes(self.out[PARTS]), bytearray()
        found, at = [], 0
        while at < len(data):
            handle, part, size = PART_HEAD.unpack_from(data, at)
            at += PART_HEAD.size
            found.append((handle, part, data[at : at + size]))
            at += size
        return found
