"""Settings: one TOML file, checked whole at the start, written so that comments stay.

The structs below are the documentation, the checker and the list of what `meshpeer config` can
set: each field says in its description what is allowed. An unknown name is an error, for a
misspelt setting that is silently ignored looks like one that doesn't work.
"""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    TypeAlias,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
from msgspec import Meta

from meshpeer.core.formats.card import nickname_fault
from meshpeer.core.link.slow import LONG_S
from meshpeer.errors import ConfigError, NotFoundError
from meshpeer.node.durable import write_file

MIB: Final = 1024 * 1024
TABLES: Final = ("peers", "transports")
_ADHOC: Final = (
    "# [transports.adhoc]",
    '# interfaces = ["mesh0"]',
    '# serial = [{port = "/dev/ttyUSB0", baud = 9600, rate = 1200}]',
)
"""What one value can't set."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file."""


Port: TypeAlias = Annotated[int, Meta(ge=0, le=65535)]


class Udp(Section, frozen=True):
    """Where datagrams are taken."""

    listen: Annotated[
        list[str], Meta(description="addresses of this machine; [] listens nowhere")
    ] = msgspec.field(default_factory=lambda: ["0.0.0.0", "::"])
    port: Annotated[Port, Meta(description="0 to 65535; 0 takes any free one")] = 6374


class Lan(Section, frozen=True):
    """Finding peers on the local network."""

    on: Annotated[bool, Meta(description="true or false")] = True
    interfaces: Annotated[
        list[str],
        Meta(description="names such as eth0; [] takes all but VPNs and tunnels"),
    ] = msgspec.field(default_factory=list)


class Api(Section, frozen=True):
    """The API on 127.0.0.1, beside the one on the Unix socket that is always there."""

    loopback: Annotated[
        bool, Meta(description="true or false; clients need the file `token` in the folder")
    ] = False
    port: Annotated[Port, Meta(description="0 to 65535; 0 takes any free one")] = 4780


class Queue(Section, frozen=True):
    """What is carried, for others and for people here."""

    bytes: Annotated[
        int, Meta(ge=MIB, description=f"at least {MIB} (1 MiB); what the disk may give")
    ] = 1024 * MIB


class Chains(Section, frozen=True):
    """Whose chains are kept, and how much of each."""

    person_bytes: Annotated[
        int,
        Meta(ge=MIB, description="at least 1048576; kept of each whom you follow"),
    ] = 256 * MIB
    near_persons: Annotated[
        int,
        Meta(ge=0, le=10_000, description="0 to 10000; kept of those your contacts follow"),
    ] = 128
    near_bytes: Annotated[
        int, Meta(ge=0, description="kept of each of those, the newest")
    ] = 2 * MIB
    pass_questions: Annotated[
        bool,
        Meta(description="true or false: pass on what neighbours search for, one hop"),
    ] = False


class Files(Section, frozen=True):
    """Files that are fetched and served."""

    folder: Annotated[
        str, Meta(description="where fetched files go; empty: `files` in the state folder")
    ] = ""
    keep_free: Annotated[
        int, Meta(ge=0, description="bytes of the disk that fetching leaves free")
    ] = 256 * MIB
    serve: Annotated[
        bool, Meta(description="true or false: give neighbours what is held here")
    ] = True
    serve_rate: Annotated[
        int, Meta(ge=0, description="bytes a second given to all together; 0: no limit")
    ] = 0
    serve_hours: Annotated[
        str,
        Meta(
            pattern=r"^$|^([01]?\d|2[0-3])-([01]?\d|2[0-4])$",
            description="such as 22-6: only in these hours; empty: always",
        ),
    ] = ""
    slow_limit_s: Annotated[
        float,
        Meta(
            ge=0,
            description="seconds that a file may keep a link busy, unless asked for --slow",
        ),
    ] = LONG_S
    metered: Annotated[
        list[str],
        Meta(description="interfaces such as wwan0 where no files are fetched or served"),
    ] = msgspec.field(default_factory=list)


class StaticPeer(Section, frozen=True):
    """A peer to connect to whenever it can be reached."""

    id: Annotated[str, Meta(description="a peer id, as `meshpeer status` shows it")]
    address: Annotated[
        str, Meta(description="host:port or [IPv6]:port; what another transport reads")
    ]
    transport: Annotated[str, Meta(description="udp, or one of [transports.NAME]")] = "udp"


