"""The check of a build: masks, Dice and confidences have to be those of fp32."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from engine.builds.drift import drift, refuse_drift
from engine.errors import BuildRefused
from engine.training.data import Slice
from engine.training.evaluate import Predict


def squares() -> list[Slice]:
    """Return ten slices with a bright square each, more than a batch; one has none."""
    found = []
    for number in range(10):
        mask = np.zeros((256, 256), np.uint8)
        mask[100:140, 110 : 110 + 5 * number] = 1
        name = f"A-IM-{number}.png"
        found.append(Slice(name=name, subject="A", pixels=mask * 200 + 20, mask=mask))
    return found


def answering(confidence: Callable[[int], float]) -> Predict:
    """Return a predictor that is right, and as sure of a batch as its size says."""

    def predict(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        masks = (images[:, 0] > 150).astype(np.uint8)
        sure = np.full((len(images), 1), confidence(len(images)), np.float32)
        return masks, sure * masks.any(axis=(1, 2))[:, None]

    return predict


EXACT = answering(lambda _: 0.9)


def test_the_same_answers_are_no_drift() -> None:
    found = drift(squares(), EXACT, EXACT)
    assert found.alike == 1.0
    assert found.confidence == 0.0
    refuse_drift(found, "itself")


@pytest.mark.parametrize("confidence", [0.0, 0.85, 1.0, float("nan")])
def test_other_confidences_on_the_same_masks_are_refused(confidence: float) -> None:
    found = drift(squares(), EXACT, answering(lambda _: confidence))
    assert found.alike == 1.0
    with pytest.raises(BuildRefused, match="other confidences"):
        refuse_drift(found, "unsure")


def test_one_batch_that_is_not_a_number_is_enough() -> None:
    found = drift(squares(), EXACT, answering(lambda size: 0.9 if size > 2 else np.nan))
    with pytest.raises(BuildRefused, match="other confidences"):
        refuse_drift(found, "unsure")
