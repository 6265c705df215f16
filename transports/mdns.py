"""The service `_meshpeer._udp` by zeroconf, for networks that pass nothing but mDNS.

It is the slow way: 1.2 s from start to found, where a beacon takes 1 ms. So it comes last, and
`zeroconf` is imported only once the first beacons are out. It carries the very same beacon, as
the TXT value "b", so that a hidden peer is as hidden here; instance and host name are made
of the nonce.

zeroconf sees no change of interfaces by itself and fails where there is no address yet: one
task here waits for addresses, opens it, and tells it of every change.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Final

from meshpeer.core.formats.beacon import Beacon, parse
from meshpeer.core.link.path import Path
from meshpeer.errors import ConfigError, RemoteProtocolError
from transports.netlink import Local
from transports.udp import path_to

if TYPE_CHECKING:
    from zeroconf import ServiceInfo, ServiceStateChange, Zeroconf
    from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

SERVICE: Final = "_meshpeer._udp.local."
TXT_BEACON: Final = b"b"
RESOLVE_MS: Final = 3_000
GOODBYE_S: Final = 1.0
"""Longest wait for the goodbyes to go out when we stop."""
RESOLVING_AT_ONCE: Final = 32
"""Services looked up at the same time; a LAN that names more is flooding."""


class Mdns:
    """Announces one beacon by mDNS and tells of those of others."""

    def __init__(
        self, tell: Callable[[Beacon, Path], object], counters: Counter[str]
    ) -> None:
        self._tell, self._counters = tell, counters
        self._wanted: tuple[Beacon, frozenset[Local]] | None = None
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None
        self._info: ServiceInfo | None = None

    def announce(self, beacon: Beacon, addresses: frozenset[Local]) -> None:
        """From now on, say this beacon on the interfaces of these addresses."""
        self._wanted = beacon, addresses
        self._changed.set()

    def start(self) -> None:
        """Begin, as soon as there is an address."""
        self._spawn(self._run())

    async def close(self) -> None:
        """Say goodbye and stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._browser is not None:
            await self._browser.async_cancel()
        if self._zeroconf is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await self._zeroconf.async_close()
        self._browser = self._zeroconf = None

    async def _run(self) -> None:
        """Bring zeroconf in line with what is wanted, each time that it changes."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._wanted is None or not self._wanted[1]:
                continue
            try:
                await self._follow(*self._wanted)
            except (OSError, RuntimeError) as error:
                self._counters[f"mdns: {type(error).__name__}"] += 1

    async def _follow(self, beacon: Beacon, addresses: frozenset[Local]) -> None:
        # The import takes a third of a second on a Raspberry Pi: not in the loop's time.
        await asyncio.to_thread(import_module, "zeroconf.asyncio")
        from zeroconf import IPVersion
        from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

        interfaces: list[str | int] = sorted(each.host for each in addresses)
        if self._zeroconf is None:
            self._zeroconf = AsyncZeroconf(interfaces=interfaces, ip_version=IPVersion.All)
            self._browser = AsyncServiceBrowser(
                self._zeroconf.zeroconf, SERVICE, handlers=[self._seen]
            )
        else:
            await self._zeroconf.async_update_interfaces(interfaces)
        info = service(beacon, addresses)
        if self._info is not None and self._info.name == info.name:
            await self._zeroconf.async_update_service(info)
        else:
            if self._info is not None:
                await self._zeroconf.async_unregister_service(self._info)
            await self._zeroconf.async_register_service(info, strict=False)
        self._info = info

    def _seen(
        self,
        zeroconf: "Zeroconf",
        service_type: str,
        name: str,
        state_change: "ServiceStateChange",
    ) -> None:
        """Hear of one service from zeroconf, which names the arguments so."""
        if self._info is not None and name == self._info.name:
            return
        if state_change.name == "Removed":
            return  # links notice by themselves
        if len(self._tasks) > RESOLVING_AT_ONCE:
            self._counters["mdns: too many"] += 1
            return
        self._spawn(self._resolve(name))

    async def _resolve(self, name: str) -> None:
        assert self._zeroconf is not None
        info = await self._zeroconf.async_get_service_info(SERVICE, name, RESOLVE_MS)
        if info is None:
            self._counters["mdns: unresolved"] += 1
            return
        try:
            beacon = parse(info.properties.get(TXT_BEACON) or b"")
            for host in map(_with_interface_name, info.parsed_scoped_addresses()):
                if "%" in host or not host.startswith("fe80:"):
                    self._tell(beacon, path_to(host, beacon.port))
        except (RemoteProtocolError, ConfigError) as error:
            self._counters[f"mdns: {type(error).__name__}"] += 1

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def service(beacon: Beacon, addresses: frozenset[Local]) -> "ServiceInfo":
    """Make the service that says this beacon."""
    from zeroconf import ServiceInfo

    label = f"meshpeer-{beacon.nonce.hex()}"
    return ServiceInfo(
        SERVICE,
        f"{label}.{SERVICE}",
        port=beacon.port,
        server=f"{label}.local.",
        properties={TXT_BEACON: beacon.encode()},
        addresses=[
            socket.inet_pton(socket.AF_INET6 if each.is_ipv6 else socket.AF_INET, each.host)
            for each in sorted(addresses)
        ],
    )


def _with_interface_name(host: str) -> str:
    """Name the interface behind a link-local address, where zeroconf gives its number."""
    address, _, scope = host.partition("%")
    if not scope.isdigit():
        return host
    try:
        return f"{address}%{socket.if_indextoname(int(scope))}"
    except OSError:
        return address
