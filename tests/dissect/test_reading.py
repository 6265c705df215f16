"""Files are read whoever wrote them, and whatever is in them; what is recorded can be read again."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner
from scapy.layers.dot11 import RadioTap
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import PcapNgWriter, wrpcap

from meshpeer.cli.main import root
from meshpeer.dissect import MeshKiss
from meshpeer.dissect.reading import FILE_HEAD, Recording, Seen, of_file
from meshpeer.errors import MeshpeerError
from tests.dissect.heard import FIRST, HEAD, ON_AIR, PACKETS

MUTATIONS = int(os.environ.get("MESHPEER_MUTATIONS", "2000")) // 10
ROOT = Path(__file__).parents[2]
MEMORY = 600 << 20


def on_udp(data):
    return Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=6374, dport=6374) / data


@pytest.fixture
def recorded(tmp_path):
    """A capture of what two peers said to each other."""
    path = tmp_path / "seen.pcap"
    wrpcap(str(path), [on_udp(Raw(data)) for data in PACKETS])
    return path


def shown(*args):
    return CliRunner().invoke(root, ["capture", *map(str, args)])


def test_a_file_is_told_a_packet_a_line(recorded):
    lines = shown(recorded).stdout.splitlines()
    assert len(lines) == len(PACKETS)
    assert "10.0.0.1:6374 > 10.0.0.2:6374  INITIATION of" in lines[0]
    assert "RESPONSE of" in lines[1]
    assert "DATA to" in lines[2]


def test_for_programs_each_line_is_an_object(recorded):
    lines = shown(recorded, "--json").stdout.splitlines()
    first = json.loads(lines[0])
    assert first["mac1"] == FIRST[-32:-16].hex()
    assert {json.loads(each)["via"] for each in lines} == {"udp"}


def test_only_so_many_if_asked(recorded):
    assert len(shown(recorded, "--count", 2).stdout.splitlines()) == 2


def test_what_is_not_ours_is_left_out(tmp_path):
    path, ours = tmp_path / "mixed.pcap", on_udp(Raw(FIRST))
    other = Ether() / IP(dst="10.0.0.2") / UDP(sport=53, dport=53) / Raw(b"other")
    wrpcap(str(path), [other, ours, other])
    target = tmp_path / "ours.pcap"
    assert len(shown(path, "--write", target).stdout.splitlines()) == 1
    assert [seen.raw for seen in of_file(str(target))] == [bytes(ours)]
    again = shown(path, "--write", target)
    assert again.exit_code == 2
    assert "there already" in again.stderr


def test_pcapng_and_all_link_types(tmp_path):
    on_serial = MeshKiss(b"\0\xff\xff\0\1" + HEAD + FIRST)
    for packet in (on_udp(Raw(FIRST)), RadioTap(ON_AIR), on_serial):
        for suffix, writer in (("pcap", wrpcap), ("pcapng", write_ng)):
            path = tmp_path / f"{type(packet).__name__}.{suffix}"
            writer(str(path), [packet])
            (line,) = shown(path).stdout.splitlines()
            assert "INITIATION" in line, path


def write_ng(path, packets):
    with PcapNgWriter(path) as writer:
        for packet in packets:
            writer.write(packet)


def test_a_recording_has_one_link_type(tmp_path):
    recording = Recording(str(tmp_path / "one.pcap"))
    recording.add(Seen(1.5, "mon0", RadioTap, ON_AIR))
    recording.add(Seen(1.6, "eth0", Ether, bytes(on_udp(Raw(FIRST)))))
    recording.close()
    assert recording.left_out == 1
    (read,) = of_file(recording.path)
    assert (read.at, read.layer, read.raw) == (1.5, RadioTap, ON_AIR)
    assert os.stat(recording.path).st_mode & 0o777 == 0o600


def test_a_recording_of_nothing_is_a_file_too(tmp_path):
    Recording(str(tmp_path / "none.pcap")).close()
    assert list(of_file(str(tmp_path / "none.pcap"))) == []


HUGE = struct.pack("<IIII", 1, 1, 0xFFFFFFFF, 0xFFFFFFFF)
HOSTILE = {
    "empty": b"",
    "text": b"this is no capture\n" * 10,
    "only a head": FILE_HEAD.pack(0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1),
    "a huge record": FILE_HEAD.pack(0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1) + HUGE,
    "no link type": FILE_HEAD.pack(0xA1B2C3D4, 2, 4, 0, 0, 65_535, 147)
    + struct.pack("<IIII", 1, 1, 4, 4)
    + b"abcd",
    "a huge block": struct.pack("<III", 0x0A0D0D0A, 0xFFFFFFF0, 0x1A2B3C4D) + bytes(16),
    "a block of nothing": struct.pack("<III", 0x0A0D0D0A, 0, 0x1A2B3C4D) + bytes(64),
    "compressed noise": b"\x1f\x8b\x08\0" + bytes(60),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_or_hold_nothing(tmp_path, name):
    path = tmp_path / "hostile.pcap"
    path.write_bytes(HOSTILE[name])
    done = shown(path)
    assert done.exit_code in (0, 2), done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert done.stdout == ""


def test_broken_captures_end_in_an_error_of_ours_or_well(tmp_path, recorded):
    sound, rng = recorded.read_bytes()[:4_000], Random(4)
    path = tmp_path / "broken.pcap"
    outcomes = {True: 0, False: 0}
    for _ in range(MUTATIONS):
        broken = bytearray(sound)
        for _ in range(rng.randrange(1, 6)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        path.write_bytes(broken[: rng.randrange(1, len(broken))])
        try:
            outcomes[True] += sum(1 for _ in of_file(str(path))) >= 0
        except MeshpeerError:
            outcomes[False] += 1
    assert outcomes[True]


def test_a_file_that_promises_gigabytes_takes_no_memory(tmp_path):
    path = tmp_path / "huge.pcap"
    path.write_bytes(HOSTILE["a huge record"] + bytes(1_000))
    script = (
        "import resource, sys;"
        f"resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}));"
        "from meshpeer.cli.main import root;"
        f"root(['capture', {str(path)!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 2), done.stderr
    assert "Traceback" not in done.stderr


def test_what_cannot_be_asked_says_so(tmp_path, recorded):
    assert "there is no" in shown(tmp_path / "none.pcap").stderr
    assert shown(recorded, "-i", "lo").exit_code == 2


def test_without_scapy_the_error_says_what_to_install(tmp_path):
    script = (
        "import sys; sys.modules['scapy'] = None;"
        "from meshpeer.cli.main import root;"
        "root(['capture', 'x.pcap'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install 'meshpeer[radio]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_needs_no_scapy():
    script = (
        "import sys; from meshpeer.cli.main import root;"
        "root(['capture', '--help'], standalone_mode=False); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "scapy" not in done.stdout.split("meshpeer.cli.capture")[-1].split()
