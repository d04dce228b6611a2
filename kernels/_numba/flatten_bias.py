"""Homomorphic flattening on the CPU, with running sums: the radius costs nothing."""

import math

import numpy as np

from kernels._numba.jit import compiled
from kernels._reference.flatten_bias import PASSES, PRIOR
from kernels.backend import Array


def flatten_bias(frame: Array, radius: int, background: float) -> Array:
    """Return the frame divided by its field, float32."""
    values = np.ascontiguousarray(frame, np.float64)
    threshold = background * float(values.mean())
    planes = np.zeros((2, *values.shape), np.float64)
    _logarithms(values, threshold, planes[0], planes[1])
    for plane in planes:
        for _ in range(PASSES):
            _box_sum(plane, radius)
    out = np.empty(values.shape, np.float32)
    prior = PRIOR * float(2 * radius + 1) ** (2 * PASSES)
    _divide(values, planes[0], planes[1], prior, out)
    return out


@compiled
def _logarithms(values: Array, threshold: float, deviation: Array, weight: Array) -> None:
    """Write the logarithm less its mean where there is tissue, and 1 as its weight."""
    rows, columns = values.shape
    total, count = 0.0, 0
    for y in range(rows):
        for x in range(columns):
            if values[y, x] > threshold:
                weight[y, x] = 1
                deviation[y, x] = math.log(values[y, x])
                total += deviation[y, x]
                count += 1
    mean = total / max(count, 1)
    for y in range(rows):
        for x in range(columns):
            deviation[y, x] -= mean * weight[y, x]


@compiled
def _box_sum(plane: Array, radius: int) -> None:
    """Replace each pixel by the sum of the (2 * radius + 1)-square around it, outside zero.

    What is left behind is subtracted again: whole numbers, such as the weights, stay exact.
    """
    rows, columns = plane.shape
    before = plane.copy()
    running = np.zeros(columns)
    for y in range(-radius, rows):
        if y + radius < rows:
            running += before[y + radius]
        if y - radius > 0:
            running -= before[y - radius - 1]
        if y >= 0:
            _sum_along(running, radius, plane[y])


@compiled
def _sum_along(values: Array, radius: int, out: Array) -> None:
    total = 0.0
    for x in range(-radius, values.size):
        if x + radius < values.size:
            total += values[x + radius]
        if x - radius > 0:
            total -= values[x - radius - 1]
        if x >= 0:
            out[x] = total


@compiled
def _divide(values: Array, deviation: Array, weight: Array, prior: float, out: Array) -> None:
    rows, columns = values.shape
    for y in range(rows):
        for x in range(columns):
            field = deviation[y, x] / (weight[y, x] + prior)
            out[y, x] = np.float32(values[y, x] * math.exp(-field))
