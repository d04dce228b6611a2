"""From a checked object to its frame messages, with the claim check for large frames."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from engine.config import Settings
from engine.errors import RejectedInstance
from engine.ingest.validate import Instance
from engine.keys import object_key
from engine.messages import Claim, FrameInfo, FrameMessage, Lane
from engine.wire import NONE, encode

HEADER_ROOM = 64 * 1024  # what headers, key and framing may add to a value on the frames topics
INFO_BYTES = HEADER_ROOM - 8 * 1024  # of it, the most that `x-frame` may take


class Store(Protocol):
    """The part of an object store that ingesting needs (see `engine.store.ObjectStore`)."""

    def put(self, key: str, data: bytes) -> str:
        """Keep `data`, durable on return: `stored`, `same` or `conflict`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where an object came from and when: what every one of its frames carries.

    `source` is a CloudEvents source such as `/dicom/CT01`; `accepted_ns` and `deadline_ms` are
    Unix time in nanoseconds and milliseconds.
    """

    source: str
    lane: Lane
    accepted_ns: int
    deadline_ms: int

    @classmethod
    def now(cls, source: str, lane: Lane, settings: Settings) -> Origin:
        """Return the origin of an object that arrives now, due after its lane's budget."""
        accepted_ns = time.time_ns()
        budget_ms = settings.stat_budget_ms if lane == "stat" else settings.bulk_budget_ms
        return cls(
            source=source,
            lane=lane,
            accepted_ns=accepted_ns,
            deadline_ms=accepted_ns // 1_000_000 + budget_ms,
        )


def keep(store: Store, key: str, data: bytes) -> None:
    """Store durably; raise `RejectedInstance` (0xA900) when the key holds other bytes already."""
    if store.put(key, data) == "conflict":
        raise RejectedInstance(
            "an object with this SOPInstanceUID and other bytes was accepted before;"
            " this one is kept under quarantine/ in the store and is not processed",
            status=0xA900,
        )


def messages(
    instance: Instance, origin: Origin, *, store: Store, inline_limit: int, wire_codec: str = NONE
) -> Iterator[FrameMessage]:
    """Yield one message a frame, in frame order.

    A frame of more than `inline_limit` bytes is stored first and travels as a claim check, as it
    is: the same object sent again after an upgrade must find the same bytes under its key. With
    `wire_codec` `auto` the others pass the wire codec, in the caller's thread, without the GIL.
    Raises `RejectedInstance` for a frame whose header no topic would take.
    """
    stamp = datetime.fromtimestamp(origin.accepted_ns / 1e9, UTC).isoformat()
    trace = secrets.token_hex(16)
    for info, pixels in instance:
        _check_header(info)
        claim, codec, value = None, NONE, bytes(pixels)
        if len(value) > inline_limit:
            key = object_key(f"{info.sop_instance_uid}/{info.frame_number}")
            keep(store, key, value)
            claim = Claim(key=key, length=len(value), sha256=hashlib.sha256(value).hexdigest())
            value = b""
        elif wire_codec == "auto":
            codec, value = encode(info, value)
        yield FrameMessage(
            info=info,
            value=value,
            source=origin.source,
            time=stamp,
            traceparent=f"00-{trace}-{secrets.token_hex(8)}-01",
            accepted_ns=origin.accepted_ns,
            deadline_ms=origin.deadline_ms,
            lane=origin.lane,
            codec=codec,
            claim=claim,
        )


def _check_header(info: FrameInfo) -> None:
    """Refuse now what the broker would refuse for ever, and a scanner send again for ever."""
    size = len(msgspec.json.encode(info))
    if size > INFO_BYTES:
        raise RejectedInstance(
            f"frame {info.frame_number}: its palette and what the routes match on take {size} "
            f"bytes, more than the {INFO_BYTES} of a record's header"
        )
