"""Test vectors of chains and files: blocks, records, manifests, listings, wants, sealed files."""

from struct import pack

from blake3 import blake3

from meshpeer.core.chains.messages import Join, Joined
from meshpeer.core.chains.messages import pack as pack_message
from meshpeer.core.formats.block import (
    MAX_LAMPORT,
    MAX_SEQUENCE,
    NO_BLOCK,
    Block,
    path,
    skip_of,
)
from meshpeer.core.formats.cbor import decode, encode
from meshpeer.core.formats.listing import Entry, Listing
from meshpeer.core.formats.manifest import (
    CHUNK,
    MAX_FILE,
    Manifest,
    chunk_hash,
    chunk_size_for,
    want_tag,
)
from meshpeer.core.formats.record import (
    Collection,
    Devices,
    File,
    FileRef,
    Follow,
    Key,
    Label,
    Post,
    Profile,
    Unknown,
    Withdraw,
)
from meshpeer.core.formats.sealed_file import SLICE, seal_chunk, sealed_size
from meshpeer.core.formats.want import PAGE0, ROOT, Kind, Part, Want
from meshpeer.core.identity.keys import DeviceKey, PersonKey
from meshpeer.core.identity.noise import KeyPair

LOG = bytes(range(16))
ID = bytes(range(32))
WRITTEN = 1_800_000_000


def seed(name):
    return name.encode().ljust(32, b".")


ADA, ADA_DEVICE = PersonKey(seed("ada person")), DeviceKey(seed("ada device"))
ONE_TIME = KeyPair(seed("one time"))


def log_of(height):
    """The blocks of a log by sequence; nothing stands at 0."""
    made, ids = [None], [NO_BLOCK]
    for sequence in range(1, height + 1):
        made.append(
            Block.sign(
                ADA_DEVICE,
                person=ADA.public,
                log=LOG,
                sequence=sequence,
                lamport=MAX_LAMPORT if sequence == height else 2 * sequence,
                previous=ids[-1],
                skip=ids[skip_of(sequence)],
                body=Post(f"post {sequence}", written=WRITTEN + sequence).to_bytes(),
            )
        )
        ids.append(made[-1].id)
    return made


def signed_anyway(block, **parts):
    """The block's header after a change, signed by its device."""
    places = {"version": (0, 1), "suite": (1, 1), "sequence": (82, 8), "lamport": (90, 8)}
    places |= {"previous": (98, 32), "skip": (130, 32), "body_size": (194, 4)}
    signed = bytearray(block.header.to_bytes()[:198])
    for name, value in parts.items():
        at, size = places[name]
        signed[at : at + size] = value if isinstance(value, bytes) else value.to_bytes(size)
    return bytes(signed) + ADA_DEVICE.sign(b"meshpeer/block/1", bytes(signed))


def join_of(log, first, last):
    """The frames that ask for a proof, give it, and say that it can't be given."""
    asked = Join(ADA_DEVICE.public, LOG, first, last)
    headers = tuple(log[n].header for n in path(last, first))
    return {
        "first": first,
        "last": last,
        "join": pack_message(asked),
        "joined": pack_message(Joined(*asked, headers)),
        "not_held": pack_message(Joined(*asked, ())),
    }


def blocks():
    log = log_of(14)
    good = log[8]
    changed = bytearray(good.header.to_bytes())
    changed[-1] ^= 1
    other = good.header.to_bytes()
    broken = [
        ("version", {"version": 2}),
        ("version", {"suite": 2}),
        ("sequence", {"sequence": 0}),
        ("sequence", {"sequence": 2**64 - 1}),
        ("sequence", {"sequence": MAX_SEQUENCE + 1}),
        ("lamport", {"lamport": MAX_LAMPORT + 1}),
        ("previous", {"sequence": 1}),
        ("previous", {"previous": NO_BLOCK}),
        ("skip", {"skip": good.header.previous}),
        ("skip", {"skip": NO_BLOCK}),
        ("body", {"body_size": 0}),
        ("body", {"body_size": 32_769}),
    ]
    return {
        "device_private": ADA_DEVICE.private,
        "blocks": [
            {
                **block.header._asdict(),
                "header": block.header.to_bytes(),
                "body": block.body,
            }
            for block in (log[1], log[2], log[4], log[8], log[13], log[14])
        ],
        "skips": [[n, skip_of(n)] for n in (*range(1, 42), 121, 1_000_000, MAX_SEQUENCE)],
        "paths": [
            {"newer": newer, "older": older, "path": path(newer, older)}
            for newer, older in [(1, 1), (40, 1), (100, 3), (1_000_000, 12_345)]
        ],
        "joins": [join_of(log, first, last) for first, last in ((1, 14), (3, 13), (5, 6))],
        "refused": [
            *(
                {"field": field, "header": signed_anyway(good, **parts)}
                for field, parts in broken
            ),
            {"field": "block", "header": other[:-1]},
            {"field": "signature", "header": bytes(changed)},
        ],
    }


