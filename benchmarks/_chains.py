"""Publishers for the benchmarks: signed chains of posts whose words come as in real text."""

from collections.abc import Iterator
from itertools import accumulate
from random import Random

from meshpeer.core.chain_writes import PutAuthor, PutBlock
from meshpeer.core.chains.book import cost
from meshpeer.core.chains.log import Log
from meshpeer.core.formats.block import NO_BLOCK, Block, skip_of
from meshpeer.core.formats.card import Card
from meshpeer.core.formats.record import Post, item_of
from meshpeer.core.identity.certificate import Certificate
from meshpeer.core.identity.keys import DeviceKey, PersonKey
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.mail.people import Own
from store.store import Store

VOCABULARY = 50_000
LETTERS = "etaoinshrdlucmfwygpbvkxqjz"
WRITTEN = 1_790_000_000
BATCH = 1_000


class Text:
    """Words of which the n-th commonest comes 1/n as often as the commonest."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        words: dict[str, None] = {}
        while len(words) < VOCABULARY:
            size = 2 + self._random.randrange(1 + len(words).bit_length() // 2)
            words["".join(self._random.choices(LETTERS, range(26, 0, -1), k=size))] = None
        self._words = list(words)
        self._weights = list(accumulate(1 / rank for rank in range(1, VOCABULARY + 1)))

    def post(self, number: int) -> Post:
        """Give the post of this number: 10 to 60 words, every third with tags."""
        many = self._random.randint(10, 60)
        words = self._random.choices(self._words, cum_weights=self._weights, k=many)
        tags = tuple(dict.fromkeys(words[-2:])) if number % 3 == 0 else ()
        return Post(" ".join(words), tags=tags, language="en", written=WRITTEN + number)


def person(seed: int, peer: bytes = b"") -> Own:
    """Give somebody with one device on this peer."""
    rng = Random(seed).randbytes
    key, device, sealing = PersonKey(rng(32)), DeviceKey(rng(32)), KeyPair(rng(32))
    peer = peer or KeyPair(rng(32)).public
    certificate = Certificate(device.public, sealing.public, peer)
    card = Card.sign(key, number=1, nickname=f"person {seed}", devices=[certificate])
    return Own(card, device, sealing)


def publish(store: Store, own: Own, text: Text, blocks: int) -> Log:
    """Put a chain of so many posts into a database, as if they had been published there."""
    log = Log(own.person, own.device.public, Random(own.person).randbytes(16))
    log.started = 1
    store.commit([PutAuthor(own.person, own.card.to_bytes())])
    writes: list[PutBlock] = []
    for write in _blocks(own, log, text, blocks):
        writes.append(write)
        if len(writes) == BATCH:
            store.commit(writes)
            writes = []
    store.commit([*writes, log.row()])
    return log


def _blocks(own: Own, log: Log, text: Text, blocks: int) -> Iterator[PutBlock]:
    ids = [NO_BLOCK]
    for sequence in range(1, blocks + 1):
        record = text.post(sequence)
        header, body = Block.sign(
            own.device,
            person=own.person,
            log=log.id,
            sequence=sequence,
            lamport=sequence,
            previous=ids[-1],
            skip=ids[skip_of(sequence)],
            body=record.to_bytes(),
        )
        ids.append(header.id)
        log.hold(header, bare=False, size=cost(header, True), lamport=header.lamport)
        log.unsaved.clear()
        yield PutBlock(
            header.id,
            own.person,
            header.device,
            header.log,
            sequence,
            header.lamport,
            header.to_bytes(),
            body,
            float(sequence),
            WRITTEN + sequence,
            item_of(record),
        )
