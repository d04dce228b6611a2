"""A C-STORE SCU that costs next to nothing: encoded objects go out as they are, without a copy.

The association is negotiated by pynetdicom's PDU classes; what comes once an object is written
here. pynetdicom's own sender runs two polling threads an association and copies each object
several times, which would measure the sender.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import cycle
from typing import Any

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ, A_RELEASE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    A_RELEASE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import PresentationContext, build_context

from perf.load.objects import Piece, uid_bytes
from perf.load.target import TargetFailed

SUCCESS, HIGH, MEDIUM = 0x0000, 1, 0
TIMEOUT_S = 60.0
BUFFERS = 512  # in one call: Linux takes 1,024
IMPLEMENTATION = "2.25.329800735698586629295641978511506172918"  # PS3.15: a UUID of this sender's
_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
_PDU, _PDV = struct.Struct(">BxI"), struct.Struct(">IBB")
_ASSOCIATE_AC, _P_DATA = 0x02, 0x04
_COMMAND, _LAST = 1, 2
_FRAMING = 6  # bytes of a PDV's head, which count towards the maximum length of a PDU (PS3.8 D.1)
_OWN_MAXIMUM = 16 * 1024  # answers are short
_MOST_UNLIMITED = 1024 * 1024


class Scu:
    """One association, blocking; for one thread. Raises `TargetFailed` where it breaks."""

    def __init__(
        self, address: str, contexts: Sequence[tuple[str, str]], *, called: str, calling: str
    ) -> None:
        """Associate; `contexts` are pairs of SOP class and transfer syntax."""
        host, _, port = address.rpartition(":")
        self._address, self._ids = address, cycle(range(1, 1 << 16))
        try:
            self._socket = socket.create_connection((host, int(port)), TIMEOUT_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self._negotiate(contexts, called, calling)
            except BaseException:
                self._socket.close()
                raise
        except OSError as error:
            raise TargetFailed(f"no association with {called} at {address}: {error}") from error

    def store(
        self,
        context: tuple[str, str],
        instance_uid: str,
        pieces: Iterable[Piece],
        *,
        priority: int = MEDIUM,
    ) -> int:
        """Send one object, its data set in pieces; return the status of the answer."""
        try:
            number = self._contexts[context]
        except KeyError:
            raise TargetFailed(f"{self._address} takes no {context[0]} in {context[1]}") from None
        asked = _request(context[0], instance_uid, next(self._ids), priority)
        parts = [*self._pdus(number, _COMMAND, [asked]), *self._pdus(number, 0, pieces)]
        try:
            for start in range(0, len(parts), BUFFERS):
                self._send(parts[start : start + BUFFERS])
            return self._status()
        except OSError as error:
            raise TargetFailed(f"the association with {self._address} broke: {error}") from error

    def close(self) -> None:
        """Release the association; one that has broken is only closed."""
        asked = A_RELEASE_RQ()
        asked.from_primitive(A_RELEASE())
        try:
            self._socket.sendall(asked.encode())
            self._pdu()
        except (OSError, TargetFailed):
            return  # whoever stored last has been told
        finally:
            self._socket.close()

    def abort(self) -> None:
        """End the connection under a thread that may wait for an answer, which then fails."""
        with suppress(OSError):  # it has ended already
            self._socket.shutdown(socket.SHUT_RDWR)  # close() alone does not wake who reads
        self._socket.close()

    def _negotiate(self, contexts: Sequence[tuple[str, str]], called: str, calling: str) -> None:
        self._socket.sendall(_associate(contexts, called, calling))
        kind, body = self._pdu()
        if kind != _ASSOCIATE_AC:
            raise TargetFailed(f"{self._address} rejects the association with {called}")
        answer = A_ASSOCIATE_AC()
        answer.decode(_PDU.pack(kind, len(body)) + body)
        accepted: Any = answer.to_primitive()
        taken = {one.context_id for one in _results(accepted) if one.result == 0}
        self._contexts = {
            each: 2 * number + 1 for number, each in enumerate(contexts) if 2 * number + 1 in taken
        }
        self._room = (accepted.maximum_length_received or _MOST_UNLIMITED) - _FRAMING

    def _pdus(self, context: int, kind: int, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """Yield a message as PDUs, each its head and then the pieces that it is made of."""
        views = [memoryview(piece) for piece in pieces]
        left = sum(map(len, views))
        while left:
            size = min(left, self._room)
            left -= size
            yield _PDU.pack(_P_DATA, size + _FRAMING)
            yield _PDV.pack(size + 2, context, kind | (0 if left else _LAST))
            while size:
                part = views[0][:size]
                yield part
                size -= len(part)
                if len(part) == len(views[0]):
                    views.pop(0)
                else:
                    views[0] = views[0][len(part) :]

    def _send(self, parts: list[Piece]) -> None:
        while parts:
            done = self._socket.sendmsg(parts)  # as much as the socket's buffer has room for
            while parts and done >= len(parts[0]):
                done -= len(parts.pop(0))
            if parts:
                parts[0] = memoryview(parts[0])[done:]

    def _status(self) -> int:
        command = b""
        while True:
            kind, body = self._pdu()
            if kind != _P_DATA:
                raise TargetFailed(f"{self._address} ended the association (PDU {kind:#04x})")
            length, _, control = _PDV.unpack_from(body)
            command += body[_FRAMING : 4 + length]
            if control & _LAST:
                return _element(command, 0x0900)

    def _pdu(self) -> tuple[int, bytes]:
        kind, length = _PDU.unpack(self._read(_PDU.size))
        return kind, self._read(length)

    def _read(self, size: int) -> bytes:
        got = bytearray()
        while len(got) < size:
            if not (more := self._socket.recv(size - len(got))):
                raise TargetFailed(f"{self._address} closed the connection")
            got += more
        return bytes(got)


def _associate(contexts: Sequence[tuple[str, str]], called: str, calling: str) -> bytes:
    asked = A_ASSOCIATE()
    asked.application_context_name = _APPLICATION_CONTEXT
    asked.called_ae_title, asked.calling_ae_title = called, calling
    asked.presentation_context_definition_list = [
        _context(2 * number + 1, *each) for number, each in enumerate(contexts)
    ]
    maximum, who = MaximumLengthNotification(), ImplementationClassUIDNotification()
    maximum.maximum_length_received = _OWN_MAXIMUM
    who.implementation_class_uid = IMPLEMENTATION
    asked.user_information = [maximum, who]
    made = A_ASSOCIATE_RQ()
    made.from_primitive(asked)
    return bytes(made.encode())


def _context(number: int, sop_class: str, transfer_syntax: str) -> PresentationContext:
    made = build_context(sop_class, transfer_syntax)
    made.context_id = number
    return made


def _results(accepted: Any) -> list[Any]:
    return list(accepted.presentation_context_definition_results_list)


def _request(sop_class: str, instance: str, message_id: int, priority: int) -> bytes:
    """Return the command set of a C-STORE request, Implicit VR Little Endian (PS3.7 9.3.1.1)."""
    elements = b"".join(
        _encoded(element, value)
        for element, value in (
            (0x0002, uid_bytes(sop_class)),
            (0x0100, struct.pack("<H", 0x0001)),  # CommandField: C-STORE-RQ
            (0x0110, struct.pack("<H", message_id)),
            (0x0700, struct.pack("<H", priority)),
            (0x0800, struct.pack("<H", 0x0001)),  # CommandDataSetType: there is one
            (0x1000, uid_bytes(instance)),
        )
    )
    return _encoded(0x0000, struct.pack("<I", len(elements))) + elements


def _encoded(element: int, value: bytes) -> bytes:
    return struct.pack("<HHI", 0, element, len(value)) + value


def _element(command: bytes, wanted: int) -> int:
    """Return the value of a US element of a command set; raise `TargetFailed` without it."""
    at = 0
    while at + 8 <= len(command):
        _, element, length = struct.unpack_from("<HHI", command, at)
        if element == wanted:
            return int.from_bytes(command[at + 8 : at + 8 + length], "little")
        at += 8 + length
    raise TargetFailed(f"an answer without (0000,{wanted:04X})")