def records():
    cases = [
        Profile("Ada", "writes programs", ID, written=WRITTEN),
        Post("hello", written=0),
        Post(
            "\u2709 again",
            ID,
            ("bridge", "\u00fcber"),
            "pt-BR",
            (FileRef(ID, 7, "map.png", "image/png"),),
            written=WRITTEN,
        ),
        File(ID, MAX_FILE, "a b.txt", "text/plain", ("x",), "words", "en", written=1),
        Collection("photos", ID, 1_000, 12, 2**53 - 1, ("x",), "words", "en", written=1),
        Withdraw(ID, written=1),
        Follow(ID, following=False, written=1),
        Label(ID, "person", -2, "loud", "words", written=1),
        Devices(b"a card", written=1),
        Key(ONE_TIME.public, 3, written=1),
        Unknown(99, {2: "from a newer author", -1: [b"\x00", None, True]}, 1),
        Post("hello", written=1, unknown={20: "from a newer author"}),
    ]
    post, file = decode(cases[1].to_bytes()), decode(cases[3].to_bytes())
    return {
        "records": [
            {
                "type": type(case).__name__,
                "kind": decode(case.to_bytes())[0],
                "body": case.to_bytes(),
            }
            for case in cases
        ],
        "refused": [
            {"field": "text", "body": encode(post | {2: "a\x1b[2J"})},
            {"field": "text", "body": encode(post | {2: ""})},
            {"field": "tags", "body": encode(post | {4: []})},
            {"field": "tags", "body": encode(post | {4: ["a", "a"]})},
            {"field": "language", "body": encode(post | {5: "english"})},
            {"field": "written", "body": encode(post | {1: -1})},
            {"field": "kind", "body": encode(post | {0: 2**32})},
            {"field": "name", "body": encode(file | {4: "../a"})},
            {"field": "name", "body": encode(file | {4: "\u202egpj.exe"})},
            {"field": "size", "body": encode(file | {3: 2**60})},
            {"field": "record", "body": encode([0, 1])},
            {"field": "record", "body": cases[1].to_bytes()[:-1]},
        ],
    }


