"""How fast a file becomes one that others can ask for: 1 GiB with its pages in memory.

In the same run, in turns, the same file with `b3sum` if that is installed, else with the library
it is made of (BLAKE3 of the whole file, mapped, on all cores). Then 2,000 files of 4 kB as one
collection, with the rows durable, and once more unchanged.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from blake3 import blake3

from meshpeer.core.file_writes import DropFile
from meshpeer.node.library.publishing import Publishing
from store.store import Store

SIZE = 1 << 30
ROUNDS = 5
FILES = 2_000


def main() -> dict[str, float]:
    """Give the medians, MB being 10^6 bytes."""
    with TemporaryDirectory(prefix="meshpeer-") as folder:
        return _large(Path(folder)) | _small(Path(folder))


def _large(folder: Path) -> dict[str, float]:
    path = folder / "large"
    with path.open("wb") as file:
        for _ in range(SIZE >> 20):
            file.write(os.urandom(1 << 20))
    store = Store(folder / "large.db")
    publishing = Publishing(store)

    def publish() -> None:
        published, changes = publishing.file(str(path))
        assert published.hashed == SIZE
        store.commit(changes.writes)
        store.commit([DropFile(published.file)])

    ours: list[float] = []
    theirs: list[float] = []
    other, name = _other(path)
    other()
    for _ in range(ROUNDS):
        ours.append(_seconds(publish))
        theirs.append(_seconds(other))
    store.close()
    path.unlink()
    rates = [SIZE / seconds / 1e6 for seconds in ours]
    print(f"{'':>10} {'median':>8} {'worst':>8}  MB/s")
    print(f"{'publish':>10} {median(rates):8.0f} {min(rates):8.0f}")
    print(f"{name:>10} {SIZE / median(theirs) / 1e6:8.0f} {SIZE / max(theirs) / 1e6:8.0f}")
    return {
        "mb_per_s": round(median(rates)),
        "worst_mb_per_s": round(min(rates)),
        "ratio_to_b3sum": round(median(theirs) / median(ours), 3),
    }


def _small(folder: Path) -> dict[str, float]:
    tree = folder / "small"
    tree.mkdir()
    for number in range(FILES):
        (tree / f"{number}").write_bytes(os.urandom(4_096))
    store = Store(folder / "small.db")
    publishing = Publishing(store)

    def publish() -> None:
        _, changes = publishing.folder(str(tree))
        store.commit(changes.writes)

    figures = {
        "small_files_s": round(_seconds(publish), 3),
        "small_files_again_s": round(_seconds(publish), 3),
    }
    store.close()
    return figures


def _other(path: Path) -> tuple[Callable[[], object], str]:
    program = shutil.which("b3sum")
    if program is not None:
        command = [program, str(path)]
        return lambda: subprocess.run(command, check=True, capture_output=True), "b3sum"
    return lambda: blake3(max_threads=blake3.AUTO).update_mmap(path).digest(), "blake3"


def _seconds(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start
