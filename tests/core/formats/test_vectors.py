"""The published vectors: what we make is what they say, and we read them as they say."""

import json

import pytest

from meshpeer.core.formats.bundle import Bundle
from meshpeer.core.formats.card import Card
from meshpeer.core.formats.message import Message
from meshpeer.core.formats.receipt import Meaning, meaning, parse_entries
from meshpeer.core.identity import idtext
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.identity.seal import open_seal
from meshpeer.errors import RemoteProtocolError, UsageError
from tests.vectors.build import FILES, FOLDER, text_of

raw = bytes.fromhex


def vectors(name):
    return json.loads((FOLDER / name).read_text())


def check_refused(cases, part, parse):
    assert cases
    for case in cases:
        with pytest.raises(RemoteProtocolError) as refusal:
            parse(raw(case[part]))
        assert refusal.value.field == case["field"]


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_what_we_make_now(name):
    assert (FOLDER / name).read_text() == text_of(name), "python -m tests.vectors, if meant"


def test_id_texts():
    cases = vectors("idtext.json")
    for case in cases["texts"]:
        assert idtext.decode(case["text"]).hex() == case["id"]
    for case in cases["forgiven"]:
        assert idtext.decode(case["typed"]).hex() == case["id"]
    for typed in cases["refused"]:
        with pytest.raises(UsageError):
            idtext.decode(typed)


def test_cards():
    cases = vectors("card.json")
    for case in cases["cards"]:
        card = Card.read(case["uri"])
        assert card.to_bytes().hex() == case["bytes"]
        assert [device.peer.hex() for device in card.devices] == [
            device["peer"] for device in case["devices"]
        ]
        assert (card.nickname, list(card.hints)) == (case["nickname"], case["hints"])
    check_refused(cases["refused"], "bytes", Card.parse)


def test_messages():
    cases = vectors("message.json")
    for case in cases["messages"]:
        message = Message.parse(raw(case["body"]))
        assert message.is_between(raw(cases["sender"]), raw(cases["receiver"]))
        for name in ("text", "lamport", "written", "kind"):
            assert getattr(message, name) == case[name]
        receipts = [attachment.receipt.hex() for attachment in message.attachments]
        assert receipts == [told["receipt"] for told in case["attachments"]]
    check_refused(cases["refused"], "body", Message.parse)


def test_seals():
    cases = vectors("seal.json")
    key = KeyPair(raw(cases["receiver_private"]))
    for case in cases["seals"]:
        opened = open_seal(
            raw(case["payload"]),
            immutable=raw(case["immutable"]),
            receipt_hash=raw(case["receipt_hash"]),
            key=key,
        )
        assert opened.body.hex() == case["body"]
        assert opened.receipt.hex() == case["receipt"]
        assert opened.sender == KeyPair(raw(cases["sender_private"])).public


def test_bundles():
    cases = vectors("bundle.json")
    for case in cases["bundles"]:
        bundle = Bundle.parse(raw(case["wire"]))
        assert bundle.id.hex() == case["id"]
        assert bundle.header.immutable.hex() == case["immutable"]
        assert bundle.header.lifetime == case["lifetime"]
    check_refused(cases["refused"], "wire", Bundle.parse)


def test_receipts():
    cases = vectors("receipt.json")
    for case in cases["values"]:
        receipt_hash = raw(case["receipt_hash"])
        assert meaning(raw(case["receipt"]), receipt_hash) is Meaning.RECEIPT
        assert meaning(raw(case["recall"]), receipt_hash) is Meaning.RECALL
    assert [entry.hours for entry in parse_entries(raw(cases["entries"]))] == [1, 840]
    for entries in cases["refused"]:
        with pytest.raises(RemoteProtocolError):
            parse_entries(raw(entries))
