"""Builds: one model, made over for a runtime and a precision, and proved equal before it is kept.

The source is an ONNX file with the project's contract (`image` uint8 [N, 1, 256, 256] to `mask`
uint8 [N, 256, 256] and `confidence` float32 [N, 1]). A target is a module of `TARGETS`.
"""

from engine.builds.building import build
from engine.builds.request import TARGETS, Build, Request, Target, target_of

__all__ = ["TARGETS", "Build", "Request", "Target", "build", "target_of"]
