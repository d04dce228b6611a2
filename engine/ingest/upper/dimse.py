"""DIMSE command sets (PS3.7 6.3, annex E): read within caps, and built."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from engine.errors import AssociationFault
from engine.ingest.upper.pdu import NOT_SPECIFIED, SERVICE_USER

C_STORE, C_ECHO, N_EVENT_REPORT, N_ACTION = 0x0001, 0x0030, 0x0100, 0x0130
RESPONSE: Final = 0x8000  # of a request's command field
COMMAND_BYTES: Final = 16 * 1024
NO_DATA_SET: Final = 0x0101  # CommandDataSetType (0000,0800); any other value: there is one
COMMENT_CHARACTERS: Final = 64  # ErrorComment is a LO

SUCCESS, UNRECOGNISED_OPERATION = 0x0000, 0x0211

_ELEMENT: Final = struct.Struct("<HHL")
_SHORT: Final = struct.Struct("<H")

# The elements of group 0000 that are read (PS3.7 E.1).
_AFFECTED_CLASS, _REQUESTED_CLASS = 0x0002, 0x0003
_FIELD, _MESSAGE_ID, _RESPONDED_TO = 0x0100, 0x0110, 0x0120
_PRIORITY, _DATA_SET_TYPE, _STATUS, _COMMENT = 0x0700, 0x0800, 0x0900, 0x0902
_AFFECTED_INSTANCE, _REQUESTED_INSTANCE = 0x1000, 0x1001
_EVENT_TYPE, _ACTION_TYPE = 0x1002, 0x1008

Elements = Iterable[tuple[int, bytes]]


class Command(NamedTuple):
    """A command set: the elements that the services here read.

    The UIDs are the affected or the requested ones, whichever the command has; "" and None stand
    for what is absent. `type_id` is ActionTypeID or EventTypeID. `message_id` of a response is the
    request's.
    """

    field: int
    message_id: int
    has_data: bool
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    priority: int = 0
    status: int | None = None
    type_id: int | None = None


def read_command(raw: bytes | bytearray | memoryview) -> Command:
    """Read a command set, which is in implicit VR little endian; raise `AssociationFault`."""
    found = _elements(raw)
    field = _number(found, _FIELD)
    answers = bool(field & RESPONSE)
    return Command(
        field=field,
        message_id=_number(found, _RESPONDED_TO if answers else _MESSAGE_ID),
        has_data=_number(found, _DATA_SET_TYPE) != NO_DATA_SET,
        sop_class_uid=_uid(found, _AFFECTED_CLASS) or _uid(found, _REQUESTED_CLASS),
        sop_instance_uid=_uid(found, _AFFECTED_INSTANCE) or _uid(found, _REQUESTED_INSTANCE),
        priority=_number(found, _PRIORITY) if _PRIORITY in found else 0,
        status=_number(found, _STATUS) if _STATUS in found else None,
        type_id=_type_id(found),
    )


def lies(what: str) -> AssociationFault:
    """Return the fault of a message that breaks PS3.7: the abort is the service user's."""
    return AssociationFault(what, source=SERVICE_USER, reason=NOT_SPECIFIED)


def _elements(raw: bytes | bytearray | memoryview) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at, end = 0, len(raw)
    while at < end:
        if end - at < _ELEMENT.size:
            raise lies("a command set ends inside an element")
        group, element, length = _ELEMENT.unpack_from(raw, at)
        at += _ELEMENT.size
        if group or length > end - at or element in found:
            raise lies("a command set has an element that cannot be in it")
        found[element] = bytes(raw[at : at + length])
        at += length
    if found.get(0) != (end - _ELEMENT.size - 4).to_bytes(4, "little", signed=True):
        raise lies("a command set's group length is not its length")
    return found


def _number(found: dict[int, bytes], element: int) -> int:
    raw = found.get(element, b"")
    if len(raw) != 2:
        raise lies(f"a command set has no (0000,{element:04X})")
    return int.from_bytes(raw, "little")


def _type_id(found: dict[int, bytes]) -> int | None:
    for element in (_ACTION_TYPE, _EVENT_TYPE):
        if element in found:
            return _number(found, element)
    return None


def _uid(found: dict[int, bytes], element: int) -> str:
    raw = found.get(element, b"")
    if len(raw) > 64:
        raise lies(f"the UID (0000,{element:04X}) is longer than 64 characters")
    return raw.rstrip(b"\0 ").decode("latin-1")


def command_set(elements: Elements) -> bytes:
    """Return a command set of elements in ascending order, with its group length."""
    body = b"".join(_ELEMENT.pack(0, element, len(value)) + value for element, value in elements)
    return _ELEMENT.pack(0, 0, 4) + len(body).to_bytes(4, "little") + body


def response(request: Command, status: int, *, comment: str = "", has_data: bool = False) -> bytes:
    """Return the command set that answers `request` (PS3.7 9.3, 10.3).

    `comment` becomes ErrorComment (0000,0902): at most 64 characters, ASCII.
    """
    elements = [
        (_AFFECTED_CLASS, uid_value(request.sop_class_uid)),
        (_FIELD, _SHORT.pack(request.field | RESPONSE)),
        (_RESPONDED_TO, _SHORT.pack(request.message_id)),
        (_DATA_SET_TYPE, _SHORT.pack(0 if has_data else NO_DATA_SET)),
        (_STATUS, _SHORT.pack(status)),
        (_COMMENT, _text(comment)),
        (_AFFECTED_INSTANCE, uid_value(request.sop_instance_uid)),
    ]
    if request.field == N_ACTION and request.type_id is not None:
        elements.append((_ACTION_TYPE, _SHORT.pack(request.type_id)))
    return command_set((element, value) for element, value in elements if value)


def event_report(
    message_id: int, sop_class_uid: str, sop_instance_uid: str, event_type: int
) -> bytes:
    """Return the command set of an N-EVENT-REPORT-RQ with a data set (PS3.7 10.3.1)."""
    return command_set(
        (
            (_AFFECTED_CLASS, uid_value(sop_class_uid)),
            (_FIELD, _SHORT.pack(N_EVENT_REPORT)),
            (_MESSAGE_ID, _SHORT.pack(message_id)),
            (_DATA_SET_TYPE, _SHORT.pack(0)),
            (_AFFECTED_INSTANCE, uid_value(sop_instance_uid)),
            (_EVENT_TYPE, _SHORT.pack(event_type)),
        )
    )


def uid_value(uid: str) -> bytes:
    """Return a UID as an element's value, padded to an even length (PS3.5 6.2)."""
    raw = uid.encode("latin-1")
    return raw + b"\0" if len(raw) % 2 else raw


def _text(comment: str) -> bytes:
    raw = comment.encode("ascii", "replace").replace(b"\\", b"/")[:COMMENT_CHARACTERS]
    return raw + b" " if len(raw) % 2 else raw
