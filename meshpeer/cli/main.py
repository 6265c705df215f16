"""The command line's root: a table of commands, each imported only when it is called.

Errors become text here. Exit codes:

    0  done                          4  nothing by that name or id
    1  something failed              5  the database can't do it
    2  asked wrongly, or a setting   6  what was waited for did not come
       is wrong                    130  interrupted
    3  no peer runs on this folder
"""

from errno import EPIPE
from importlib import import_module
from typing import Final

import click

from meshpeer import __version__
from meshpeer.errors import MeshpeerError

INTERRUPTED: Final = 130

COMMANDS: Final = {
    "init": ("local", "Make a peer's keys and settings"),
    "run": ("run", "Run the peer in the foreground"),
    "status": ("peers", "How the peer is doing"),
    "id": ("people", "Show who you are"),
    "card": ("people", "Show your card, for others to add"),
    "add": ("people", "Add a contact from a card"),
    "contacts": ("people", "List, rename, verify, remove, block"),
    "send": ("mail", "Write a message"),
    "inbox": ("mail", "List what came in"),
    "read": ("mail", "Show a message and mark it read"),
    "delete": ("mail", "Erase messages here"),
    "outbox": ("mail", "List what you sent and what became of it"),
    "recall": ("mail", "Ask carriers to drop a message"),
    "requests": ("mail", "List, accept, refuse strangers who wrote"),
    "post": ("chains", "Publish a text for all who follow you"),
    "timeline": ("chains", "What those you follow published"),
    "record": ("chains", "Show one record whole"),
    "withdraw": ("chains", "Take back what you published"),
    "follow": ("chains", "Follow people, list whom you follow"),
    "unfollow": ("chains", "Follow somebody no more"),
    "profile": ("chains", "Show or change what people say of themselves"),
    "label": ("chains", "Rate something or warn of it, signed"),
    "publish": ("files", "Publish files and folders"),
    "unpublish": ("files", "Watch a published folder no more"),
    "get": ("fetches", "Fetch a file from whoever has it"),
    "fetches": ("fetches", "What is being fetched: pause, resume, cancel"),
    "files": ("files", "List the files that are here"),
    "file": ("files", "What is known of one file"),
    "mirror": ("files", "Keep folders equal to collections"),
    "unmirror": ("files", "Keep a folder equal no more"),
    "heed": ("find", "Let somebody's labels count, list whose do"),
    "unheed": ("find", "Let somebody's labels count no more"),
    "search": ("find", "Search what is published"),
    "searches": ("find", "Searches that go on"),
    "also": ("find", "What else those publish who have this"),
    "peers": ("peers", "List, add, remove peers"),
    "queue": ("peers", "List the bundles that this peer carries"),
    "radio": ("radio", "Radios here: list, set one up, put it back"),
    "device": ("devices", "Your devices: add, join, revoke"),
    "backup": ("backup", "Save everything in one locked file"),
    "restore": ("backup", "Make a peer from a backup"),
    "capture": ("capture", "See the air: our packets, decoded"),
    "config": ("local", "Show or change settings"),
    "log": ("local", "Show the log"),
    "check": ("local", "Check the database, repair it"),
    "service": ("service", "Run in the background with systemd"),
    "sim": ("simulate", "Simulate many peers from contact traces"),
    "demo": ("demo", "Watch a message cross a gap"),
}
ATTRIBUTES: Final = {"id": "id_"}
EXIT_CODES: Final = (
    "Exit codes: 0 done; 1 failed; 2 asked wrongly or a setting is wrong; 3 no peer runs; "
    "4 not found; 5 database; 6 what was waited for did not come; 130 interrupted."
)


class Commands(click.Group):
    """Finds commands by the table, so that one command's call imports only its own module."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give all names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"meshpeer.cli.{COMMANDS[cmd_name][0]}")
        found = getattr(module, ATTRIBUTES.get(cmd_name, cmd_name))
        assert isinstance(found, click.Command)
        return found

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; our errors become a line on stderr and an exit code."""
        try:
            return super().invoke(ctx)
        except MeshpeerError as error:
            text, code = str(error), error.exit_code
        except OSError as error:
            if error.errno == EPIPE:
                raise
            text, code = str(error), 1
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None
        from meshpeer.cli.show import safe

        click.echo(f"meshpeer: {safe(text, lines=True)}", err=True)
        raise click.exceptions.Exit(code)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help) for name, (_, help) in COMMANDS.items()])


@click.group(
    cls=Commands,
    invoke_without_command=True,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__)
@click.option("--state", metavar="FOLDER", help="The state folder; else MESHPEER_STATE.")
@click.pass_context
def root(context: click.Context, state: str | None) -> None:
    """Write, carry and share where links come and go.

    Without a command it tells what to do next.
    """
    if context.invoked_subcommand is None:
        from meshpeer.cli.advice import give_advice

        give_advice(state)


def cli() -> None:
    """Run the command line and exit with its code."""
    root(prog_name="meshpeer")
