"""Objects that were good once: whatever is done to their bytes, parsers give a value in its one
form or RemoteProtocolError. MESHPEER_MUTATIONS sets how many of each kind are tried."""

import os
from random import Random

import pytest

from meshpeer.core.formats.block import Header
from meshpeer.core.formats.bundle import Bundle
from meshpeer.core.formats.card import Card
from meshpeer.core.formats.cbor import decode, encode
from meshpeer.core.formats.listing import Listing
from meshpeer.core.formats.manifest import Manifest, chunk_hash
from meshpeer.core.formats.message import Message
from meshpeer.core.formats.receipt import pack_entries, parse_entries
from meshpeer.core.formats.record import parse_record
from meshpeer.core.formats.want import Part, Want
from meshpeer.core.identity.noise import KeyPair
from meshpeer.errors import RemoteProtocolError
from tests.vectors import chain
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


def verified_again(data):
    header = Header.parse(data)
    header.verify()
    return header.to_bytes()


def manifest_again(data):
    """As somebody would send it who names the file by whatever its root is."""
    for end in (len(data), 11 + 2 * 32):
        try:
            return Manifest.from_bytes(chunk_hash(data[:end]), data).to_bytes()
        except RemoteProtocolError:
            continue
    raise RemoteProtocolError("manifest", "of no file")


KINDS = {
    "header": (
        chain.blocks()["blocks"][3]["header"],
        lambda data: Header.parse(data).to_bytes(),
    ),
    "signed header": (chain.blocks()["blocks"][3]["header"], verified_again),
    "post": (
        chain.records()["records"][2]["body"],
        lambda data: parse_record(data).to_bytes(),
    ),
    "label": (
        chain.records()["records"][7]["body"],
        lambda data: parse_record(data).to_bytes(),
    ),
    "manifest": (chain.manifest_of(5_000_000).to_bytes(), manifest_again),
    "long manifest": (chain.manifest_of(2**28 + 1).to_bytes(), manifest_again),
    "listing": (
        chain.listings()["listings"][1]["bytes"],
        lambda data: Listing.parse(data).to_bytes(),
    ),
    "want": (
        chain.wants()["wants"][1]["payload"],
        lambda data: Want.parse(data).to_bytes(),
    ),
    "part": (chain.wants()["parts"][0]["body"], lambda data: Part.parse(data).to_bytes()),
    "revoking card": (
        cards()["cards"][2]["bytes"],
        lambda data: Card.parse(data).to_bytes(),
    ),
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
