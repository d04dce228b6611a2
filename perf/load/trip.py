"""The way of one frame of a load: when it was due, when its answer came, what the answer says."""

from __future__ import annotations

import sys

import msgspec

from engine.messages import FrameMessage, Lane
from perf.load.target import Answer


class Trip(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One frame. `due_s` is `time.monotonic()`, which all processes of a machine share.

    `latency_ms` is None, and `status` empty, without an answer. `stages_ms` and `path_ms`, from
    accepted to published, are the result's own words, and None where it has none; `send_ms` is from
    the intended time to accepted: 0 where the generator publishes as a gateway does. `bytes` are
    the frame's encoded pixels and its answer; `due_ns` is `due_s` as Unix time. `model` is what
    made the result: its name, version and the beginning of its digest. `kind` is that of the
    frame, "" where none was asked for.
    """

    due_s: float
    due_ns: int
    lane: Lane
    bytes: int
    latency_ms: float | None = None
    status: str = ""
    stages_ms: dict[str, float] | None = None
    send_ms: float | None = None
    path_ms: float | None = None
    model: str = ""
    kind: str = ""


class _Model(msgspec.Struct):
    name: str = ""
    version: str = ""
    digest: str = ""


class _Times(msgspec.Struct):
    """The part of a result that says where its time went, and what made it."""

    stages_ms: dict[str, float] | None = None
    accepted_ns: int | None = None
    published_ns: int | None = None
    model: _Model | None = None


_times = msgspec.json.Decoder(_Times).decode


def begun(frame: FrameMessage, due_s: float, kind: str = "") -> Trip:
    """Return the trip of a frame that is about to be sent."""
    size = frame.claim.length if frame.claim else len(frame.value)
    return Trip(due_s=due_s, due_ns=frame.accepted_ns, lane=frame.lane, bytes=size, kind=kind)


def ended(trip: Trip, answer: Answer) -> Trip:
    """Return the trip with its answer. A record that is no JSON object says nothing of times."""
    try:
        times = _times(answer.record)
    except msgspec.DecodeError:
        times = _Times()
    accepted_ns, published_ns = times.accepted_ns, times.published_ns
    return Trip(
        due_s=trip.due_s,
        due_ns=trip.due_ns,
        lane=trip.lane,
        kind=trip.kind,
        bytes=trip.bytes + len(answer.record),
        latency_ms=max(0.0, answer.at_s - trip.due_s) * 1e3,
        status=answer.status,
        stages_ms=times.stages_ms,
        send_ms=None if accepted_ns is None else (accepted_ns - trip.due_ns) / 1e6,
        path_ms=_ms(accepted_ns, published_ns),
        model=_named(times.model) if times.model else "",
    )


def _named(model: _Model) -> str:
    """Return one text for all frames of a model: there are many of them."""
    return sys.intern(f"{model.name} version {model.version}, sha256 {model.digest[:12]}")


def _ms(begun_ns: int | None, ended_ns: int | None) -> float | None:
    return None if begun_ns is None or ended_ns is None else (ended_ns - begun_ns) / 1e6
