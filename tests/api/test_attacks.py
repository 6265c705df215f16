"""What anybody on this machine, or a page in a browser, can send to the loopback port."""

import socket

import pytest

from tests.api.running import running

NOISE = (
    b"NOT HTTP AT ALL\r\n\r\n",
    b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET /status HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"\x1b[2J" * 5_000 + b"\r\n\r\n",
)


@pytest.mark.parametrize("noise", NOISE, ids=range(len(NOISE)))
def test_malformed_requests_are_refused_and_leave_no_line_anywhere(
    noise, tmp_path, caplog, capfd
):
    with (
        running(tmp_path, loopback=True) as peer,
        socket.create_connection(("127.0.0.1", peer.server.loopback_port), 5) as sock,
    ):
        sock.sendall(noise)
        assert sock.recv(1_000).split()[1] == b"400"
    assert caplog.records == []
    assert capfd.readouterr().err == ""