def content(size):
    """The bytes 0 to 250, over and over."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def manifest_of(size):
    """Of a file whose chunk hashes are BLAKE3's output of any length, of its size in decimal."""
    count = -(-size // chunk_size_for(size))
    return Manifest(size, blake3(str(size).encode()).digest(length=32 * count))


def of_content(size):
    data = content(size)
    chunks = [data[at : at + CHUNK] for at in range(0, size, CHUNK)]
    return Manifest(size, b"".join(map(chunk_hash, chunks)))


def roots(**parts):
    said = {"version": 1, "levels": 1, "exponent": 18, "size": CHUNK, "hashes": bytes(32)}
    said |= parts
    root = pack(">BBBQ", *list(said.values())[:4]) + said["hashes"]
    return {"file": chunk_hash(root), "root": root}


def manifests():
    large = [manifest_of(size) for size in (1_024 * CHUNK + 1, 2**34 + 1, MAX_FILE)]
    return {
        "of_content": [
            {"size": size, "root": of_content(size).root, "file": of_content(size).id}
            for size in (0, 1, CHUNK, CHUNK + 1, 3 * CHUNK)
        ],
        "of_hashes": [
            {
                "size": manifest.size,
                "chunk_size": manifest.chunk_size,
                "chunks": manifest.count,
                "pages": len(manifest.pages),
                "root": manifest.root,
                "file": manifest.id,
            }
            for manifest in large
        ],
        "want_tags": [{"file": ID, "tag": want_tag(ID)}],
        "refused": [
            {"field": "size", **roots(size=2**60)},
            {"field": "size", **roots(size=2**60, exponent=44, levels=2)},
            {"field": "chunk size", **roots(exponent=19)},
            {"field": "levels", **roots(levels=2)},
            {"field": "root", **roots(hashes=bytes(64))},
            {"field": "root", **roots(hashes=b"")},
            {"field": "version", **roots(version=2)},
            {"field": "root", "file": ID, "root": roots()["root"]},
        ],
    }


def listings():
    entries = [
        Entry("README", 0, ID),
        Entry("bin/run", 2**40, bytes(32), True, WRITTEN),
        Entry("bin/\u00fcber.txt", 1, b"\xff" * 32, False, 253_402_300_799),
    ]
    bad = [
        "../x",
        "/etc/passwd",
        "a//b",
        "a/./b",
        "a\\b",
        "a\0b",
        "\u202eb",
        "CON.txt",
        "a.",
    ]
    bad += [".meshpeer/x", "d/" * 64 + "f", "n" * 256]
    together = [["A", "a"], ["a", "a/b"], ["a/x", "A/y"], ["e\u0301", "\u00e9"], ["b", "b"]]
    return {
        "listings": [
            {"entries": made.entries, "bytes": made.to_bytes()}
            for made in (Listing.of([]), Listing.of(entries))
        ],
        "refused": [
            {"field": "path", "paths": paths, "bytes": _listing(sorted(paths))}
            for paths in [*([one] for one in bad), *together]
        ],
    }


def _listing(paths):
    return encode([[path, 1, ID, False, 0] for path in paths])


def wants():
    cases = [
        Want(ONE_TIME.public, 1_048_576),
        Want(ONE_TIME.public, 2**40, ((0, 3), (5, 1), (PAGE0, 2), (ROOT, 1))),
    ]
    parts = [Part(Kind.ANSWER, ID, 7, b"chunk"), Part(Kind.PIECE, ID, ROOT, b"root")]
    plain = decode(cases[1].to_bytes())
    part = decode(parts[0].to_bytes())
    return {
        "wants": [
            {
                "sealing": case.sealing,
                "budget": case.budget,
                "runs": case.runs,
                "payload": case.to_bytes(),
            }
            for case in cases
        ],
        "parts": [
            {
                "kind": int(case.kind),
                "file": case.file,
                "part": case.part,
                "data": case.data,
                "body": case.to_bytes(),
            }
            for case in parts
        ],
        "refused_wants": [
            {"field": "runs", "payload": encode([*plain[:3], [5, 1, 0, 1]])},
            {"field": "runs", "payload": encode([*plain[:3], [0, 1, 1, 1]])},
            {"field": "runs", "payload": encode([*plain[:3], []])},
            {"field": "budget", "payload": encode([*plain[:2], 0, None])},
            {"field": "version", "payload": encode([2, *plain[1:]])},
        ],
        "refused_parts": [
            {"field": "kind", "body": encode(part | {0: 4})},
            {"field": "data", "body": encode(part | {3: b""})},
            {"field": "part", "body": encode(part | {2: 2**32})},
        ],
    }


def sealed_files():
    key = seed("file key")
    small = content(5)
    return {
        "key": key,
        "sizes": [[n, sealed_size(n)] for n in (0, 1, SLICE, SLICE + 1, 2**34)],
        "small": {"plain": small, "sealed": seal_chunk(key, 0, True, small)},
        "empty": seal_chunk(key, 0, True, b""),
        "chunks": [
            {
                "index": index,
                "last": last,
                "hash": chunk_hash(seal_chunk(key, index, last, content(SLICE))),
            }
            for index, last in [(0, False), (0, True), (1, False), (65_535, True)]
        ],
    }
