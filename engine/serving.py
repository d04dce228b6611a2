"""Which version of a model serves, and what a candidate beside it says: records on two topics.

`scanstream.models` is compacted and keyed by the model's name: its last record of a model is what
every worker pins. `scanstream.shadow` holds one comparison a record; none of them is a result.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from msgspec import Meta

from engine.messages import ModelRef, NonNegative, Record

MODELS_TOPIC = "scanstream.models"
SHADOW_TOPIC = "scanstream.shadow"

VersionNumber = Annotated[str, Meta(pattern="^[1-9][0-9]{0,17}$")]
Share = Annotated[float, Meta(gt=0, le=1)]
Fraction = Annotated[float, Meta(ge=0, le=1)]


class Version(Record, frozen=True, kw_only=True):
    """One version of a model: Triton's number, and the SHA-256 of its weights as it was loaded."""

    version: VersionNumber
    digest: str


class Candidate(Version, frozen=True, kw_only=True):
    """A version that runs beside the one that serves, on this share of its frames."""

    share: Share


class Serving(Record, frozen=True, kw_only=True):
    """What serves one model from now on: every worker pins `now.version`.

    `previous` is what served before, `by` who asked (a name of the operating system), `at_ns` when.
    """

    schema: Literal["scanstream.model.v1"] = "scanstream.model.v1"
    id: str
    model: str
    now: Version
    previous: Version | None = None
    shadow: Candidate | None = None
    at_ns: NonNegative
    by: str = ""


class LabelDifference(Record, frozen=True, kw_only=True):
    """How two masks of one frame differ in one label, on the model's grid.

    `dice` is 1 where neither has the label; confidence is of the answer that serves, and of the
    candidate's.
    """

    label: str
    dice: Fraction
    confidence: tuple[float, float]


class ShadowComparison(Record, frozen=True, kw_only=True):
    """What a candidate said of one frame, beside what was published of it.

    `infer_ms` is the candidate's call to Triton. `dropped` and `failed` count the frames that this
    worker chose since its last comparison and did not compare: its queue was full, or the candidate
    did not answer.
    """

    schema: Literal["scanstream.shadow.v1"] = "scanstream.shadow.v1"
    id: str
    frame_id: str
    served: ModelRef
    candidate: ModelRef
    labels: list[LabelDifference]
    infer_ms: Annotated[float, Meta(ge=0)]
    dropped: NonNegative = 0
    failed: NonNegative = 0
    at_ns: NonNegative


def record_id(*parts: str) -> str:
    """Return the id that every repeat of a record carries (32 hexadecimal digits)."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
