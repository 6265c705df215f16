"""What is udp's own: addresses, ports, runs for GSO, and interfaces that are not there."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.link.path import Datagram, Path
from meshpeer.errors import ConfigError, TransportError
from transports.interface import PathLost
from transports.udp import PORT, RUN_LIMIT, SEGMENTS_LIMIT, Udp, path_to, runs

PATHS = [path_to("192.0.2.1", 1), path_to("192.0.2.2", 1), path_to("2001:db8::1", 1)]


@pytest.mark.parametrize(
    ("host", "shortest"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("FE80::1%eth0", "fe80::1%eth0"),
    ],
)
def test_a_host_has_one_spelling(host, shortest):
    assert path_to(host, PORT) == Path("udp", (shortest, PORT))


@pytest.mark.parametrize(
    ("host", "port"), [("example.org", 1), ("", 1), ("::1", 0), ("::1", 65_536)]
)
def test_an_address_that_is_none_is_refused(host, port):
    with pytest.raises(ConfigError):
        path_to(host, port)


@given(
    st.lists(
        st.tuples(st.sampled_from(PATHS), st.sampled_from([0, 1, 700, 1_452, 9_000])),
        max_size=200,
    ),
    st.booleans(),
    st.sets(st.sampled_from(PATHS), max_size=1),
)
def test_runs_keep_the_batch_and_the_kernels_rules(shape, offload, refused):
    batch = [Datagram(path, bytes(size)) for path, size in shape]
    cut = list(runs(batch, refused if offload else None))
    assert [datagram for run in cut for datagram in run] == batch
    for run in cut:
        sizes = [len(datagram.data) for datagram in run]
        assert {datagram.path for datagram in run} == {run[0].path}
        if len(run) > 1:
            assert offload
            assert run[0].path not in refused
            assert len(run) <= SEGMENTS_LIMIT
            assert sum(sizes) <= RUN_LIMIT
            assert set(sizes[:-1]) == {sizes[0]}
            assert 0 < sizes[-1] <= sizes[0]


def test_a_burst_of_one_size_is_one_run():
    batch = [Datagram(PATHS[0], bytes(1_452))] * 40
    assert [len(run) for run in runs(batch, set())] == [40]


def test_two_peers_with_the_default_port_both_start():
    async def told():
        first, second = (Udp(listen=("127.0.0.1",)) for _ in range(2))
        first.start(print, print)
        second.start(print, print)
        assert first.port != second.port
        assert 0 not in (first.port, second.port)
        await first.close()
        await second.close()

    asyncio.run(told())


def test_both_families_share_a_free_port():
    async def told():
        udp = Udp(port=0, listen=("127.0.0.1", "::1"))
        udp.start(print, print)
        assert {sock.getsockname()[1] for sock in udp._sockets} == {udp.port}
        await udp.close()

    asyncio.run(told())


def test_an_address_of_another_machine_is_refused_with_its_name():
    async def told():
        udp = Udp(port=0, listen=("192.0.2.77",))
        with pytest.raises(TransportError, match=r"192\.0\.2\.77"):
            udp.start(print, print)

    asyncio.run(told())


def test_paths_without_an_interface_or_a_socket_are_lost_and_the_rest_goes_on():
    async def told():
        lost, heard = [], []
        done = asyncio.Event()
        udp = Udp(port=0, listen=("127.0.0.1",))
        udp.start(lambda batch: (heard.extend(batch), done.set()), lost.append)
        dead = path_to("2001:db8::1", 9)
        here = path_to("127.0.0.1", udp.port)
        assert udp.send([Datagram(dead, b"?"), Datagram(here, b"!")]) == 2
        async with asyncio.timeout(5):
            await done.wait()
        assert [event.path for event in lost] == [dead]
        assert isinstance(lost[0], PathLost)
        assert heard == [Datagram(here, b"!")]
        await udp.close()

    asyncio.run(told())


def test_an_interface_that_does_not_exist_loses_its_path():
    async def told():
        lost = []
        udp = Udp(port=0, listen=("::1",))
        udp.start(print, lost.append)
        dead = path_to("fe80::1%gone0", 9)
        assert udp.send([Datagram(dead, b"?")]) == 1
        await asyncio.sleep(0)
        assert [event.path for event in lost] == [dead]
        await udp.close()

    asyncio.run(told())


def test_offload_spares_system_calls_where_the_kernel_has_it():
    async def told():
        udp = Udp(port=0, listen=("127.0.0.1",))
        heard = []
        done = asyncio.Event()

        def deliver(batch):
            heard.extend(batch)
            if len(heard) == 40:
                done.set()

        udp.start(deliver, print)
        here = path_to("127.0.0.1", udp.port)
        assert udp.send([Datagram(here, bytes([turn]) * 1_452) for turn in range(40)]) == 40
        async with asyncio.timeout(5):
            await done.wait()
        assert [datagram.data[0] for datagram in heard] == list(range(40))
        if not udp.counters["gso refused"]:
            assert udp.counters["sends"] == 1
        await udp.close()

    asyncio.run(told())
