"""From a model's label map to measured findings on the frame's own grid."""

from engine.postprocess.masks import decode_mask, encode_mask
from engine.postprocess.measure import measure, segment
from engine.postprocess.novelty import features

__all__ = ["decode_mask", "encode_mask", "features", "measure", "segment"]
