"""Test vectors of identity and formats, from fixed keys: what another implementation must give.

Byte strings are hex. `refused` lists inputs that must be refused, with the field we name. The
tests compare these with the files beside this one; `python -m tests.vectors` writes them anew,
which is a change of the protocol unless it only adds.
"""

import json
from pathlib import Path

from meshpeer.core.formats.attachment import Attachment
from meshpeer.core.formats.bundle import Bundle, Header, Priority
from meshpeer.core.formats.card import Card, Cut, Revocation
from meshpeer.core.formats.cbor import decode, encode
from meshpeer.core.formats.device_request import DeviceRequest
from meshpeer.core.formats.message import Message
from meshpeer.core.formats.receipt import ValueEntry, pack_entries, value_hashes
from meshpeer.core.identity import idtext
from meshpeer.core.identity.certificate import Certificate
from meshpeer.core.identity.keys import DeviceKey, PersonKey
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.identity.seal import Seal, destination_tag, pad, padded_size
from tests.vectors import chain
from tests.vectors.beacon import beacons
from tests.vectors.broadcast import broadcast
from tests.vectors.link import conversation
from tests.vectors.short import shorts

FOLDER = Path(__file__).parent


def seed(name):
    return name.encode().ljust(32, b".")


ADA, BOB = PersonKey(seed("ada person")), PersonKey(seed("bob person"))
ADA_SEALING, BOB_SEALING = KeyPair(seed("ada sealing")), KeyPair(seed("bob sealing"))
MESSAGE_ID = bytes(range(16))


def certificate(owner):
    return Certificate(
        DeviceKey(seed(f"{owner} device")).public,
        KeyPair(seed(f"{owner} sealing")).public,
        KeyPair(seed(f"{owner} peer")).public,
    )


def hexed(value):
    match value:
        case bytes():
            return value.hex()
        case dict():
            return {key: hexed(part) for key, part in value.items()}
        case list() | tuple():
            return [hexed(part) for part in value]
        case _:
            return value


def idtexts():
    ids = [
        bytes(32),
        b"\xff" * 32,
        bytes(range(32)),
        ADA.public,
        KeyPair(seed("ada peer")).public,
    ]
    texts = [idtext.encode(identity) for identity in ids]
    letters = texts[2].replace("-", "")
    return {
        "texts": [{"id": one, "text": text} for one, text in zip(ids, texts, strict=True)],
        "forgiven": [{"typed": f" {texts[2].upper().replace('-', ' ')}", "id": ids[2]}],
        "refused": [
            letters[:3] + letters[4] + letters[3] + letters[5:],
            letters[:-1],
            letters[:-1] + "1",
        ],
    }


def cards():
    one = Card.sign(
        ADA,
        number=1,
        nickname="Ada",
        devices=[certificate("ada")],
        hints=["udp:203.0.113.7:4711"],
    )
    two = Card.sign(
        BOB,
        number=300,
        nickname="Bob \u00df",
        devices=[certificate("bob"), certificate("bob's other")],
        hints=["udp:[2001:db8::7]:4711", "udp:node.example.org:4711", "memory:b"],
    )
    lost = certificate("bob's lost").device
    revoking = Card.sign(
        BOB,
        number=301,
        nickname="Bob \u00df",
        devices=[certificate("bob")],
        revoked=[
            Revocation(
                lost, (Cut(bytes(16), 7, bytes(range(32))), Cut(b"\xff" * 16, 1, lost))
            ),
            Revocation(certificate("bob's other").device),
        ],
    )
    parts, revoked = decode(one.to_bytes()), decode(revoking.to_bytes())
    renamed = [*parts[:3], "Eve", *parts[4:]]
    spelled = [*parts[:6], ["udp:203.0.113.7:4711"]]
    return {
        "person_private": ADA.private,
        "cards": [
            {
                "person": card.person,
                "number": card.number,
                "nickname": card.nickname,
                "devices": [device._asdict() for device in card.devices],
                "revoked": [
                    {"device": device, "logs": [log._asdict() for log in logs]}
                    for device, logs in card.revoked
                ],
                "hints": list(card.hints),
                "signature": card.signature,
                "bytes": card.to_bytes(),
                "uri": card.to_uri(),
            }
            for card in (one, two, revoking)
        ],
        "refused": [
            {"field": "signature", "bytes": encode(renamed)},
            {"field": "hint", "bytes": encode(spelled)},
            {"field": "card", "bytes": one.to_bytes() + b"\0"},
            {
                "field": "signature",
                "bytes": encode([*revoked[:5], revoked[5][:1], *revoked[6:]]),
            },
            {"field": "revocation", "bytes": encode([*revoked[:5], [], *revoked[6:]])},
            {"field": "card", "bytes": encode([2, *parts[1:5], *parts[6:]])},
        ],
    }


PHOTO = Attachment(seed("sealed photo"), 70_000, "photo.jpg", "image/jpeg", seed("its key"))


def device_requests():
    device = DeviceKey(seed("ada's other device"))
    request = DeviceRequest.sign(device, certificate("ada's other"))
    stolen = DeviceRequest.sign(device, certificate("ada"))
    return {
        "device_private": device.private,
        "requests": [
            {
                "certificate": request.certificate._asdict(),
                "signature": request.signature,
                "bytes": request.to_bytes(),
                "uri": request.to_uri(),
            }
        ],
        "refused": [
            {"field": "signature", "bytes": stolen.to_bytes()},
            {"field": "device request", "bytes": request.to_bytes() + b"\0"},
        ],
    }


