"""A small process that undoes what was done when the one that did it is gone.

What a process can't do once it is killed, another does: `Guardian` forks before anything is
changed, and its child waits at a pipe. When the parent ends, in whatever way, the pipe does; the
child puts all back and removes the record. So there is one way back for every ending. The child
heeds no signal but SIGKILL. If that comes too, the record stays, for `meshpeer radio restore`.

The kernel alone takes away an interface that we made, and leaves a cell that we joined, when our
socket closes; the child need not be there for that. But the kernel neither gives an interface
its former type again nor sets it up again.
"""

import os
import signal
from contextlib import suppress
from typing import Final

from meshpeer.errors import MeshpeerError
from transports.radio.changing import Undo, put_back
from transports.radio.record import RecordFile

DEAF_TO: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)


class Guardian:
    """Stands by from now on until `dismiss`, or until this process ends."""

    def __init__(self, undo: Undo, file: RecordFile) -> None:
        reading, self._writing = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            os.close(self._writing)
            _stand_by(reading, undo, file)
        os.close(reading)

    def dismiss(self) -> bool:
        """Have all put back now, and wait for it; whether that went well."""
        os.close(self._writing)
        _, status = os.waitpid(self._child, 0)
        return status == 0


def _stand_by(pipe: int, undo: Undo, file: RecordFile) -> None:
    """Be the child: wait, undo, end. Never returns."""
    code = 1
    try:
        os.setsid()
        for number in DEAF_TO:
            signal.signal(number, signal.SIG_IGN)
        while os.read(pipe, 1):
            pass
        code = 0 if undo_and_tell(undo, file) else 1
    finally:
        os._exit(code)


def undo_and_tell(undo: Undo, file: RecordFile) -> bool:
    """Put all back and remove the record; what failed is told on stderr, and the record stays."""
    try:
        failed = put_back(undo)
    except (OSError, MeshpeerError) as error:
        failed = [str(error)]
    if not failed:
        file.remove()
    for sentence in failed:
        with suppress(OSError):
            os.write(2, f"meshpeer: {sentence}\n".encode())
    return not failed
