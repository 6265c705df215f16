"""All that the API may ask of the running peer, in one object."""

from meshpeer.node.backup_service import BackupService
from meshpeer.node.content_service import ContentService
from meshpeer.node.devices import DeviceService
from meshpeer.node.mail_service import MailService
from meshpeer.node.mirror_service import MirrorService
from meshpeer.node.network_service import NetworkService
from meshpeer.node.people_service import PeopleService
from meshpeer.node.search_service import SearchService


class Service(
    PeopleService,
    MailService,
    NetworkService,
    ContentService,
    MirrorService,
    SearchService,
    DeviceService,
    BackupService,
):
    """The facade of a running Node."""
