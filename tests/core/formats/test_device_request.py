"""The request of a new device: who holds its key made it, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.formats.cbor import encode
from meshpeer.core.formats.device_request import MAX_REQUEST, SCHEME, DeviceRequest
from meshpeer.core.identity.certificate import Certificate
from meshpeer.core.identity.keys import DeviceKey
from meshpeer.core.identity.noise import KeyPair
from meshpeer.errors import RemoteProtocolError, UsageError

DEVICE = DeviceKey(b"d" * 32)
CERTIFICATE = Certificate(
    DEVICE.public, KeyPair(b"s" * 32).public, KeyPair(b"p" * 32).public
)
REQUEST = DeviceRequest.sign(DEVICE, CERTIFICATE)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_reading_undoes_writing(device, sealing):
    key = DeviceKey(device)
    certificate = Certificate(key.public, KeyPair(sealing).public, CERTIFICATE.peer)
    request = DeviceRequest.sign(key, certificate)
    assert DeviceRequest.parse(request.to_bytes()) == request
    assert DeviceRequest.read(f" {request.to_uri()}\n") == request


@given(st.binary(max_size=300))
def test_noise_gives_a_request_or_the_one_error(noise):
    try:
        request = DeviceRequest.parse(noise)
    except RemoteProtocolError:
        return
    assert request.to_bytes() == noise


@given(st.integers(0, len(REQUEST.to_bytes()) * 8 - 1))
def test_a_request_with_any_bit_changed_is_refused(bit):
    data = bytearray(REQUEST.to_bytes())
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(RemoteProtocolError):
        DeviceRequest.parse(bytes(data))


def test_nobody_asks_for_a_device_key_of_somebody_else():
    stolen = DeviceRequest.sign(DeviceKey(b"m" * 32), CERTIFICATE)
    with pytest.raises(RemoteProtocolError, match="signature"):
        DeviceRequest.parse(stolen.to_bytes())


@pytest.mark.parametrize(
    "certificate",
    [
        CERTIFICATE._replace(peer=CERTIFICATE.sealing),
        CERTIFICATE._replace(sealing=bytes(32)),
        CERTIFICATE._replace(peer=b"\xff" * 32),
    ],
    ids=["one key for two purposes", "low order", "not canonical"],
)
def test_keys_that_no_list_may_hold_are_refused_already_here(certificate):
    request = DeviceRequest.sign(DEVICE, certificate)
    with pytest.raises(RemoteProtocolError):
        DeviceRequest.parse(request.to_bytes())


@pytest.mark.parametrize(
    "parts",
    [
        [2, CERTIFICATE.pack(), REQUEST.signature],
        [True, CERTIFICATE.pack(), REQUEST.signature],
        [1, CERTIFICATE.pack(), REQUEST.signature, 0],
        [1, CERTIFICATE.pack(), b""],
        [1, b"", REQUEST.signature],
        [1, "x", REQUEST.signature],
        [1, CERTIFICATE.pack(), bytes(MAX_REQUEST)],
    ],
)
def test_another_form_is_refused(parts):
    with pytest.raises(RemoteProtocolError):
        DeviceRequest.parse(encode(parts))


@pytest.mark.parametrize(
    "text", ["", "meshpeer:abc", SCHEME, SCHEME + "!", SCHEME + "AA=="]
)
def test_what_a_person_pastes_wrongly_is_told_in_words(text):
    with pytest.raises(UsageError, match="request"):
        DeviceRequest.read(text)


def test_a_request_fits_a_qr_code_in_a_terminal():
    import segno

    code = segno.make(REQUEST.to_uri(), error="l", micro=False, boost_error=False)
    assert code.symbol_size(border=2)[0] <= 80
