"""The API's operations on devices and backups."""

from typing import Final

from meshpeer.api.route import Call, Checked, Route
from meshpeer.node.device_facade import (
    Backup,
    DeviceRequest,
    Devices,
    Joining,
    NewBackup,
    NewDevice,
    WhichDevice,
)


class WhosePerson(Checked, frozen=True):
    """Who, where several people live here."""

    person: str | None = None


async def list_devices(call: Call) -> Devices:
    """List the devices of a person here."""
    return await call.facade.devices(call.query.person)


async def get_device_request(call: Call) -> DeviceRequest:
    """Give what this device shows to be listed by another."""
    return await call.facade.device_request(call.query.person)


async def add_device(call: Call) -> Devices:
    """Put a device on the list; needs the person's key."""
    return await call.facade.add_device(call.body)


async def join_person(call: Call) -> Devices:
    """Become a device of the person whose card lists this one."""
    return await call.facade.join_person(call.body)


async def revoke_device(call: Call) -> Devices:
    """Take a device off the list for good."""
    return await call.facade.revoke_device(call.body)


async def begin_backup(call: Call) -> Backup:
    """Begin to write a backup; one at a time."""
    return await call.facade.begin_backup(call.body)


async def get_backup(call: Call) -> Backup:
    """Say how far the backup is, or how the last one ended."""
    return await call.facade.backup()


async def cancel_backup(call: Call) -> Backup:
    """Call the backup off."""
    return await call.facade.cancel_backup()


DEVICE_ROUTES: Final = (
    Route("GET", "/devices", list_devices, Devices, query=WhosePerson),
    Route("POST", "/devices", add_device, Devices, body=NewDevice),
    Route("GET", "/devices/request", get_device_request, DeviceRequest, query=WhosePerson),
    Route("POST", "/devices/join", join_person, Devices, body=Joining),
    Route("POST", "/devices/revoke", revoke_device, Devices, body=WhichDevice),
    Route("GET", "/backup", get_backup, Backup),
    Route("POST", "/backup", begin_backup, Backup, body=NewBackup),
    Route("DELETE", "/backup", cancel_backup, Backup),
)
