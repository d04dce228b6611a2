"""The records on the topics, versioned, and their wire form.

Frames travel as Kafka messages whose value is the encoded pixels of one frame and whose headers
follow the CloudEvents Kafka binding (binary mode); results and dead letters are JSON. The JSON
schemas under `docs/schemas/` are generated from these structs (`python -m engine.schemas`). Over
300 lines, so that the contract of the topics is read in one place.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from engine.errors import BadMessage

FRAMES = "scanstream.frames"
FRAMES_STAT = "scanstream.frames.stat"
RESULTS = "scanstream.results"
DEAD_LETTER = "scanstream.dead-letter"

FRAME_TYPE = "scanstream.frame.v1"
Lane = Literal["bulk", "stat"]
TOPIC_OF_LANE: dict[str, str] = {"bulk": FRAMES, "stat": FRAMES_STAT}

T = TypeVar("T")
Headers = list[tuple[str, bytes]]
MAX_INT = 2**63 - 1  # what every consumer's language can hold
Positive = Annotated[int, Meta(ge=1, le=MAX_INT)]
NonNegative = Annotated[int, Meta(ge=0, le=MAX_INT)]
Whole = Annotated[int, Meta(ge=-MAX_INT, le=MAX_INT)]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all records: immutable, built by keyword, unknown fields ignored on reading."""


class Palette(Record, frozen=True, kw_only=True):
    """The tables of a PALETTE COLOR image, 8 bits an entry (PS3.3 C.7.6.3.1.5).

    The stored value `first`, and any below it, stands for the first entry.
    """

    first: Annotated[int, Meta(ge=-32768, le=65535)]
    red: Annotated[bytes, Meta(min_length=1)]
    green: Annotated[bytes, Meta(min_length=1)]
    blue: Annotated[bytes, Meta(min_length=1)]