def messages():
    card = Card.sign(ADA, number=1, nickname="Ada", devices=[certificate("ada")])
    cases = [
        Message("hello", lamport=1, written=1_800_000_000),
        Message(
            "\u2709 again",
            lamport=2**32 - 1,
            written=0,
            kind="note",
            reply_to=MESSAGE_ID,
            card=card.to_bytes(),
            attachments=(PHOTO,),
            unknown={9: "from a newer writer", -1: [b"\x00", None, True]},
        ),
    ]
    plain = cases[0].to_bytes(sender=ADA.public, receiver=BOB.public)
    said = encode(decode(plain) | {5: "text"})
    return {
        "sender": ADA.public,
        "receiver": BOB.public,
        "messages": [
            {
                "text": message.text,
                "lamport": message.lamport,
                "written": message.written,
                "kind": message.kind,
                "reply_to": message.reply_to,
                "card": message.card,
                "attachments": [
                    {
                        "file": attachment.file,
                        "size": attachment.size,
                        "name": attachment.name,
                        "media_type": attachment.media_type,
                        "key": attachment.key,
                        "receipt": attachment.receipt,
                    }
                    for attachment in message.attachments
                ],
                "body": message.to_bytes(sender=ADA.public, receiver=BOB.public),
            }
            for message in cases
        ],
        "refused": [
            {"field": "kind", "body": said},
            {"field": "message", "body": plain[:-1]},
        ],
    }


def header(receipt_hash, **parts):
    made = Header(
        priority=Priority.NORMAL,
        hop_limit=6,
        tag=destination_tag(BOB_SEALING.public),
        receipt_hash=receipt_hash,
        lifetime=604_800,
        hour=500_000,
        hops=2,
        age=77,
    )
    return made._replace(**parts)


def seals():
    cases = []
    for body in (b"", b"hello", bytes(range(256)) * 5):
        ephemeral = KeyPair(seed(f"ephemeral {len(body)}"))
        seal = Seal(
            sender=ADA_SEALING,
            receiver=BOB_SEALING.public,
            message_id=MESSAGE_ID,
            ephemeral=ephemeral,
        )
        immutable = header(seal.receipt_hash).immutable
        cases.append(
            {
                "ephemeral_private": ephemeral.private,
                "message_id": MESSAGE_ID,
                "body": body,
                "padded": pad(MESSAGE_ID + body),
                "receipt": seal.receipt,
                "receipt_hash": seal.receipt_hash,
                "immutable": immutable,
                "payload": seal.close(immutable, body),
            }
        )
    return {
        "sender_private": ADA_SEALING.private,
        "receiver_private": BOB_SEALING.private,
        "destination_tag": destination_tag(BOB_SEALING.public),
        "padded_sizes": [
            [n, padded_size(n)] for n in (1, 32, 33, 1024, 1025, 5000, 300_000)
        ],
        "seals": cases,
    }


def bundles():
    cases = [
        header(bytes(16)),
        header(bytes(range(16)), priority=Priority.BULK, suite=9, hops=0, age=0, hour=0),
        header(
            b"\xff" * 16,
            priority=Priority.EXPEDITED,
            lifetime=3_024_000,
            extensions=b"\x01\x02ab\x07\x00\xff\x03xyz",
        ),
    ]
    good = bytearray(Bundle.make(cases[2], b"sealed").wire)
    broken = [
        ("version", 0, 0x21),
        ("flags", 1, 3),
        ("flags", 1, 0x41),
        ("lifetime", 36, 0xFF),
        ("extensions", 3, 15),
        ("extensions", 53, 1),
    ]
    refused = [{"field": "bundle", "wire": bytes(good[:48])}]
    for field, at, value in broken:
        wire = good.copy()
        wire[at] = value
        refused.append({"field": field, "wire": bytes(wire)})
    return {
        "bundles": [
            {
                **case._asdict(),
                "immutable": case.immutable,
                "payload": b"sealed",
                "wire": Bundle.make(case, b"sealed").wire,
                "id": Bundle.make(case, b"sealed").id,
            }
            for case in cases
        ],
        "refused": refused,
    }


def receipts():
    values = [bytes(16), MESSAGE_ID]
    return {
        "values": [
            {
                "receipt": value,
                "recall": value_hashes(value)[0],
                "receipt_hash": value_hashes(value)[1],
            }
            for value in values
        ],
        "entries": pack_entries([ValueEntry(values[0], 1), ValueEntry(values[1], 840)]),
        "refused": [bytes(18), values[1] + (841).to_bytes(2), bytes(17)],
    }


FILES = {
    "idtext.json": idtexts,
    "card.json": cards,
    "device_request.json": device_requests,
    "message.json": messages,
    "seal.json": seals,
    "bundle.json": bundles,
    "receipt.json": receipts,
    "link.json": conversation,
    "short.json": shorts,
    "broadcast.json": broadcast,
    "beacon.json": beacons,
    "block.json": chain.blocks,
    "record.json": chain.records,
    "manifest.json": chain.manifests,
    "listing.json": chain.listings,
    "want.json": chain.wants,
    "sealed_file.json": chain.sealed_files,
}


def text_of(name):
    return json.dumps(hexed(FILES[name]()), indent=1, ensure_ascii=True) + "\n"


def write():
    for name in FILES:
        (FOLDER / name).write_text(text_of(name))
