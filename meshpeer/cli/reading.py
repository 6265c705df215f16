"""Waiting for a peer that reads files: how far it is, and Ctrl-C that calls it off."""

import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import click

from meshpeer.cli import show
from meshpeer.cli.command import Session
from meshpeer.errors import NotFoundError

LOOK_S: Final = 0.3
"""What takes less is shown nothing of."""


class Asking(threading.Thread):
    """A call that takes long; `over` is set once its answer or its error is there."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self._error: BaseException | None = None
        self._answer: Any = None
        self.over = threading.Event()

    def run(self) -> None:
        """Call."""
        try:
            self._answer = self._call()
        except BaseException as error:
            self._error = error
        self.over.set()

    @property
    def failed(self) -> bool:
        """Whether it raised an error."""
        return self._error is not None

    def answer(self) -> Any:  # noqa: ANN401
        """Give what was answered, or raise what was raised."""
        self.over.wait()
        if self._error is not None:
            raise self._error
        return self._answer


def post_reading(
    session: Session, paths: Sequence[str], *path: str, body: dict[str, Any]
) -> Any:  # noqa: ANN401
    """Post what makes the peer read these files, and show on stderr how far it is."""
    api = session.api
    if not paths:
        return api.post(*path, body=body)
    asking = Asking(lambda: api.post(*path, body=body, patient=True))
    asking.start()
    try:
        if not asking.over.wait(LOOK_S):
            _show(session, asking, paths)
    except KeyboardInterrupt:
        for each in paths:
            with suppress(NotFoundError):
                api.delete("readings", path=each)
        raise
    return asking.answer()


def _show(session: Session, asking: Asking, paths: Sequence[str]) -> None:
    names = ", ".join(show.safe(path.rpartition("/")[2]) for path in paths)
    with click.progressbar(
        length=1,
        label=f"reading {names}",
        file=sys.stderr,
        item_show_func=lambda text: text,
        show_eta=False,
    ) as bar:
        before = 0
        while not asking.over.wait(LOOK_S):
            items = session.api.get("readings")["items"]
            found = [each for each in items if each["path"] in paths]
            done = sum(each["done"] for each in found)
            bar.length = max(sum(each["total"] for each in found), 1)
            bar.pos = min(bar.pos, done)
            bar.update(max(done - bar.pos, 0), _how(found, (done - before) / LOOK_S))
            before = done
        if not asking.failed:
            bar.update(max((bar.length or 0) - bar.pos, 0), "")


def _how(found: list[dict[str, Any]], rate: float) -> str:
    if not found:
        return ""
    if not any(each["total"] for each in found):
        return "waits for its turn"
    total = show.size(sum(each["total"] for each in found))
    return f"of {total}, {show.size(max(rate, 0))}/s"
