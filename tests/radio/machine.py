"""A virtual machine that has what test machines lack: 802.11 radios.

QEMU boots Debian's kernel over this machine's own files, read-only and under an overlay that is
thrown away, so that whatever is installed here runs there. The kernel's mac80211_hwsim makes
radios that hear each other, with all of mac80211 above them: real frames, real ad-hoc cells, real
meshes. The processor is emulated, for KVM is seldom to be had where tests run; Python is about
ten times slower there, as on a Raspberry Pi Zero.

    sudo python -m tests.radio.machine fetch              gets the kernel, once
    python -m tests.radio.machine run 4 -- iw dev         runs a command beside four radios

Files that the guest writes are lost; what it prints comes back with its exit code.
"""

import contextlib
import gzip
import lzma
import os
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

CACHE: Final = (
    Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "meshpeer-radio"
)
PROGRAMS: Final = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "depmod": "kmod",
    "iw": "iw",
}
"""What has to be here, and Debian's package that has it."""
BOOT_MODULES: Final = ("9p", "9pnet_virtio", "virtio_pci", "overlay")
"""What reaches this machine's files; everything else is loaded from there."""
GUEST_MODULES: Final = ("veth", "tun", "af_packet")
MEMORY: Final = "2048"
INIT: Final = """#!/busybox sh
/busybox mkdir -p /proc /sys /dev /lower /over /root /tell
/busybox mount -t proc proc /proc
/busybox mount -t sysfs sysfs /sys
/busybox mount -t devtmpfs dev /dev
for module in /modules/*; do /busybox insmod $module; done
share=trans=virtio,version=9p2000.L,msize=262144
/busybox mount -t 9p -o $share,ro,cache=loose files /lower
/busybox mount -t tmpfs over /over
/busybox mkdir /over/upper /over/work
/busybox mount -t overlay -o lowerdir=/lower,upperdir=/over/upper,workdir=/over/work all /root
/busybox mkdir -p /root/mnt
/busybox mount -t 9p -o $share tell /root/mnt
"""
PLAIN: Final = """
for kept in proc sys dev; do /busybox mount --move /$kept /root/$kept; done
/busybox mkdir -p /root/dev/pts /root/dev/shm
/busybox mount -t devpts pts /root/dev/pts
/busybox mount -t tmpfs shm /root/dev/shm
/busybox mount -t tmpfs run /root/run
/busybox chroot /root /bin/sh /mnt/run
"""
SYSTEMD: Final = """
/busybox cp /root/mnt/guest.service /root/etc/systemd/system/guest.service
for unit in systemd-tmpfiles-setup.service systemd-tmpfiles-setup-dev.service; do
  /busybox ln -sf /dev/null /root/etc/systemd/system/$unit
done
echo 3ddc5f6c3ff04a0e9d3b7b6c2a7d51ee > /root/etc/machine-id
/busybox umount /proc /sys
exec /busybox switch_root /root /lib/systemd/systemd --unit=guest.service
"""
UNIT: Final = """
[Unit]
Requires=basic.target
After=basic.target
[Service]
ExecStart=/bin/sh /mnt/run
"""
RUN: Final = """
/bin/sh /mnt/guest > /mnt/printed 2>&1
echo $? > /mnt/code
sync
busybox poweroff -f
"""


class Ran(NamedTuple):
    """What a command did in the machine; the code is None if it was not done in time."""

    code: int | None
    printed: str


def missing() -> str:
    """Say why no such machine can be had here; empty if it can."""
    if os.uname().machine != "x86_64":
        return "the radio machine is made for x86_64"
    absent = [package for name, package in PROGRAMS.items() if not shutil.which(name)]
    if absent:
        return f"radios need Debian's packages {' '.join(absent)}"
    if not kernel().exists():
        return "radios need a kernel: sudo python -m tests.radio.machine fetch"
    return ""


def kernel() -> Path:
    """The folder with the kernel, as Debian's package has it."""
    return CACHE / "kernel"


def fetch() -> None:
    """Get Debian's kernel; needs apt, and root where apt's lists are missing."""
    if kernel().exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], check=True)
    depends = _output("apt-cache", "depends", "linux-image-amd64")
    package = next(
        line.split()[-1] for line in depends.splitlines() if "Depends: linux-image" in line
    )
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        os.chmod(folder, 0o755)  # apt downloads as a user of its own
        subprocess.run(["apt-get", "download", "-qq", package], cwd=folder, check=True)
        (archive,) = Path(folder).glob("*.deb")
        tree = Path(folder, "tree")
        subprocess.run(["dpkg-deb", "-x", archive, tree], check=True)
        subprocess.run(["depmod", "-b", tree, _version(tree)], check=True)
        tree.rename(kernel())


