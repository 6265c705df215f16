"""Objects that were good once: whatever is done to their bytes, parsers give a value in its one
form or RemoteProtocolError. MESHPEER_MUTATIONS sets how many of each kind are tried."""

import os
from random import Random

import pytest

from meshpeer.core.formats.bundle import Bundle
from meshpeer.core.formats.card import Card
from meshpeer.core.formats.cbor import decode, encode
from meshpeer.core.formats.message import Message
from meshpeer.core.formats.receipt import pack_entries, parse_entries
from meshpeer.core.identity.noise import KeyPair
from meshpeer.errors import RemoteProtocolError
from tests.vectors.build import (
    ADA,
    BOB,
    BOB_SEALING,
    bundles,
    cards,
    messages,
    receipts,
    seals,
)

MUTATIONS = int(os.environ.get("MESHPEER_MUTATIONS", "2000"))


def whole_bundle():
    case = seals()["seals"][1]
    immutable, mutable = case["immutable"], bytes(5)
    return immutable[:44] + mutable + immutable[44:] + case["payload"]


def message_again(body):
    message = Message.parse(body)
    if not message.is_between(ADA.public, BOB.public):
        raise RemoteProtocolError("between", "others")
    return message.to_bytes(sender=ADA.public, receiver=BOB.public)


def open_again(wire):
    bundle = Bundle.parse(wire)
    opened = bundle.open(KeyPair(BOB_SEALING.private))
    assert opened.body == b"hello"
    return bundle.wire


KINDS = {
    "bundle": (bundles()["bundles"][2]["wire"], lambda data: Bundle.parse(data).wire),
    "sealed": (whole_bundle(), open_again),
    "card": (cards()["cards"][1]["bytes"], lambda data: Card.parse(data).to_bytes()),
    "kept card": (cards()["cards"][1]["bytes"], lambda data: Card.load(data).to_bytes()),
    "message": (messages()["messages"][1]["body"], message_again),
    "cbor": (messages()["messages"][1]["body"], lambda data: encode(decode(data))),
    "entries": (receipts()["entries"], lambda data: pack_entries(parse_entries(data))),
}


def mutate(data, chance):
    changed = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(4):
            case 0:
                changed[at : at + 1] = chance.randbytes(1)
            case 1:
                changed[at:at] = chance.randbytes(chance.randint(1, 4))
            case 2:
                del changed[at : at + chance.randint(1, 4)]
            case 3:
                changed[at:at] = data[at : at + chance.randint(1, 40)]
    return bytes(changed)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mutated_object_gives_a_value_or_a_protocol_error(kind):
    data, again = KINDS[kind]
    assert again(data) == data
    chance = Random(kind)
    for _ in range(MUTATIONS):
        mutated = mutate(data, chance)
        try:
            same = again(mutated)
        except RemoteProtocolError:
            continue
        assert same == mutated
