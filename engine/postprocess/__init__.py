"""From a model's label map to measured findings on the frame's own grid."""

from engine.postprocess.describe import NOTHING, Observed, describe, needs_values, observe, warm
from engine.postprocess.masks import decode_mask, encode_mask
from engine.postprocess.measure import measure, segment
from engine.postprocess.novelty import features

__all__ = [
    "NOTHING",
    "Observed",
    "decode_mask",
    "describe",
    "encode_mask",
    "features",
    "measure",
    "needs_values",
    "observe",
    "segment",
    "warm",
]
