"""The PDUs of the DICOM upper layer (PS3.8 9.3): read within caps, and built.

Whatever a peer may send ends as a value, or as the one `AssociationFault`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from engine.errors import AssociationFault
from engine.ingest.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA = 0x01, 0x02, 0x03, 0x04
RELEASE_RQ, RELEASE_RP, ABORT = 0x05, 0x06, 0x07

PDU_BYTES: Final = 1024 * 1024  # what we announce (PS3.8 D.1), and what no P-DATA may exceed
REQUEST_BYTES: Final = 256 * 1024  # of an A-ASSOCIATE-RQ; 128 full contexts take 180 KiB
MAX_CONTEXTS: Final = 128  # their ids are odd and at most 255 (PS3.8 9.3.2.2)
LEAST_PDU: Final = 8  # the head of a PDV and two bytes of what it carries

APPLICATION_CONTEXT: Final = b"1.2.840.10008.3.1.1.1"

HEAD: Final = struct.Struct(">BxL")  # type and length of a PDU
PDV_HEAD: Final = struct.Struct(">LBB")  # length, presentation context, message control (E.2)
LAST: Final = 0x02
COMMAND: Final = 0x01

# Sources and reasons of an A-ABORT (PS3.8 9.3.8).
SERVICE_USER, SERVICE_PROVIDER = 0, 2
NOT_SPECIFIED, UNRECOGNISED_PDU, UNEXPECTED_PDU = 0, 1, 2
UNEXPECTED_PARAMETER, INVALID_PARAMETER = 5, 6

# Results of a presentation context (PS3.8 9.3.3.2).
ACCEPTED, ABSTRACT_SYNTAX_UNKNOWN, TRANSFER_SYNTAXES_UNKNOWN = 0, 3, 4

_FIXED: Final = struct.Struct(">H2x16s16s32s")
_ITEM: Final = struct.Struct(">BxH")


class Rejection(NamedTuple):
    """Result, source and reason of an A-ASSOCIATE-RJ (PS3.8 9.3.4), and why in our words."""

    result: int
    source: int
    reason: int
    why: str


UNKNOWN_APPLICATION: Final = Rejection(1, 1, 2, "its application context is not DICOM's")
UNKNOWN_CALLING: Final = Rejection(1, 1, 3, "its AE title is not known here")
UNKNOWN_CALLED: Final = Rejection(1, 1, 7, "it calls another AE title")
UNKNOWN_VERSION: Final = Rejection(1, 2, 2, "it does not speak version 1 of the protocol")
TOO_MANY: Final = Rejection(2, 3, 2, "there are as many associations as the settings allow")


class Proposed(NamedTuple):
    """A presentation context as the requestor proposes it."""

    id: int
    abstract_syntax: str
    transfer_syntaxes: list[str]


class Request(NamedTuple):
    """An A-ASSOCIATE-RQ (PS3.8 9.3.2).

    `fixed` is its first 68 bytes, which the answer repeats. `max_length` is the longest P-DATA
    that the requestor takes, 0 for any.
    """

    version: int
    called: str
    calling: str
    application_context: bytes
    contexts: list[Proposed]
    max_length: int
    fixed: bytes


def invalid(what: str) -> AssociationFault:
    """Return the fault of a PDU that cannot be read."""
    return AssociationFault(what, source=SERVICE_PROVIDER, reason=INVALID_PARAMETER)


def read_request(body: bytes | bytearray | memoryview) -> Request:
    """Read an A-ASSOCIATE-RQ without its six bytes of type and length.

    Unknown items are passed over, as PS3.8 9.3.1 wants. Raise `AssociationFault`.
    """
    if len(body) < _FIXED.size:
        raise invalid("an A-ASSOCIATE-RQ is cut short")
    fixed = bytes(body[: _FIXED.size])
    version, called, calling, _ = _FIXED.unpack(fixed)
    application, contexts, max_length = b"", list[Proposed](), 0
    for kind, value in _items(memoryview(body)[_FIXED.size :]):
        if kind == 0x10:
            application = bytes(value).rstrip(b"\0 ")
        elif kind == 0x20:
            contexts.append(_context(value))
            if len(contexts) > MAX_CONTEXTS:
                raise invalid(f"an association has more than {MAX_CONTEXTS} contexts")
        elif kind == 0x50:
            max_length = _max_length(value)
    if not contexts or len({context.id for context in contexts}) < len(contexts):
        raise invalid("an association has no presentation context, or two of one id")
    return Request(
        version, _title(called), _title(calling), application, contexts, max_length, fixed
    )


def _items(body: memoryview) -> Iterator[tuple[int, memoryview]]:
    at = 0
    while at < len(body):
        if len(body) - at < _ITEM.size:
            raise invalid("an item of an A-ASSOCIATE-RQ is cut short")
        kind, length = _ITEM.unpack_from(body, at)
        at += _ITEM.size
        if length > len(body) - at:
            raise invalid("an item of an A-ASSOCIATE-RQ is longer than what holds it")
        yield kind, body[at : at + length]
        at += length


def _context(value: memoryview) -> Proposed:
    if len(value) < 4 or value[0] % 2 == 0:
        raise invalid("a presentation context has no odd id")
    abstract, transfer = list[str](), list[str]()
    for kind, uid in _items(value[4:]):
        if kind == 0x30:
            abstract.append(_uid(uid))
        elif kind == 0x40:
            transfer.append(_uid(uid))
    if len(abstract) != 1 or not transfer:
        raise invalid("a presentation context lacks its abstract or its transfer syntaxes")
    return Proposed(value[0], abstract[0], transfer)


def _max_length(value: memoryview) -> int:
    for kind, item in _items(value):
        if kind == 0x51:
            length = int.from_bytes(item, "big")
            if len(item) != 4 or 0 < length < LEAST_PDU:
                raise invalid("a maximum length is none")
            return length
    return 0


def _uid(value: memoryview) -> str:
    return bytes(value[:66]).rstrip(b"\0 ").decode("latin-1")


def _title(raw: bytes) -> str:
    """Return an AE title without its padding; "?" where it has what none may (PS3.5 6.2)."""
    text = raw.rstrip(b"\0").decode("latin-1").strip(" ")
    return text if text.isascii() and text.isprintable() and "\\" not in text else "?"


def associate_ac(request: Request, results: Iterable[tuple[int, int, str]]) -> bytes:
    """Return the A-ASSOCIATE-AC (PS3.8 9.3.3) with `(context id, result, transfer syntax)`."""
    items = [_item(0x10, APPLICATION_CONTEXT)]
    for context_id, result, syntax in results:
        head = bytes((context_id, 0, result, 0))
        items.append(_item(0x21, head + _item(0x40, syntax.encode("ascii"))))
    user = (
        _item(0x51, PDU_BYTES.to_bytes(4, "big"))
        + _item(0x52, IMPLEMENTATION_CLASS_UID.encode("ascii"))
        + _item(0x55, IMPLEMENTATION_VERSION_NAME.encode("ascii"))
    )
    items.append(_item(0x50, user))
    return _pdu(ASSOCIATE_AC, b"\0\1" + request.fixed[2:] + b"".join(items))


def associate_rj(rejection: Rejection) -> bytes:
    """Return the A-ASSOCIATE-RJ (PS3.8 9.3.4)."""
    return _pdu(ASSOCIATE_RJ, bytes((0, rejection.result, rejection.source, rejection.reason)))


def release_rp() -> bytes:
    """Return the A-RELEASE-RP (PS3.8 9.3.7)."""
    return _pdu(RELEASE_RP, bytes(4))


def abort(source: int, reason: int) -> bytes:
    """Return the A-ABORT (PS3.8 9.3.8)."""
    return _pdu(ABORT, bytes((0, 0, source, reason)))


def p_data(context_id: int, message: bytes, *, command: bool, max_length: int) -> bytes:
    """Return a command or data set as P-DATA-TF PDUs of one fragment each (PS3.8 9.3.5, E.2).

    None is longer than `max_length`, 0 for any, which is then what we take ourselves.
    """
    most = ((min(max_length, PDU_BYTES) or PDU_BYTES) - PDV_HEAD.size) & ~1
    pdus, kind = [], COMMAND if command else 0
    for at in range(0, max(1, len(message)), most):
        part = message[at : at + most]
        flags = kind | (LAST if at + most >= len(message) else 0)
        pdus.append(_pdu(P_DATA, PDV_HEAD.pack(len(part) + 2, context_id, flags) + part))
    return b"".join(pdus)


def _item(kind: int, value: bytes) -> bytes:
    return _ITEM.pack(kind, len(value)) + value


def _pdu(kind: int, body: bytes) -> bytes:
    return HEAD.pack(kind, len(body)) + body


def associate_rq(
    called: str, calling: str, contexts: Sequence[Proposed], *, max_length: int = PDU_BYTES
) -> bytes:
    """Return an A-ASSOCIATE-RQ (PS3.8 9.3.2)."""
    items = [_item(0x10, APPLICATION_CONTEXT)]
    for one in contexts:
        syntaxes = b"".join(_item(0x40, uid.encode("ascii")) for uid in one.transfer_syntaxes)
        abstract = _item(0x30, one.abstract_syntax.encode("ascii"))
        items.append(_item(0x20, bytes((one.id, 0, 0, 0)) + abstract + syntaxes))
    items.append(_item(0x50, _item(0x51, max_length.to_bytes(4, "big"))))
    titles = (title.ljust(16).encode("ascii") for title in (called, calling))
    return _pdu(ASSOCIATE_RQ, _FIXED.pack(1, *titles, bytes(32)) + b"".join(items))
