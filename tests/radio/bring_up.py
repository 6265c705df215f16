"""`meshpeer radio` on real 802.11: a plain script for a machine with four hwsim radios.

Runs as root inside that machine, which it may leave in any state; prints each thing it checks,
and ends with a code above 0 at the first that fails. Python there is slow, so waiting is bounded
by minutes and ends with what is waited for.

    python -m tests.radio.bring_up [STORY...]
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from transports.adhoc.dot11 import bssid_of

PATIENCE = 150
MESHPEER = ("-P", "-m", "meshpeer")
SOMEBODY = 1000
"""A user who is not root."""


NO_NEW = (
    sys.executable,
    "-c",
    """
import runpy, sys
from transports.radio.changing import Setup
def refuse(self, plan):
    raise OSError(95, "Operation not supported")
Setup._make = refuse
sys.argv = ["meshpeer", *sys.argv[5:]]
runpy.run_module("meshpeer", run_name="__main__")
""",
)
"""Goes before a command line of ours, and stands for a driver such as the Raspberry Pi's own."""


def say(text):
    print(text, flush=True)


def check(holds, text):
    say(f"{'ok    ' if holds else 'FAILED'} {text}")
    if not holds:
        sys.exit(1)


def call(*words, prefix=(), python=sys.executable, expect=0):
    """Run `meshpeer radio ...` to its end; give stdout and stderr."""
    done = subprocess.run(
        [*prefix, python, *MESHPEER, "radio", *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != expect:
        say(done.stdout + done.stderr)
        check(False, f"radio {' '.join(words)} ends with {expect}, not {done.returncode}")
    return done.stdout, done.stderr


def kernel(*words):
    """Give what `iw` or `ip` says, or does."""
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def interfaces():
    """Give name -> (type, up) of all wireless interfaces, by tools that are not ours."""
    found = {}
    for line in kernel("iw", "dev").splitlines():
        word, *rest = line.split()
        if word == "Interface":
            name = rest[0]
        elif word == "type":
            up = ",UP" in kernel("ip", "link", "show", name)
            found[name] = (" ".join(rest), up)
    return found


class Up:
    """`radio up` in the foreground: told when it is up."""

    def __init__(self, *words, prefix=(), python=sys.executable):
        command = [*prefix, python, *MESHPEER, "radio", "up", "--json", *words]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            selector.select(PATIENCE)
        line = self.process.stdout.readline()
        if not line:
            self.process.kill()
            say(self.process.communicate()[1])
            check(False, f"radio up {' '.join(words)} comes up")
        self.told = json.loads(line)
        self.name = self.told["interface"]

    def end(self, how):
        """End it by a signal, and wait until whoever stood by has ended too (it held stderr)."""
        self.process.send_signal(how)
        said = self.process.communicate(timeout=PATIENCE)[1]
        return self.process.returncode, said


def gone(name):
    """Wait for the kernel to take an interface away: it does so a moment after the socket closed."""
    with subprocess.Popen(
        ["ip", "-o", "monitor", "link"], stdout=subprocess.PIPE, text=True
    ) as news:
        try:
            while name in interfaces():
                with selectors.DefaultSelector() as selector:
                    selector.register(news.stdout, selectors.EVENT_READ)
                    if not selector.select(5):
                        return name not in interfaces()
                news.stdout.readline()
            return True
        finally:
            news.kill()


def four_radios_are_listed():
    told = json.loads(call("list", "--json")[0])
    check(
        [one["radio"] for one in told] == ["phy0", "phy1", "phy2", "phy3"],
        "list shows 4 radios",
    )
    first = told[0]
    check(first["driver"] == "mac80211_hwsim", "their driver is named")
    check(first["modes"] == ["cell", "mesh", "monitor"], "they can be all that we want")
    check(first["channels"][:11] == list(range(1, 12)), "channels 1 to 11 can be used")
    check(
        36 in first["listen_only"], "where no country is set, channel 36 is for listening"
    )
    names = [one["interfaces"][0]["name"] for one in told]
    check(names == ["wlan0", "wlan1", "wlan2", "wlan3"], "each has its interface")
    text = call()[0]
    check("cell, mesh, monitor" in text, "and people can read it")
    say(text)


def a_cell_comes_and_goes():
    before = interfaces()
    up = Up("wlan0", "--cell")
    check(up.told["way"] == "beside", "a cell is made beside what is there")
    check(interfaces()[up.name] == ("IBSS", True), "iw calls it IBSS, ip calls it up")
    check("2412" in kernel("iw", "dev", up.name, "info"), "it is on channel 1")
    told = json.loads(call("status", "--json")[0])
    check(
        told[0]["name"] == up.name and told[0]["kept_by"] == up.process.pid,
        "status shows it",
    )
    code, said = up.end(signal.SIGINT)
    check(code == 0, f"Ctrl-C ends it well: {said.strip()!r}")
    check(interfaces() == before, "all is as it was")
    check(not list(Path("/run/meshpeer-radio").iterdir()), "no record is left")


def two_cells_that_begin_together_are_one():
    one, other = Up("wlan0"), Up("wlan1")
    ids = {kernel("iw", "dev", up.name, "link").split()[2] for up in (one, other)}
    check(ids == {bssid_of("meshpeer").hex(":")}, f"both are in cell {ids}")
    stations = heard(one.name)
    address = Path(f"/sys/class/net/{other.name}/address").read_text().strip()
    check(address in stations, "status of one shows the other as a station")
    check(stations[address]["signal_dbm"] is not None, "with its signal")
    say(call("status")[0])
    for up in (one, other):
        check(up.end(signal.SIGTERM)[0] == 0, "SIGTERM ends it well")


def heard(name):
    """Give the stations that `status` shows, once there is one: cells beacon ten times a second."""
    for _ in range(20):
        told = json.loads(call("status", "--json")[0])
        found = next(one["stations"] for one in told if one["name"] == name)
        if found:
            break
    return {one["address"]: one for one in found}


def a_killed_one_leaves_all_as_it_was():
    before = interfaces()
    up = Up("wlan0", "--cell")
    up.end(signal.SIGKILL)
    check(gone(up.name), "after kill -9 the kernel takes the cell away")
    check(interfaces() == before, "all is as it was")
    check(not list(Path("/run/meshpeer-radio").iterdir()), "no record is left")


def set_down_and_put_back():
    kernel("ip", "link", "set", "wlan2", "up")
    before = interfaces()
    said = call("up", "wlan2", "--monitor", expect=2)[1]
    check("--yes" in said and "wlan2" in said, f"what is up is asked for: {said.strip()!r}")
    up = Up("wlan2", "--monitor", "--yes")
    check(up.told["way"] == "instead", "what can't be beside a monitor is set down")
    check(not interfaces()["wlan2"][1], "wlan2 is down meanwhile")
    up.end(signal.SIGKILL)
    check(interfaces() == before, "after kill -9 wlan2 is up again")
    kernel("ip", "link", "set", "wlan2", "down")


def a_type_that_changed_is_put_back():
    """As for a radio whose driver makes no new interface for a cell: such orders are refused."""
    kernel("ip", "link", "set", "wlan2", "up")
    before = interfaces()
    for how, word in ((signal.SIGTERM, "SIGTERM"), (signal.SIGKILL, "kill -9")):
        up = Up("wlan2", "--cell", "--yes", prefix=NO_NEW)
        check(up.told["way"] == "changed", "without new interfaces, wlan2 is changed")
        check(interfaces()["wlan2"] == ("IBSS", True), "wlan2 is a cell")
        up.end(how)
        check(interfaces() == before, f"after {word} it is what it was")
    up = Up("wlan2", "--cell", "--yes", prefix=NO_NEW)
    record = json.loads(Path("/run/meshpeer-radio/wlan2.json").read_text())
    guardian = int(kernel("pgrep", "-P", str(record["pid"])).split()[0])
    os.kill(guardian, signal.SIGKILL)
    up.end(signal.SIGKILL)
    check(
        interfaces()["wlan2"][0] == "IBSS",
        "with the guardian killed too, it is left changed",
    )
    told = json.loads(call("restore", "--json")[0])
    check(told == ["wlan2"] and interfaces() == before, "`radio restore` puts it back")
    check(
        call("restore", "--json")[0].strip() == "[]",
        "and has nothing to do the second time",
    )
    kernel("ip", "link", "set", "wlan2", "down")


def a_mesh():
    before = interfaces()
    one, other = Up("wlan1", "--mesh"), Up("wlan3", "--mesh", "--network", "meshpeer")
    check(interfaces()[one.name][0] == "mesh point", "iw calls it mesh point")
    config = kernel("iw", "dev", one.name, "get", "mesh_param", "mesh_fwding")
    check(config.split()[-1] == "0", "the kernel doesn't pass on what is for others")
    address = Path(f"/sys/class/net/{other.name}/address").read_text().strip()
    stations = heard(one.name)
    check(address in stations, f"they hear each other, the link is {stations}")
    out, _ = call("down", one.name)
    check(one.name in out, "`radio down` ends one")
    code, _ = one.end(signal.SIGTERM)
    check(code == 0, "its process ended well")
    other.end(signal.SIGKILL)
    check(gone(other.name), "the other is gone by kill -9")
    check(interfaces() == before, "all is as it was")


def a_monitor():
    before = interfaces()
    up = Up("wlan1", "--monitor", "--channel", "6")
    check(interfaces()[up.name] == ("monitor", True), "iw calls it monitor")
    check("2437" in kernel("iw", "dev", up.name, "info"), "it is on channel 6")
    up.end(signal.SIGKILL)
    check(gone(up.name) and interfaces() == before, "after kill -9 all is as it was")


def one_that_is_taken_away():
    before = interfaces()
    up = Up("wlan1", "--cell")
    kernel("iw", "dev", up.name, "del")
    said = up.process.communicate(timeout=PATIENCE)[1]
    check(up.process.returncode == 1, f"one that is taken away is told: {said.strip()!r}")
    check(interfaces() == before, "all is as it was")


def what_is_refused():
    said = call("up", "wlan0", "--channel", "13", expect=2)[1]
    check("only listening" in said and "country" in said, f"channel 13: {said.strip()!r}")
    said = call("up", "wlan0", "--channel", "52", expect=2)[1]
    check("radar" in said, f"channel 52: {said.strip()!r}")
    said = call("up", "wlan9", expect=4)[1]
    check("wlan3" in said, f"no such radio: {said.strip()!r}")
    kernel("ip", "link", "set", "wlan0", "up")
    kernel("ip", "address", "add", "192.0.2.1/24", "dev", "wlan0")
    kernel("ip", "route", "add", "default", "dev", "wlan0")
    check(interfaces()["wlan0"][1], "wlan0 carries the default route")
    for mode in ("--monitor", "--cell"):
        said = call("up", "wlan0", mode, "--yes", expect=2)[1]
        check("--take-default-route wlan0" in said, f"and is refused: {said.strip()!r}")
    told = json.loads(call("list", "--json")[0])
    check(told[0]["interfaces"][0]["default_route"], "list says so")
    up = Up("--monitor")
    check(up.told["radio"] == "phy1", "where any radio will do, another is taken")
    up.end(signal.SIGTERM)
    up = Up("wlan0", "--monitor", "--yes", "--take-default-route", "wlan0")
    check(up.told["set_down"] == ["wlan0"], "named plainly, it is taken")
    up.end(signal.SIGTERM)
    check(interfaces()["wlan0"][1], "and up again afterwards")
    kernel("ip", "link", "set", "wlan0", "down")
    kernel("ip", "address", "flush", "dev", "wlan0")


def switched_off():
    (switch,) = Path("/sys/class/ieee80211/phy3").glob("rfkill*/soft")
    switch.write_text("1")
    said = call("up", "phy3", expect=1)[1]
    check("rfkill unblock" in said, f"a radio that is off: {said.strip()!r}")
    switch.write_text("0")


def with_capabilities_only():
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, SOMEBODY, SOMEBODY)
        # Python may lie where only root looks; so it is mounted elsewhere, for this process only.
        mounted = ("unshare", "-m", "sh", "-c", 'mount --bind "$0" /mnt && exec "$@"')
        user = (f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups")
        home = (
            f"HOME={folder}",
            f"MESHPEER_STATE={folder}",
            f"PYTHONPATH={path_of_modules()}",
        )

        def somebody(*may):
            prefix = (*mounted, sys.base_prefix, "setpriv", *user, *may, "env", *home)
            return {"prefix": prefix, "python": "/mnt/bin/python3"}

        said = call("up", "wlan0", **somebody(), expect=1)[1]
        check("CAP_NET_ADMIN" in said, f"without any right: {said.strip()!r}")
        told = json.loads(call("list", "--json", **somebody())[0])
        check(len(told) == 4, "but anybody may list")
        caps = "+net_admin,+net_raw"
        may = somebody(f"--inh-caps={caps}", f"--ambient-caps={caps}")
        before = interfaces()
        up = Up("wlan0", "--cell", **may)
        check(interfaces()[up.name] == ("IBSS", True), "with two capabilities a user may")
        up.end(signal.SIGKILL)
        check(gone(up.name) and interfaces() == before, "after kill -9 all is as it was")


def path_of_modules():
    """Give where this Python finds ours and those that we need."""
    return ":".join(
        [os.getcwd(), *(path for path in sys.path if path.endswith("-packages"))]
    )


STORIES = (
    four_radios_are_listed,
    a_cell_comes_and_goes,
    two_cells_that_begin_together_are_one,
    a_killed_one_leaves_all_as_it_was,
    set_down_and_put_back,
    a_type_that_changed_is_put_back,
    a_mesh,
    a_monitor,
    one_that_is_taken_away,
    what_is_refused,
    switched_off,
    with_capabilities_only,
)


def main(wanted):
    for story in STORIES:
        if not wanted or story.__name__ in wanted:
            say(f"\n{story.__name__.replace('_', ' ')}")
            story()


if __name__ == "__main__":
    main(sys.argv[1:])