class Config(Section, frozen=True):
    """Everything that can be set."""

    nickname: Annotated[
        str,
        Meta(description="1 to 64 bytes that others see; up to 16 keep a card small"),
    ] = "somebody"
    visible: Annotated[
        bool, Meta(description="true or false: show the peer id in beacons on the LAN")
    ] = True
    log_level: Annotated[
        Literal["error", "warning", "info", "debug"],
        Meta(description="error, warning, info or debug"),
    ] = "warning"
    udp: Udp = Udp()
    lan: Lan = Lan()
    api: Api = Api()
    queue: Queue = Queue()
    chains: Chains = Chains()
    files: Files = Files()
    peers: Annotated[
        list[StaticPeer], Meta(description="tables [[peers]] with id and address")
    ] = msgspec.field(default_factory=list)
    transports: Annotated[
        dict[str, dict[str, Any]],
        Meta(description="a table [transports.NAME] for each further transport to use"),
    ] = msgspec.field(default_factory=dict)


def load(path: Path) -> Config:
    """Read the file, or give the defaults if there is none; ConfigError names what is wrong."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} can't be read: {error}") from error
    return parse(text, str(path))


def parse(text: str, name: str) -> Config:
    """Check a file's text; `name` is what errors call it."""
    try:
        config = msgspec.convert(tomllib.loads(text), Config)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name} is not TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {_plain(str(error))}") from error
    if fault := nickname_fault(config.nickname):
        raise ConfigError(f"{name}: nickname: {config.nickname!r} {fault}")
    return config


def settings(config: Config) -> Iterator[tuple[str, Any, str]]:
    """Give every setting that one value can set: dotted key, value, what is allowed."""
    for key, (_, description) in _fields(Config).items():
        value: Any = config
        for part in key.split("."):
            value = getattr(value, part)
        yield key, value, description


def get(config: Config, key: str) -> object:
    """Give one setting by its dotted key."""
    for name, value, _ in settings(config):
        if name == key:
            return value
    raise _unknown(key)


def put(path: Path, key: str, text: str) -> object:
    """Write one setting into the file, all else untouched, and give its value.

    Lists are given with commas. A value that is not allowed leaves the file as it was.
    """
    import tomlkit

    fields = _fields(Config)
    if key not in fields:
        raise _unknown(key)
    kind, description = fields[key]
    try:
        value = _value(kind, text)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"{key}: {text!r} is not allowed; allowed: {description}"
        ) from error
    before = path.read_text() if path.exists() else ""
    parse(before, str(path))
    document = tomlkit.parse(before)
    *sections, last = key.split(".")
    table: Any = document
    for section in sections:
        table = table.setdefault(section, tomlkit.table())
    table[last] = value
    after = tomlkit.dumps(document)
    parse(after, str(path))
    write_file(path, after.encode(), 0o600)
    return value


def template(nickname: str) -> str:
    """Give a first file: the nickname set, everything else there as a comment."""
    import tomlkit

    lines = ["# Settings of this peer. `meshpeer config list` explains each."]
    section = ""
    for key, value, description in settings(Config()):
        *sections, last = key.split(".")
        if sections and sections[0] != section:
            section = sections[0]
            lines += ["", f"[{section}]"]
        mark, shown = ("", nickname) if key == "nickname" else ("# ", value)
        lines += [f"# {description}", f"{mark}{last} = {tomlkit.item(shown).as_string()}"]
    lines += ["", "# [[peers]]", '# id = "..."', '# address = "192.0.2.7:6374"']
    lines += [
        "",
        "# Radios, cables without IP, modems; RADIO.md tells of them.",
        *_ADHOC,
        "",
    ]
    return "\n".join(lines)


def _value(kind: type, text: str) -> object:
    if get_origin(get_args(kind)[0]) is list:
        return [part.strip() for part in text.strip("[] ").split(",") if part.strip()]
    return msgspec.convert(text, kind, strict=False)


def _fields(struct: type[Section], prefix: str = "") -> Mapping[str, tuple[Any, str]]:
    found: dict[str, tuple[Any, str]] = {}
    for name, hint in get_type_hints(struct, include_extras=True).items():
        if isinstance(hint, type) and issubclass(hint, Section):
            found |= _fields(hint, f"{name}.")
        elif name not in TABLES:
            found[prefix + name] = hint, _description(hint)
    return found


def _description(hint: type) -> str:
    return next((m.description for m in reversed(get_args(hint)[1:]) if m.description), "")


def _plain(text: str) -> str:
    """Turn msgspec's words (`... - at `$.udp.port``) into ours, with what is allowed."""
    problem, _, place = text.partition(" - at ")
    key = place.strip("`").removeprefix("$").strip(".")
    if "unknown field" in problem:
        return f"{key + ': ' if key else ''}{problem[0].lower()}{problem[1:]}"
    _, description = _fields(Config).get(key, (None, ""))
    allowed = f"; allowed: {description}" if description else ""
    return f"{key}: {problem[0].lower()}{problem[1:]}{allowed}"


def _unknown(key: str) -> NotFoundError:
    if key.startswith("transports."):
        return NotFoundError(f"{key!r} is set in config.toml only, by hand; see RADIO.md")
    return NotFoundError(f"no setting {key!r}; there are {', '.join(_fields(Config))}")
