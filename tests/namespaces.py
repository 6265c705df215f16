"""Networks for tests: namespaces of their own, joined by cables and bridges.

Nothing real is plugged in, names are unique, and `close` removes all, whatever state it is in.
"""

import ctypes
import itertools
import os
import shutil
import subprocess
from contextlib import contextmanager

import pytest

CLONE_NEWNET = 0x40000000
NO_IPV6 = "for each in all default lo; do echo 1 > /proc/sys/net/ipv6/conf/$each/disable_ipv6; done"
numbers = itertools.count()


def run(*command: str) -> str:
    """Run a program that must succeed; give what it printed."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def need_namespaces() -> None:
    """Skip the test where no namespaces can be made."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")


class Network:
    """Hosts, each a namespace, and the cables between them."""

    def __init__(self) -> None:
        self._prefix = f"mp{os.getpid()}x{next(numbers)}"
        self._namespaces: list[str] = []

    def add_namespace(self, name: str, *, ipv6: bool = True) -> str:
        """Make a host that has nothing but loopback; give its full name."""
        host = self._prefix + name
        run("ip", "netns", "add", host)
        self._namespaces.append(host)
        if not ipv6:
            self.run_in(host, "sh", "-c", NO_IPV6)
        self.ip(host, "link", "set", "lo", "up")
        return host

    def add_cable(self, one: str, its: str, other: str, others: str) -> None:
        """Join two hosts; `its` and `others` name the new interfaces, which are down."""
        run(
            *("ip", "link", "add", "name", its, "netns", one, "type", "veth"),
            *("peer", "name", others, "netns", other),
        )

    def ip(self, host: str, *command: str) -> str:
        """Run `ip` inside a host."""
        return run("ip", "-n", host, *command)

    def run_in(self, host: str, *command: str) -> str:
        """Run a program inside a host."""
        return run("ip", "netns", "exec", host, *command)

    def close(self) -> None:
        """Remove every namespace."""
        for namespace in self._namespaces:
            subprocess.run(
                ["ip", "netns", "del", namespace], check=False, capture_output=True
            )


class Bridge(Network):
    """A bridge in a namespace of its own, and hosts plugged into it."""

    def __init__(self) -> None:
        super().__init__()
        self.hosts: list[str] = []
        self.hub = self.add_namespace("hub")
        self.ip(self.hub, "link", "add", "br0", "type", "bridge")
        self.ip(self.hub, "link", "set", "br0", "up")

    def add_host(self, *addresses: str, ipv6: bool = True, up: bool = True) -> str:
        """Plug a new host into the bridge by its eth0; give its name."""
        number = len(self.hosts)
        host = self.add_namespace(f"h{number}", ipv6=ipv6)
        self.hosts.append(host)
        port = f"port{number}"
        self.add_cable(self.hub, port, host, "eth0")
        self.ip(self.hub, "link", "set", port, "master", "br0", "up")
        for address in addresses:
            self.ip(host, "address", "add", address, "dev", "eth0")
        if up:
            self.ip(host, "link", "set", "eth0", "up")
        return host


@contextmanager
def inside(namespace: str):
    """Be in a namespace for a while; sockets opened meanwhile stay there."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(descriptor: int) -> None:
        assert libc.setns(descriptor, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())

    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{namespace}") as away:
        enter(away.fileno())
        try:
            yield
        finally:
            enter(home.fileno())
