"""`meshpeer run`: the peer itself, in the foreground; `service` runs the same in the background."""

import click

from meshpeer.cli.command import Session, command
from meshpeer.cli.lean import without_spare_parts


@command("meshpeer run --nickname ann")
@click.option(
    "--nickname", help="What others see, at the first start; else your login name."
)
def run(session: Session, nickname: str | None) -> None:
    """Run the peer in the foreground until Ctrl-C; makes keys and settings at the first start.

    With --json one line on stdout says when it is ready.
    """
    with without_spare_parts():
        from meshpeer.cli.daemon import keep_running
        from meshpeer.cli.local import make_state
        from meshpeer.node import config, log

    made = make_state(session.state, nickname)
    with session.state.locked():
        settings = config.load(session.state.config)
        log.start(session.state.log, settings.log_level, foreground=True)
        if made:
            session.say(f"A new peer was made; its keys are in {session.state.keys}.")
        keep_running(session, settings)
