"""Row 6: the chain "enhance", 512 x 512 to 256 x 256, against OpenCV, and SciPy and skimage."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from itertools import cycle
from typing import Any

import numpy as np
from skimage.metrics import structural_similarity

from engine import enhance
from engine.messages import FrameInfo
from perf.baselines import enhance as baseline
from perf.compare.case import Case, Entry, Prepared
from perf.rows.clahe import OPENCV, SKIMAGE, stored_frames

Array = np.ndarray[Any, np.dtype[Any]]

CENTER, WIDTH = 1500.0, 2600.0
SSIM = 0.95


def cases() -> list[Entry]:
    """Return the rows."""
    return [
        Case(
            name="enhance/opencv",
            rival=f"{OPENCV}: the same chain",
            unit="frames/s",
            target=2.5,
            prepare=partial(_prepare, _opencv),
        ),
        Case(
            name="enhance/scipy",
            rival=f"SciPy {version('scipy')} and {SKIMAGE}: the same chain",
            unit="frames/s",
            target=20.0,
            prepare=partial(_prepare, _scipy),
        ),
    ]


def _opencv() -> Callable[[Array], Array]:
    return baseline.OpenCV(CENTER, WIDTH)


def _scipy() -> Callable[[Array], Array]:
    return partial(baseline.scipy, center=CENTER, width=WIDTH)


def _prepare(rival: Callable[[], Callable[[Array], Array]]) -> Prepared:
    theirs, frames = rival(), stored_frames()
    ours_next, theirs_next = cycle(frames), cycle(frames)
    for frame in frames:
        _ours(frame), theirs(frame)
    return Prepared(
        lambda: _ours(next(ours_next)),
        lambda: theirs(next(theirs_next)),
        1,
        partial(_similar, frames, theirs),
    )


def _ours(frame: Array) -> Array:
    """Enhance as the worker does: through the public function, with the frame's own window."""
    return enhance.enhance(frame, _INFO, "enhance")


def _similar(frames: list[Array], theirs: Callable[[Array], Array]) -> tuple[bool, str]:
    pairs = [(_ours(frame), theirs(frame)) for frame in frames]
    alike = min(float(structural_similarity(*pair, data_range=255)) for pair in pairs)
    apart = max(int(abs(ours.astype(int) - other).max()) for ours, other in pairs)
    note = f"SSIM {alike:.4f} ({SSIM} asked), at most {apart} of 255 levels apart"
    return alike >= SSIM, note


_INFO = FrameInfo(
    sop_class_uid="1.2.840.10008.5.1.4.1.1.4",
    sop_instance_uid="2.25.1",
    study_instance_uid="2.25.2",
    series_instance_uid="2.25.3",
    frame_number=1,
    transfer_syntax_uid="1.2.840.10008.1.2.1",
    rows=512,
    columns=512,
    bits_allocated=16,
    bits_stored=12,
    high_bit=11,
    photometric_interpretation="MONOCHROME2",
    window_center=CENTER,
    window_width=WIDTH,
)