def run(
    command: Sequence[str | Path],
    *,
    radios: int = 0,
    patience: float = 300.0,
    modules: Sequence[str] = (),
    systemd: bool = False,
) -> Ran:
    """Boot, run a command as root in this folder, switch off; `patience` is in seconds.

    With `systemd` it runs beside the services of a whole Debian, as far as that is installed.
    """
    with tempfile.TemporaryDirectory(prefix="radio-machine") as folder:
        tell = Path(folder, "tell")
        tell.mkdir()
        guest = _guest(command, radios, (*GUEST_MODULES, *modules))
        (tell / "guest").write_text(guest)
        (tell / "run").write_text(RUN)
        (tell / "guest.service").write_text(UNIT)
        initrd = Path(folder, "initrd")
        initrd.write_bytes(
            gzip.compress(_initrd(INIT + (SYSTEMD if systemd else PLAIN)), 1)
        )
        console = Path(folder, "console")
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                _qemu(initrd, tell, console),
                check=True,
                timeout=patience,
                stdin=subprocess.DEVNULL,
            )
        printed, code = tell / "printed", tell / "code"
        said = printed.read_text(errors="replace") if printed.exists() else ""
        if not code.exists():
            last = console.read_text(errors="replace")[-2000:] if console.exists() else ""
            return Ran(None, f"{said}\nnot done within {patience:g} s; console: {last}")
        return Ran(int(code.read_text()), said)


def _guest(command: Sequence[str | Path], radios: int, modules: Sequence[str]) -> str:
    """The script that the machine runs once the files are there."""
    load = f"modprobe -d {kernel()}"
    lines = [
        f"export HOME=/root LANG=C.UTF-8 PATH={shlex.quote(os.environ['PATH'])}",
        "ip link set lo up",
        "mkdir -p /run/netns",
        "mountpoint -q /sys/kernel/debug || mount -t debugfs debug /sys/kernel/debug",
        *(f"{load} {module} || exit 97" for module in modules),
    ]
    if radios:
        lines.append(f"{load} mac80211_hwsim radios={radios} || exit 98")
    lines.append(f"cd {shlex.quote(str(Path.cwd()))}")
    lines.append(f"exec {shlex.join(map(str, command))}")
    return "\n".join(lines) + "\n"


def _qemu(initrd: Path, tell: Path, console: Path) -> list[str]:
    boot = kernel() / "boot" / f"vmlinuz-{_version(kernel())}"
    share = "local,security_model=none,multidevs=remap"
    return [
        *("qemu-system-x86_64", "-accel", "tcg,thread=multi"),
        *("-cpu", "max", "-smp", "2", "-m", MEMORY, "-nic", "none", "-display", "none"),
        *("-kernel", str(boot), "-initrd", str(initrd), "-no-reboot"),
        *("-append", "console=ttyS0 quiet loglevel=3 panic=-1 no_timer_check"),
        *("-serial", f"file:{console}"),
        *("-virtfs", f"{share},path=/,mount_tag=files,readonly=on"),
        *("-virtfs", f"{share},path={tell},mount_tag=tell"),
    ]


def _initrd(init: str) -> bytes:
    """What the kernel starts from: busybox, the modules that reach the files, and INIT."""
    files = {
        "init": (init.encode(), 0o755),
        "busybox": (Path(shutil.which("busybox") or "").read_bytes(), 0o755),
    }
    for number, path in enumerate(_in_order(BOOT_MODULES)):
        files[f"modules/{number:02}.ko"] = (_module(path), 0o644)
    return _archive(files)


def _in_order(names: Sequence[str]) -> list[Path]:
    """These modules and what they need, each after what it needs."""
    root = kernel() / "lib" / "modules" / _version(kernel())
    needs = {}
    for line in (root / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
    by_name = {Path(path).name.split(".")[0].replace("-", "_"): path for path in needs}
    ordered: dict[str, None] = {}
    for name in names:
        path = by_name[name]
        ordered |= dict.fromkeys([*reversed(needs[path]), path])
    return [root / path for path in ordered]


def _module(path: Path) -> bytes:
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def _archive(files: dict[str, tuple[bytes, int]]) -> bytes:
    """A cpio archive in the form `newc`, which the kernel unpacks."""
    folders = {str(Path(name).parent) for name in files} - {"."}
    entries = [(name, b"", stat.S_IFDIR | 0o755) for name in sorted(folders)]
    entries += [(name, data, stat.S_IFREG | mode) for name, (data, mode) in files.items()]
    return b"".join(_entries([*entries, ("TRAILER!!!", b"", 0)]))


def _entries(entries: Sequence[tuple[str, bytes, int]]) -> Iterator[bytes]:
    for number, (name, data, mode) in enumerate(entries, 1):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08x" % field for field in fields)
        yield _padded(head + name.encode() + b"\0")
        yield _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _version(tree: Path) -> str:
    (folder,) = (tree / "lib" / "modules").iterdir()
    return folder.name


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["fetch"]:
            fetch()
        case ["run", count, "--", *wanted] if wanted:
            ran = run(wanted, radios=int(count))
            print(ran.printed, end="")
            sys.exit(1 if ran.code is None else ran.code)
        case _:
            sys.exit(
                "usage: python -m tests.radio.machine fetch | run RADIOS -- COMMAND..."
            )
