"""Files cross the gap: Bob, who knows neither Ann nor Carla, carries a want and its answers."""

from pathlib import Path
from random import Random

import pytest

pytestmark = pytest.mark.system
SIZE = 700_000
"""Three parts, and below what a stranger's want may cost."""


def test_a_file_that_carla_wants_comes_from_ann_whom_she_never_meets(gap, tmp_path):
    data = Random(7).randbytes(SIZE)
    path = tmp_path / "plan of the valley.pdf"
    path.write_bytes(data)
    file = gap.ann.api.post("files", body={"path": str(path)})["file"]

    gap.meet(gap.carla)
    target = tmp_path / "got.pdf"
    gap.carla.api.post("fetches", body={"what": file, "to": str(target)})
    gap.carla.hear("want", file=file, state="carried")
    gap.part(gap.carla)
    assert gap.carla.api.get("fetches", file)["want"]

    gap.meet(gap.ann)
    gap.ann.hear("want", file=file, state="handed_on")
    gap.part(gap.ann)
    held = list(gap.bob.api.all("queue"))
    assert sum(bundle["bytes"] for bundle in held) > SIZE
    assert not list(gap.bob.api.all("files")), "a carrier has no file, only sealed parts"

    gap.meet(gap.carla)
    gap.carla.hear("fetch", file=file, state="done")
    assert target.read_bytes() == data
    gap.bob.until_asked(lambda: not list(gap.bob.api.all("queue")))
    for peer in gap.peers:
        peer.stop()


def test_a_fetch_that_carla_gives_up_leaves_nothing_at_the_carrier(gap, tmp_path):
    file = _published(gap.ann, tmp_path / "film.bin", 300_000)
    gap.meet(gap.carla)
    gap.carla.api.post("fetches", body={"what": file})
    gap.carla.hear("want", file=file, state="carried")
    assert len(list(gap.bob.api.all("queue"))) == 1
    gap.carla.api.delete("fetches", file)
    gap.bob.until_asked(lambda: not list(gap.bob.api.all("queue")))


def _published(peer, path: Path, size: int) -> str:
    path.write_bytes(Random(size).randbytes(size))
    file: str = peer.api.post("files", body={"path": str(path)})["file"]
    return file
