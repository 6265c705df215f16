"""Questions and orders to the kernel over netlink, one at a time, each waited for.

A `Conversation` is one socket. What is made or joined with NL80211_ATTR_SOCKET_OWNER lasts as
long as the socket: when its process is killed, the kernel itself takes it away.
"""

import errno
import os
import socket
import struct
from typing import Final, Self

from meshpeer.errors import TransportError
from transports.netlink_format import (
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NLMSG,
    NLMSG_DONE,
    NLMSG_ERROR,
    Message,
    attributes,
    message,
    messages,
    name,
    number,
    text,
)

NETLINK_GENERIC: Final = 16
SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK = 270, 10, 11
NLM_F_ACK, NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x4, 0x100, 0x200
NLMSGERR_ATTR_MSG: Final = 1
READ_SIZE: Final = 262_144
PATIENCE: Final = struct.pack("ll", 10, 0)
"""No answer of the kernel's takes seconds; a driver's that has hung may."""

GENERIC: Final = struct.Struct("=BBxx")  # command, version
GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME = 16, 3, 1, 2
ERROR: Final = struct.Struct("=i")


class Conversation:
    """One netlink socket that asks and waits for the answer.

    A refusal raises OSError with the kernel's number, and its words where it has some.
    """

    def __init__(self, protocol: int) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._sequence = 0
        try:
            self._socket = socket.socket(socket.AF_NETLINK, kind, protocol)
        except OSError as error:
            raise TransportError(
                f"the kernel can't be asked by netlink: {error}"
            ) from error
        self._socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, PATIENCE)
        self._socket.bind((0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it; the kernel takes away what this socket owns."""
        self._socket.close()

    def order(self, kind: int, body: bytes) -> list[Message]:
        """Have something done; gives what the kernel says beside that it is done."""
        return self._exchange(kind, NLM_F_REQUEST | NLM_F_ACK, body)

    def ask(self, kind: int, body: bytes) -> list[Message]:
        """Give all that there is of a kind."""
        return self._exchange(kind, NLM_F_REQUEST | NLM_F_DUMP, body)

    def _exchange(self, kind: int, flags: int, body: bytes) -> list[Message]:
        self._sequence += 1
        self._socket.send(message(kind, flags, body, self._sequence))
        told: list[Message] = []
        while not self._take(told):
            pass
        return told

    def _take(self, told: list[Message]) -> bool:
        """Read once; whether that was the end."""
        try:
            data = self._socket.recv(READ_SIZE)
        except BlockingIOError:
            raise TransportError("the kernel gave no answer within 10 s") from None
        for answer in messages(data):
            if answer.sequence != self._sequence:
                continue
            if answer.kind in {NLMSG_DONE, NLMSG_ERROR}:
                _check(answer.body, answer.flags, error=answer.kind == NLMSG_ERROR)
                return True
            told.append(answer)
        return False


def _check(body: bytes, flags: int, *, error: bool) -> None:
    """Raise what an acknowledgement or the end of a dump refuses."""
    code = -ERROR.unpack_from(body)[0] if len(body) >= ERROR.size else 0
    if code <= 0:
        return
    said = ""
    if flags & NLM_F_ACK_TLVS:
        start = ERROR.size + (NLMSG.size if error else 0)
        said = text(dict(attributes(body[start:])).get(NLMSGERR_ATTR_MSG, b""))
    raise OSError(code, said or os.strerror(code))


class Family:
    """A conversation with one family of generic netlink, such as nl80211."""

    def __init__(self, family: str, version: int = 1) -> None:
        self._conversation = Conversation(NETLINK_GENERIC)
        self._version = version
        asked = GENERIC.pack(CTRL_CMD_GETFAMILY, 1) + name(CTRL_ATTR_FAMILY_NAME, family)
        try:
            (answer,) = self._conversation.order(GENL_ID_CTRL, asked)
        except OSError as error:
            self.close()
            if error.errno == errno.ENOENT:
                raise FileNotFoundError(
                    error.errno, f"this kernel has no {family}"
                ) from None
            raise
        found = dict(attributes(answer.body[GENERIC.size :]))
        self._id = number(found[CTRL_ATTR_FAMILY_ID])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it; the kernel takes away what this socket owns."""
        self._conversation.close()

    def order(self, command: int, *parts: bytes) -> list[bytes]:
        """Have something done; gives the attributes of what the kernel says to it."""
        return self._bodies(self._conversation.order(self._id, self._body(command, parts)))

    def ask(self, command: int, *parts: bytes) -> list[bytes]:
        """Give the attributes of each message of a dump."""
        return self._bodies(self._conversation.ask(self._id, self._body(command, parts)))

    def _body(self, command: int, parts: tuple[bytes, ...]) -> bytes:
        return GENERIC.pack(command, self._version) + b"".join(parts)

    def _bodies(self, told: list[Message]) -> list[bytes]:
        return [each.body[GENERIC.size :] for each in told]
