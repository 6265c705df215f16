"""What programs may ask about a person's devices, and about backups.

A part of the facade (see facade.py for how things are named). A device is named by its number in
the list, or by the id text of its device key. Paths are of this machine and absolute.
"""

from typing import Literal, Protocol, TypeAlias

import msgspec

BackupState: TypeAlias = Literal["none", "making", "done", "failed"]


class Device(msgspec.Struct, frozen=True):
    """One device of a person here."""

    number: int
    id: str
    peer: str
    """The peer that it lives on."""
    here: bool
    """It is this very device."""
    revoked: bool
    """It is no longer the person's."""
    blocks: int
    """The blocks known here that it wrote."""
    newest: bool
    """The last of all blocks of this person came from it."""
    received: int | None
    """When its last block came here; None if there is none."""


class Devices(msgspec.Struct, frozen=True):
    """The numbered device list of a person here."""

    person: str
    nickname: str
    number: int
    listed: bool
    """Whether the list names this device: if not, it asks to be added, or was revoked."""
    key_here: bool
    """Whether this device has the person's key, and so may change the list."""
    card: str
    """The card with this list, for a device that was added, and for contacts."""
    items: list[Device]


class DeviceRequest(msgspec.Struct, frozen=True):
    """How this device asks to be listed."""

    id: str
    """To be compared on both screens."""
    uri: str


class NewDevice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device to be listed."""

    request: str
    """The `meshpeer-device:` URI that it shows."""
    person: str | None = None


class Joining(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The person whose device this one becomes."""

    card: str
    """The card that lists it."""
    person: str | None = None
    """Who of those here becomes that person."""


class WhichDevice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device that is no longer the person's."""

    device: str
    person: str | None = None


class NewBackup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a backup goes and what unlocks it."""

    path: str
    passphrase: str


class Backup(msgspec.Struct, frozen=True):
    """How far a backup is."""

    state: BackupState
    path: str = ""
    done: int = 0
    total: int = 0
    """Bytes, as known so far."""
    bytes: int = 0
    """Of the file that was made."""
    error: str = ""
    """Why it failed: the name of an error, as problems have it."""
    why: str = ""


class DeviceFacade(Protocol):
    """A running peer's devices and backups, as the API sees them."""

    async def devices(self, person: str | None = None) -> Devices:
        """List the devices of one of our persons."""
        ...

    async def device_request(self, person: str | None = None) -> DeviceRequest:
        """Give what this device shows to be listed by another."""
        ...

    async def add_device(self, new: NewDevice) -> Devices:
        """Sign and publish a list with one more device; needs the person's key."""
        ...

    async def join_person(self, joining: Joining) -> Devices:
        """Become a device of the person whose card lists this one; contacts stay."""
        ...

    async def revoke_device(self, which: WhichDevice) -> Devices:
        """Sign and publish a list without a device; its blocks up to now still count."""
        ...

    async def begin_backup(self, new: NewBackup) -> Backup:
        """Begin to write a backup; one at a time."""
        ...

    async def backup(self) -> Backup:
        """Say how far the backup is, or how the last one ended."""
        ...

    async def cancel_backup(self) -> Backup:
        """Call the backup off; an older file of its name stays as it was."""
        ...
