"""The running peer does without what it doesn't need, and whoever needs it later finds it."""

import subprocess
import sys

IDLE = """
from meshpeer.cli.lean import without_spare_parts

with without_spare_parts():
    from meshpeer.api.server import Server
    from meshpeer.cli import daemon
    from meshpeer.node import log

import asyncio, sys
from pathlib import Path

from meshpeer.node import config
from meshpeer.node.node import Node
from meshpeer.node.service import Service
from meshpeer.node.state import State

SETTINGS = '[udp]\\nlisten = ["127.0.0.1"]\\nport = 0\\n[lan]\\non = false\\n'


async def idle(state):
    node = Node(state, config.parse(SETTINGS, "test"))
    try:
        await node.start()
        service = Service(node)
        server = Server(service, state)
        await server.start()
        await service.status()
        await node.durable()
        await server.close()
    finally:
        await node.close()


state = State(Path(sys.argv[1]))
state.create()
asyncio.run(idle(state))
print(*sys.modules)
"""
UNNEEDED = {
    "ssl",
    "_hashlib",
    "frozenlist._frozenlist",
    "aiohttp.client",
    "aiohttp.connector",
    "aiohttp.tracing",
    "aiohttp.web",
    "aiohttp._websocket.mask",
    "aiohttp._websocket.reader_c",
    "encodings.idna",
    "idna.core",
    "_bz2",
    "_lzma",
    "blake3",
    "importlib.metadata",
    "argparse",
    "statistics",
    "tarfile",
    "asyncinotify",
    "dateutil.parser._parser",
    "dateutil.tz.tz",
    "segno",
    "tomlkit",
    "meshpeer.node.library.mirror_folder",
    "meshpeer.node.library.publishing",
    "meshpeer.node.library.walking",
    "meshpeer.node.library.watching",
}


def run(script, *arguments):
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_what_is_hidden_in_the_block_is_found_after_it():
    script = (
        "import sys\n"
        "from meshpeer.cli.lean import without_spare_parts\n"
        "with without_spare_parts():\n"
        "    import meshpeer.cli.daemon, hashlib\n"
        "print('ssl' in sys.modules, hashlib.blake2s(b'x').hexdigest()[:4])\n"
        "import ssl, bz2, lzma, frozenlist._frozenlist; print(bool(ssl.OPENSSL_VERSION))\n"
    )
    assert run(script) == ["False", "ec30", "True"]


def test_what_is_put_off_is_there_for_whoever_wants_it():
    script = (
        "import sys\n"
        "from meshpeer.cli.lean import without_spare_parts\n"
        "with without_spare_parts():\n"
        "    import meshpeer.cli.daemon\n"
        "from sqlite_utils import recipes\n"
        "print('dateutil.tz' in sys.modules, recipes.parsedate('3 May 2020'))\n"
        "import dateutil.parser; print(dateutil.parser.parse('2020-05-03').year)\n"
    )
    assert run(script) == ["False", "2020-05-03", "2020"]


def test_a_library_that_is_had_in_parts_is_whole_for_whoever_wants_more():
    script = (
        "import sys\n"
        "from meshpeer.cli.lean import without_spare_parts\n"
        "with without_spare_parts():\n"
        "    import meshpeer.cli.daemon\n"
        "import aiohttp.web_app as part, aiohttp, idna\n"
        "assert aiohttp.__version__ == '' and aiohttp.web_app is part\n"
        "assert not {'aiohttp.client', 'idna.core'} & set(sys.modules)\n"
        "print(aiohttp.ClientSession.__module__)\n"
        "from aiohttp import web; print(web.Application is part.Application)\n"
        "print(aiohttp.__version__ != '', idna.encode('b\u00fccher').decode())\n"
        "try: aiohttp.nothing\n"
        "except AttributeError: print('none')\n"
    )
    told = ["aiohttp.client", "True", "True", "xn--bcher-kva", "none"]
    assert run(script) == told


def test_types_of_files_are_known_as_ever():
    guess = (
        "import mimetypes; print(mimetypes.guess_type('a.odt'), mimetypes._db is None)\n"
    )
    hidden = (
        "from meshpeer.cli.lean import without_spare_parts\n"
        "import mimetypes\n"
        "with without_spare_parts():\n"
        "    import meshpeer.cli.daemon\n"
        "assert mimetypes._db is None\n"
    )
    assert run(hidden + guess) == run(guess)


def test_an_idle_peer_has_not_imported_what_it_does_not_need(tmp_path):
    imported = set(run(IDLE, tmp_path / "ann"))
    assert "meshpeer.node.service" in imported
    assert UNNEEDED & imported == set()
