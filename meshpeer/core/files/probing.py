"""How many neighbours hold files that nobody here fetches: a search wants to know.

They are asked as for a fetch, and asked to go on telling for a minute, or until too many other
files are asked about.
"""

from typing import Final

from meshpeer.core.files.fetch import Probe
from meshpeer.core.files.swarm import Swarm

PROBE_S: Final = 60.0
"""How long neighbours are asked to tell who holds a file that nobody here fetches."""
MAX_PROBES: Final = 256


class Probing:
    """The files that are asked about and not fetched."""

    def __init__(self, swarm: Swarm) -> None:
        self._swarm = swarm
        self._probes: dict[bytes, Probe] = {}

    def holders(self, file: bytes, now: float) -> int:
        """How many neighbours hold a file as far as is known; asks them where it isn't."""
        wanted = self._swarm.wanted.get(file)
        if wanted is None:
            self._make_room()
            wanted = self._probes[file] = Probe(file, now + PROBE_S)
            self._swarm.look_for(wanted)
        elif isinstance(wanted, Probe):
            wanted.until = now + PROBE_S
        return wanted.holders

    def drop(self, file: bytes) -> None:
        """Ask no more about this file."""
        probe = self._probes.pop(file, None)
        if probe:
            self._swarm.stop_looking(probe)

    def next_wakeup(self) -> float | None:
        """When `wake` has something to do."""
        return min((probe.until for probe in self._probes.values()), default=None)

    def wake(self, now: float) -> None:
        """Ask no more about what was asked long enough."""
        for probe in list(self._probes.values()):
            if now >= probe.until:
                self.drop(probe.file)

    def _make_room(self) -> None:
        if len(self._probes) >= MAX_PROBES:
            self.drop(min(self._probes.values(), key=lambda probe: probe.until).file)