class FrameInfo(Record, frozen=True, kw_only=True):
    """The `x-frame` header: pixel module and geometry of one frame (PS3.3 C.7.6).

    Field names are the DICOM keywords in snake case. Lengths are mm, times ms. No field can hold
    a patient's name, id or date of birth. `keywords` holds what the routes match on.
    `pixel_data_vr` tells 8-bit pixels in big-endian words (OW) from bytes (OB) (PS3.5 A.3).
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    frame_number: Positive
    number_of_frames: Positive = 1
    transfer_syntax_uid: str
    rows: Annotated[int, Meta(ge=1, le=65535)]
    columns: Annotated[int, Meta(ge=1, le=65535)]
    samples_per_pixel: Annotated[int, Meta(ge=1, le=4)] = 1
    bits_allocated: Annotated[int, Meta(ge=1, le=64)]
    bits_stored: Annotated[int, Meta(ge=1, le=64)]
    high_bit: NonNegative
    pixel_representation: Annotated[int, Meta(ge=0, le=1)] = 0
    photometric_interpretation: str
    planar_configuration: Annotated[int, Meta(ge=0, le=1)] = 0
    pixel_data_vr: Literal["", "OB", "OW"] = ""
    palette: Palette | None = None
    rescale_slope: float = 1.0
    rescale_intercept: float = 0.0
    window_center: float | None = None
    window_width: float | None = None
    voi_lut_function: Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"] = "LINEAR"
    modality: str = ""
    pixel_spacing: tuple[float, float] | None = None
    slice_thickness: float | None = None
    image_position_patient: tuple[float, float, float] | None = None
    image_orientation_patient: tuple[float, float, float, float, float, float] | None = None
    trigger_time: float | None = None
    cardiac_number_of_images: Whole | None = None
    instance_number: Whole | None = None
    keywords: dict[str, str | float | list[str | float]] = {}


class Claim(Record, frozen=True, kw_only=True):
    """The `x-claim` header: where the value lies when the frame is larger than `inline_limit`."""

    key: str
    length: Positive
    sha256: str


class FrameMessage(Record, frozen=True, kw_only=True):
    """One frame on its way: everything the worker needs, from the message alone."""

    info: FrameInfo
    value: bytes
    source: str
    time: str
    traceparent: str
    accepted_ns: NonNegative
    deadline_ms: NonNegative
    lane: Lane = "bulk"
    codec: str = "none"
    claim: Claim | None = None

    @property
    def id(self) -> str:
        """`<SOPInstanceUID>/<frame number from 1>`."""
        return f"{self.info.sop_instance_uid}/{self.info.frame_number}"

    @property
    def subject(self) -> str:
        """DICOMweb path of the frame (PS3.18 10.4.1)."""
        i = self.info
        return (
            f"/studies/{i.study_instance_uid}/series/{i.series_instance_uid}"
            f"/instances/{i.sop_instance_uid}/frames/{i.frame_number}"
        )

    def to_kafka(self) -> tuple[bytes, bytes, Headers]:
        """Return `(key, value, headers)` as they go on the wire."""
        syntax = self.info.transfer_syntax_uid
        headers = {
            "ce_specversion": "1.0",
            "ce_type": FRAME_TYPE,
            "ce_id": self.id,
            "ce_source": self.source,
            "ce_subject": self.subject,
            "ce_time": self.time,
            "content-type": f"application/octet-stream; transfer-syntax={syntax}",
            "traceparent": self.traceparent,
            "x-codec": self.codec,
            "x-lane": self.lane,
            "x-deadline-ms": str(self.deadline_ms),
            "x-accepted-ns": str(self.accepted_ns),
        }
        wire = [(name, text.encode()) for name, text in headers.items()]
        wire.append(("x-frame", msgspec.json.encode(self.info)))
        if self.claim is not None:
            wire.append(("x-claim", msgspec.json.encode(self.claim)))
        return self.info.series_instance_uid.encode(), self.value, wire

    @classmethod
    def from_kafka(cls, value: bytes | None, headers: Any) -> FrameMessage:
        """Read a record of a frames topic; raise `BadMessage` naming the header that is wrong.

        `headers` is what the client gives: pairs or a mapping of name to bytes, or nothing.
        """
        found = {n: bytes(raw) for n, raw in dict(headers or {}).items() if raw is not None}
        if _text(found, "ce_type") != FRAME_TYPE:
            raise BadMessage(f"header ce_type is not {FRAME_TYPE}")
        info = _struct(found, "x-frame", FrameInfo)
        claim = _struct(found, "x-claim", Claim) if "x-claim" in found else None
        if not value and claim is None:
            raise BadMessage("the value is empty and there is no x-claim header")
        if (lane := _text(found, "x-lane")) not in TOPIC_OF_LANE:
            raise BadMessage("header x-lane is neither bulk nor stat")
        message = cls(
            info=info,
            value=bytes(value or b""),
            source=_text(found, "ce_source"),
            time=_text(found, "ce_time"),
            traceparent=_text(found, "traceparent"),
            accepted_ns=_whole(found, "x-accepted-ns"),
            deadline_ms=_whole(found, "x-deadline-ms"),
            lane="stat" if lane == "stat" else "bulk",
            codec=_text(found, "x-codec"),
            claim=claim,
        )
        if _text(found, "ce_id") != message.id:
            raise BadMessage("header ce_id disagrees with x-frame")
        return message


def _text(found: dict[str, bytes], name: str) -> str:
    if name not in found:
        raise BadMessage(f"header {name} is missing")
    try:
        return found[name].decode()
    except UnicodeDecodeError:
        raise BadMessage(f"header {name} is not UTF-8") from None


def _whole(found: dict[str, bytes], name: str) -> int:
    text = _text(found, name)
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) < 2**63):
        raise BadMessage(f"header {name} is not a whole number of 63 bits")
    return int(text)


def _struct(found: dict[str, bytes], name: str, kind: type[T]) -> T:
    _text(found, name)
    try:
        return msgspec.json.decode(found[name], type=kind)
    except msgspec.MsgspecError as error:  # its text names fields and types, never values
        raise BadMessage(f"header {name}: {error}") from None
    except RecursionError:
        raise BadMessage(f"header {name} is nested too deep") from None


class ModelRef(Record, frozen=True, kw_only=True):
    """The model that made a result. `digest` is the SHA-256 of the weights file served."""

    name: str
    version: str
    digest: str
    precision: str


class Finding(Record, frozen=True, kw_only=True):
    """One label of the mask, measured. `centroid` is (x, y) in pixels from the top left corner."""

    label: str
    pixels: NonNegative
    area_mm2: Annotated[float, Meta(ge=0)] | None
    centroid: tuple[float, float]
    confidence: Annotated[float, Meta(ge=0, le=1)]


class Mask(Record, frozen=True, kw_only=True):
    """Uncompressed COCO run lengths: column-major, runs of 0 and `label` in turn, 0 first."""

    label: str
    size: tuple[Positive, Positive]
    counts: list[NonNegative]


class FrameRef(Record, frozen=True, kw_only=True):
    """The frame that a result is about, with the geometry a measuring consumer needs."""

    id: str
    subject: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    frame_number: Positive
    modality: str
    rows: Positive
    columns: Positive
    pixel_spacing: tuple[float, float] | None = None
    slice_thickness: float | None = None
    image_position_patient: tuple[float, float, float] | None = None
    image_orientation_patient: tuple[float, float, float, float, float, float] | None = None
    trigger_time: float | None = None
    cardiac_number_of_images: Whole | None = None
    instance_number: Whole | None = None

    @classmethod
    def of(cls, message: FrameMessage) -> FrameRef:
        """Take the reference from a frame's message."""
        shared = {
            name: getattr(message.info, name)
            for name in cls.__struct_fields__
            if name not in ("id", "subject")
        }
        return cls(id=message.id, subject=message.subject, **shared)


class Result(Record, frozen=True, kw_only=True):
    """What is known of one frame. One per frame, route and run; a repeat carries the same id."""

    schema: Literal["scanstream.result.v1"] = "scanstream.result.v1"
    id: str
    frame: FrameRef
    route: str
    run: str = ""
    lane: Lane
    model: ModelRef | None = None
    status: Literal["ok", "degraded", "unrouted"]
    degraded: list[str] = []
    findings: list[Finding] = []
    masks: list[Mask] = []
    features: dict[str, float] = {}
    quality: list[str] = []
    stages_ms: dict[str, float] = {}
    accepted_ns: NonNegative
    deadline_ms: NonNegative
    published_ns: NonNegative
    traceparent: str


class DeadLetter(Record, frozen=True, kw_only=True):
    """What could not be done, and why. `message` is free of patient data and of stack traces.

    `frame` and `accepted_ns` are None, and `traceparent` is empty, when the record on the frames
    topic was no frame message at all; it is then found again by `source_topic`,
    `source_partition` and `source_offset`.
    """

    schema: Literal["scanstream.dead-letter.v1"] = "scanstream.dead-letter.v1"
    id: str
    frame: FrameRef | None
    reason: str
    message: str
    tries: NonNegative
    claim: Claim | None = None
    source_topic: str
    source_partition: NonNegative
    source_offset: NonNegative
    accepted_ns: NonNegative | None = None
    failed_ns: NonNegative
    traceparent: str = ""


def result_id(frame_id: str, route: str, run: str = "") -> str:
    """Return the id that every repeat of this result carries (32 hexadecimal digits)."""
    return hashlib.sha256("\n".join((frame_id, route, run)).encode()).hexdigest()[:32]
