"""Inference: batches of images to a Triton server, label maps back."""

from engine.infer.answers import Segmentation
from engine.infer.client import TritonModel

__all__ = ["Segmentation", "TritonModel"]
