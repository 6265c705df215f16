"""The laws of the formats: decode undoes encode; noise gives a value or the one error."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.link import frames, packet
from meshpeer.core.link.cookie import CookieJar, open_cookie
from meshpeer.core.link.handshake import Parameters, parse_payload
from meshpeer.core.link.path import Path
from meshpeer.core.link.ranges import Ranges
from meshpeer.core.link.stream import ReceiveStream
from meshpeer.errors import RemoteProtocolError

KEY = packet.mac1_key(bytes(32))
ids = st.binary(min_size=4, max_size=4)
macs = st.binary(min_size=16, max_size=16)


@st.composite
def descending_ranges(draw):
    """Half-open ranges, newest first, with gaps between them."""
    cuts = sorted(draw(st.sets(st.integers(0, 5_000), min_size=2, max_size=60)))
    pairs = list(zip(cuts[::2], cuts[1::2], strict=False))
    apart = [pairs[0]]
    for start, end in pairs[1:]:
        if start > apart[-1][1]:
            apart.append((start, end))
    return apart[::-1]


@given(descending_ranges(), st.integers(0, 2**40), st.floats(0, 1))
def test_an_ack_says_what_was_received(ranges, base, delay):
    ranges = [(start + base, end + base) for start, end in ranges]
    wire = frames.ack(ranges, delay)
    read, read_delay, at = frames.parse_ack(wire, 0, ranges[0][1] + 7)
    assert read == ranges
    assert abs(read_delay - delay) <= frames.DELAY_UNIT
    assert at == len(wire)


@given(st.binary(max_size=200), st.integers(0, 2**33))
def test_noise_gives_an_ack_or_a_protocol_error(noise, sent):
    try:
        ranges, _, at = frames.parse_ack(noise, 0, sent)
    except RemoteProtocolError:
        return
    assert at <= len(noise)
    assert all(0 <= start < end <= sent for start, end in ranges)
    flat = [number for start, end in ranges for number in (end, start)]
    assert flat == sorted(set(flat), reverse=True)


@given(
    st.integers(0, 65_535),
    st.integers(0, 2**50),
    st.binary(max_size=100),
    st.booleans(),
    st.booleans(),
)
def test_a_stream_frame_comes_back(number, offset, data, fin, sized):
    wire = frames.stream(number, offset, data, fin=fin, sized=sized)
    assert frames.parse_stream(wire, 0) == (number, offset, data, fin, len(wire))
    assert len(wire) - len(data) <= frames.STREAM_OVERHEAD


@given(st.binary(min_size=1, max_size=100))
def test_noise_gives_a_stream_or_a_close_or_a_protocol_error(noise):
    for parse in (frames.parse_stream, frames.parse_close):
        try:
            *_, at = parse(noise, 0)
        except RemoteProtocolError:
            continue
        assert at <= len(noise)


@given(st.text())
def test_a_reason_comes_back_cut_and_printable(reason):
    read, at = frames.parse_close(frames.close(reason), 0)
    assert read.isprintable()
    assert at <= 2 + frames.REASON_LIMIT


@given(ids, st.binary(min_size=96, max_size=300), st.none() | macs)
def test_an_initiation_comes_back_for_who_has_the_key(sender, noise, cookie):
    wire = packet.initiation(sender, noise, KEY, cookie)
    first = packet.parse_initiation(wire, KEY)
    assert (first.version, first.sender, first.noise) == (packet.VERSION, sender, noise)
    assert first.mac2 == (packet.mac(cookie, wire[:-16]) if cookie else bytes(16))


@given(ids, ids, st.binary(min_size=48, max_size=300))
def test_a_response_comes_back_for_who_has_the_key(sender, receiver, noise):
    wire = packet.response(sender, receiver, noise, KEY)
    answer = packet.parse_response(wire, KEY)
    assert answer == packet.Response(packet.VERSION, sender, receiver, noise)


@given(st.binary(max_size=300))
def test_noise_is_no_packet(noise):
    for parse in (packet.parse_initiation, packet.parse_response):
        try:
            parse(noise, KEY)
        except RemoteProtocolError:
            continue
        raise AssertionError("mac1 was guessed")


@given(st.binary(max_size=70))
def test_noise_is_a_cookie_or_versions_or_refused(noise):
    try:
        cookie = packet.parse_cookie(noise)
        assert packet.cookie(*cookie)[1:] == noise[1:]
    except RemoteProtocolError:
        assert len(noise) != 61
    try:
        receiver, versions = packet.parse_versions(noise)
        assert packet.versions(receiver, versions)[1:] == noise[1:]
    except RemoteProtocolError:
        assert not 6 <= len(noise) <= 21


@given(
    st.binary(min_size=8, max_size=8), st.integers(0, 2**32 - 1), st.binary(max_size=999)
)
def test_parameters_come_back_with_early_data(instance, window, early):
    parameters = Parameters(instance, window, window // 2)
    assert parse_payload(parameters.encode() + early) == (parameters, early)


@given(st.binary(max_size=1_200))
def test_noise_is_parameters_or_a_protocol_error(noise):
    try:
        parameters, early = parse_payload(noise)
    except RemoteProtocolError:
        return
    assert noise.startswith(parameters.encode()[:16])
    assert noise.endswith(early)


@given(macs, macs)
def test_a_cookie_opens_only_for_the_packet_that_asked(mac1, other):
    static = KeyPair(bytes(range(32)))
    jar = CookieJar(static.public, now=0.0, rng=bytes)
    first = packet.Initiation(1, b"abcd", b"noise", b"signed", mac1, bytes(16))
    path = Path("udp", ("192.0.2.1", 1))
    reply = packet.parse_cookie(jar.reply(first, path, 1.0))
    cookie = open_cookie(reply, static.public, mac1)
    shown = first._replace(mac2=packet.mac(cookie, b"signed" + mac1))
    assert jar.valid(shown, path, 100.0)
    assert not jar.valid(first, path, 100.0)
    assert not jar.valid(shown, Path("udp", ("192.0.2.2", 1)), 100.0)
    if other != mac1:
        try:
            open_cookie(reply, static.public, other)
        except RemoteProtocolError:
            return
        raise AssertionError("opened for another packet")


@given(st.lists(st.integers(0, 60), max_size=120), st.integers(0, 60))
def test_ranges_behave_like_a_set(numbers, floor):
    ranges, model = Ranges(), set()
    for number in numbers:
        assert ranges.add(number) == (number not in model)
        model.add(number)
    assert ranges.next == (max(model) + 1 if model else 0)
    flat = {n for start, end in ranges.below(99, 99) for n in range(start, end)}
    assert flat == model
    pairs = list(zip(ranges.starts, ranges.ends, strict=True))
    assert all(a[1] < b[0] for a, b in pairwise(pairs))
    ranges.trim(floor)
    assert all((n in ranges) == (n in model or n < floor) for n in range(62))


@given(st.binary(min_size=1, max_size=120), st.data())
def test_a_stream_comes_together_from_pieces_in_any_order(whole, data):
    stream = ReceiveStream(0, 1_000)
    spans = st.tuples(st.integers(0, len(whole)), st.integers(0, len(whole)))
    pieces = data.draw(st.lists(spans, max_size=30))
    read = b""
    for start, end in [*pieces, (0, len(whole))]:
        stream.receive(start, whole[start:end], end == len(whole) and start <= end)
        read += stream.read(data.draw(st.integers(0, 50)))
    read += stream.read(1_000)
    assert read == whole
    assert stream.finished
    assert not stream.early
    assert not stream.offsets
