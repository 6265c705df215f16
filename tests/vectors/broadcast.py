"""A broadcast of 1,000 bytes in symbols of 150: its words on the links, symbols and packets."""

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from meshpeer.core.broadcast import symbol
from meshpeer.core.broadcast.code import Encoder, repair_mask
from meshpeer.core.broadcast.sessions import Announced, Missing
from meshpeer.core.sync import messages
from meshpeer.core.sync.messages import Code, Ended, Result, Run

WIRE = bytes(n * n % 251 for n in range(1_000))
TOLD = Announced(
    transfer=b"\x01\x02\x03\x04",
    key=bytes(range(32)),
    id=bytes(range(100, 132)),
    size=len(WIRE),
    symbol_size=150,
    elapsed=2,
)
SENT = 9


def broadcast():
    """Seven sources, two repairs; the words in the order in which they are said."""
    encoder = Encoder(WIRE, TOLD.symbol_size, TOLD.transfer)
    cipher = ChaCha20Poly1305(TOLD.key)
    symbols = []
    for number in range(SENT):
        data, left = encoder.symbol(number), SENT - 1 - number
        shown = {"number": number, "left": left, "symbol": data}
        if number >= encoder.count:
            mask = repair_mask(TOLD.transfer, number, encoder.count)
            shown["sources"] = [n for n in range(encoder.count) if mask >> n & 1]
        shown["packet"] = symbol.pack(cipher, TOLD.transfer, number, left, data)
        symbols.append(shown)
    words = [
        TOLD,
        Missing(TOLD.transfer, 2, SENT),
        Ended(TOLD.transfer),
        Result((Run(messages.BY_BROADCAST, 0, 1, Code.DURABLE),)),
    ]
    return {
        "wire": WIRE,
        "announced": TOLD._asdict(),
        "frames": [messages.pack(said) for said in words],
        "symbols": symbols,
    }
