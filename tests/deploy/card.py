"""Images like Raspberry Pi OS's, as small as they may be: a FAT partition with a cmdline.txt."""

import struct
import subprocess

SECTOR = 512
START = 8192 * SECTOR
"""Where Raspberry Pi OS's boot partition begins."""
SIZE = 48 << 20


def boot_partition(folder, line):
    """Make a FAT file system, alone in a file."""
    path = folder / "boot.img"
    with path.open("wb") as empty:
        empty.truncate(SIZE)
    subprocess.run(["mkfs.vfat", "-F", "32", path], check=True, capture_output=True)
    (folder / "line").write_text(f"{line}\n")
    copied = ["mcopy", "-i", path, folder / "line", "::/cmdline.txt"]
    subprocess.run(copied, check=True)
    return path


def image(folder, line):
    """Make an image with a table of partitions, of which the first is that file system."""
    path = folder / "card.img"
    entry = struct.pack("<B3xB3xII", 0, 0x0C, START // SECTOR, SIZE // SECTOR)
    table = (bytes(446) + entry).ljust(SECTOR - 2, b"\0") + b"\x55\xaa"
    path.write_bytes(table.ljust(START, b"\0") + boot_partition(folder, line).read_bytes())
    return path
