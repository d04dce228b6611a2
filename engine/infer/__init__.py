"""Inference: batches of images to a Triton server, label maps back."""

from engine.infer.client import Segmentation, TritonModel

__all__ = ["Segmentation", "TritonModel"]
