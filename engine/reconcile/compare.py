"""Accepted frames against answered ones: is any without an end?"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

import msgspec

from engine.config import Settings
from engine.messages import DEAD_LETTER, RESULTS, TOPIC_OF_LANE
from engine.reconcile.records import Place, Tick, committed, scan

_SHORT = 16  # bytes of a frame id's SHA-256 that are kept of each frame


class _Frame(msgspec.Struct):
    id: str


class _Answer(msgspec.Struct):
    """The part of a result or dead letter that is asked for here."""

    frame: _Frame | None = None
    run: str = ""


@dataclass(slots=True)
class Balance:
    """How the frames on the topics stand, each counted once.

    `waiting` are those that no worker has committed yet: they will be answered. `missing` were
    committed and have neither result nor dead letter; there must be none. `strangers` are records
    that are no frames; each is a dead letter of its own.
    """

    accepted: int = 0
    answered: int = 0
    dead: int = 0
    waiting: int = 0
    strangers: int = 0
    missing: list[Place] = field(default_factory=list)


async def balance(settings: Settings, tick: Tick = lambda _: None) -> Balance:
    """Compare what the frames topics hold with results and dead letters.

    Offsets are asked for first: what is committed now has its end on the topics already, for it is
    published and confirmed before it is acknowledged. Some 200 bytes of memory a frame. Raises
    `BrokerUnavailable`.
    """
    done: dict[tuple[str, int], int] = {}
    for lane, topic in TOPIC_OF_LANE.items():
        done |= await committed(settings, f"{settings.group}-{lane}", topic)
    made = Balance()
    frames: dict[bytes, Place] = {}
    for topic in TOPIC_OF_LANE.values():
        async for record in scan(settings, topic, tick):
            name = _frame_id(record.headers)
            if name is None:
                made.strangers += 1
            else:  # of a repeat the last counts: it is the one that may be under way
                frames[name] = Place(record.topic, record.partition, record.offset)
    made.accepted = len(frames)
    made.answered = await _strike(settings, RESULTS, frames, tick)
    made.dead = await _strike(settings, DEAD_LETTER, frames, tick)
    for place in frames.values():
        if place.offset < done.get((place.topic, place.partition), 0):
            made.missing.append(place)
        else:
            made.waiting += 1
    made.missing.sort()
    return made


async def _strike(settings: Settings, topic: str, frames: dict[bytes, Place], tick: Tick) -> int:
    """Take out of `frames` those that have an end on this topic; return how many."""
    before = len(frames)
    decode = msgspec.json.Decoder(_Answer).decode
    async for record in scan(settings, topic, tick):
        answer = decode(record.value or b"")
        if answer.frame is not None and not answer.run:
            frames.pop(_short(answer.frame.id), None)
    return before - len(frames)


def _frame_id(headers: object) -> bytes | None:
    """Return what stands for a frame's id here, None for a record that has none."""
    found = dict(headers or ())  # type: ignore[call-overload]
    raw = found.get("ce_id")
    if raw is None or found.get("ce_type") != b"scanstream.frame.v1":
        return None
    name = bytes(raw).decode("ascii", "replace")
    return _short(name) if re.fullmatch(r"[0-9.]+/[0-9]+", name) else None


def _short(frame_id: str) -> bytes:
    return hashlib.sha256(frame_id.encode()).digest()[:_SHORT]
