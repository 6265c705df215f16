"""All that the API may ask of the running peer, in one object."""

from meshpeer.node.backup_service import BackupService
from meshpeer.node.devices import DeviceService
from meshpeer.node.file_service import FileService
from meshpeer.node.mail_service import MailService
from meshpeer.node.network_service import NetworkService
from meshpeer.node.people_service import PeopleService
from meshpeer.node.search_service import SearchService


class Service(
    PeopleService,
    MailService,
    NetworkService,
    FileService,
    SearchService,
    DeviceService,
    BackupService,
):
    """The facade of a running Node."""
