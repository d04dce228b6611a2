"""What no feature can be measured on is refused, in words."""

from __future__ import annotations

import math

import numpy as np
import pytest

import kernels
from kernels import KernelInputError
from tests.test_kernels.frames import picture

REGIONAL = (kernels.first_order, kernels.gradient, kernels.glcm)


@pytest.mark.parametrize("feature_", REGIONAL)
def test_regions_that_cannot_be_measured_are_refused(feature_) -> None:
    frame = picture((5, 6))
    with pytest.raises(KernelInputError, match="empty"):
        feature_(frame, np.zeros((5, 6), bool))
    with pytest.raises(KernelInputError, match="as `frame` is"):
        feature_(frame, np.ones((6, 5), bool))
    with pytest.raises(KernelInputError, match="uint8 or bool"):
        feature_(frame, np.ones((5, 6), np.int64))
    with pytest.raises(KernelInputError, match="NaN"):
        feature_(np.full((5, 6), np.nan))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda frame: kernels.shape(np.zeros((3, 3), bool)), "empty"),
        (lambda frame: kernels.shape(frame > 0, spacing=(0.0, 1.0)), "spacing"),
        (lambda frame: kernels.shape(frame > 0, spacing=(math.nan, 1.0)), "spacing"),
        (lambda frame: kernels.first_order(frame, bins=1), "bins"),
        (lambda frame: kernels.glcm(frame, levels=257), "levels"),
        (lambda frame: kernels.glcm(frame, distances=()), "distances"),
        (lambda frame: kernels.glcm(frame, distances=(0,)), "distances"),
        (lambda frame: kernels.sharpness(frame * np.inf), "infinity"),
        (lambda frame: kernels.first_order(np.array([[-1e308, 1e308]])), "spans more"),
        (lambda frame: kernels.noise(frame[0]), "rows, columns"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(call, text: str) -> None:
    with pytest.raises(KernelInputError, match=text):
        call(picture((8, 9)).astype(float) + 1)
