"""The published vectors: what we make is what they say, and we read them as they say."""

import json

import pytest

from meshpeer.core.chains.messages import unpack
from meshpeer.core.formats import beacon
from meshpeer.core.formats.block import Block, Header, check_path, path, skip_of
from meshpeer.core.formats.bundle import Bundle
from meshpeer.core.formats.card import Card
from meshpeer.core.formats.device_request import DeviceRequest
from meshpeer.core.formats.listing import Listing
from meshpeer.core.formats.manifest import Root, want_tag
from meshpeer.core.formats.message import Message
from meshpeer.core.formats.receipt import Meaning, meaning, parse_entries
from meshpeer.core.formats.record import parse_record
from meshpeer.core.formats.sealed_file import open_chunk, plain_size
from meshpeer.core.formats.want import Part, Want
from meshpeer.core.identity import idtext
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.identity.seal import open_seal
from meshpeer.core.link import packet
from meshpeer.core.sync.messages import Frames
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
        assert [
            [device.hex(), [log.block.hex() for log in logs]]
            for device, logs in card.revoked
        ] == [
            [revoked["device"], [log["block"] for log in revoked["logs"]]]
            for revoked in case["revoked"]
        ]
    check_refused(cases["refused"], "bytes", Card.parse)


def test_device_requests():
    cases = vectors("device_request.json")
    for case in cases["requests"]:
        request = DeviceRequest.read(case["uri"])
        assert request.to_bytes().hex() == case["bytes"]
        found = {name: key.hex() for name, key in request.certificate._asdict().items()}
        assert found == case["certificate"]
    check_refused(cases["refused"], "bytes", DeviceRequest.parse)


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


def header_verified(data):
    Header.parse(data).verify()


def check_join(case):
    feed = Frames().feed(
        b"".join(raw(case[name]) for name in ("join", "joined", "not_held"))
    )
    join, joined, not_held = (unpack(*frame) for frame in feed)
    assert join[2:] == joined[2:4] == not_held[2:4] == (case["first"], case["last"])
    assert [header.sequence for header in joined.headers] == path(join.last, join.first)
    check_path(joined.headers)
    assert not_held.headers == ()


def test_blocks():
    cases = vectors("block.json")
    for case in cases["blocks"]:
        block = Block(Header.parse(raw(case["header"])), raw(case["body"]))
        block.check()
        assert block.id.hex() == case["id"]
        assert block.header.skip.hex() == case["skip"]
        assert (block.header.sequence, block.header.lamport) == (
            case["sequence"],
            case["lamport"],
        )
        parse_record(raw(case["body"]))
    for sequence, skipped in cases["skips"]:
        assert skip_of(sequence) == skipped
    for case in cases["paths"]:
        assert path(case["newer"], case["older"]) == case["path"]
    for case in cases["joins"]:
        check_join(case)
    check_refused(cases["refused"], "header", header_verified)


def test_records():
    cases = vectors("record.json")
    for case in cases["records"]:
        record = parse_record(raw(case["body"]))
        assert type(record).__name__ == case["type"]
        assert record.to_bytes().hex() == case["body"]
    check_refused(cases["refused"], "body", parse_record)


def test_manifests():
    cases = vectors("manifest.json")
    for case in cases["of_content"]:
        manifest = Root.parse(raw(case["file"]), raw(case["root"])).manifest()
        assert manifest.size == case["size"]
    for case in cases["of_hashes"]:
        root = Root.parse(raw(case["file"]), raw(case["root"]))
        assert (root.size, root.chunk_size) == (case["size"], case["chunk_size"])
        assert (root.count, root.page_count) == (case["chunks"], case["pages"])
    for case in cases["want_tags"]:
        assert want_tag(raw(case["file"])).hex() == case["tag"]
    for case in cases["refused"]:
        with pytest.raises(RemoteProtocolError) as refusal:
            Root.parse(raw(case["file"]), raw(case["root"]))
        assert refusal.value.field == case["field"]


def test_listings():
    cases = vectors("listing.json")
    for case in cases["listings"]:
        listing = Listing.parse(raw(case["bytes"]))
        assert [[entry.path, entry.size] for entry in listing.entries] == [
            entry[:2] for entry in case["entries"]
        ]
    check_refused(cases["refused"], "bytes", Listing.parse)


def test_wants():
    cases = vectors("want.json")
    for case in cases["wants"]:
        want = Want.parse(raw(case["payload"]))
        assert (want.sealing.hex(), want.budget) == (case["sealing"], case["budget"])
        assert (want.runs and [list(run) for run in want.runs]) == case["runs"]
    for case in cases["parts"]:
        part = Part.parse(raw(case["body"]))
        assert (int(part.kind), part.part, part.data.hex()) == (
            case["kind"],
            case["part"],
            case["data"],
        )
    check_refused(cases["refused_wants"], "payload", Want.parse)
    check_refused(cases["refused_parts"], "body", Part.parse)


def test_sealed_files():
    cases = vectors("sealed_file.json")
    key, small = raw(cases["key"]), cases["small"]
    assert open_chunk(key, 0, True, raw(small["sealed"])).hex() == small["plain"]
    assert open_chunk(key, 0, True, raw(cases["empty"])) == b""
    for plain, sealed in cases["sizes"]:
        assert plain_size(sealed) == plain


def test_beacons():
    cases = vectors("beacon.json")
    for case in cases["beacons"]:
        on_lan, framed = (
            beacon.parse(raw(case["lan"])),
            beacon.parse_frame(raw(case["frame"])),
        )
        assert (on_lan.port, framed.port) == (cases["port"], 0)
        for each in (on_lan, framed):
            assert each.nonce == raw(cases["nonce"])
            assert (each.peer_id is None, each.answer) == (case["hidden"], case["answer"])
            assert each.mark == raw(case["mark"])
            assert each.is_of(raw(cases["peer_id"]))
    check_refused(cases["refused_in_a_frame"], "payload", beacon.parse_frame)


def test_short_headers():
    cases = vectors("short.json")
    connection = raw(cases["connection"])
    for case in cases["packets"]:
        data, short = raw(case["data"]), raw(case["short"])
        assert packet.shorten(data) == short
        assert packet.lengthen(short, connection, case["expected"]) == data
        assert case["counter"].to_bytes(8)[-4:] == data[5:9]
