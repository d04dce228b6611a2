"""The enhancement chains."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import kernels
from engine import enhance as chains
from engine.enhance import CHAINS, enhance, enhance_array, warm
from engine.errors import EnhanceFailed
from engine.messages import FrameInfo
from tests.test_kernels.frames import picture


def info_of(pixels: Any, **changed: Any) -> FrameInfo:
    told: dict[str, Any] = {
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.4",
        "sop_instance_uid": "2.25.1",
        "study_instance_uid": "2.25.2",
        "series_instance_uid": "2.25.3",
        "frame_number": 5,
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "rows": pixels.shape[0],
        "columns": pixels.shape[1],
        "samples_per_pixel": pixels.shape[2] if pixels.ndim == 3 else 1,
        "bits_allocated": 16,
        "bits_stored": 12,
        "high_bit": 11,
        "photometric_interpretation": "MONOCHROME2",
    }
    return FrameInfo(**(told | changed))


@pytest.mark.parametrize("shape", [(256, 256), (512, 512), (100, 231), (1, 1), (3, 700)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32])
@pytest.mark.parametrize("chain", ["cine", "enhance", "plain"])
def test_a_chain_gives_uint8_256(shape: tuple[int, int], dtype: type, chain: str) -> None:
    pixels = picture(shape, dtype=dtype, top=255)
    got = enhance(pixels, info_of(pixels), chain)
    windowed = info_of(pixels, window_center=100.0, window_width=80.0)
    assert enhance(pixels, windowed, chain).shape == (256, 256)
    assert got.shape == (256, 256)
    assert got.dtype == np.uint8


def test_cine_is_its_steps() -> None:
    pixels = picture((200, 240), dtype=np.int16)
    want = kernels.percentile_window(pixels, low=1, high=99.5)
    want = kernels.normalise(kernels.clahe(want, clip_limit=2.0), spread=4.0)
    np.testing.assert_array_equal(enhance_array(pixels, "cine"), kernels.letterbox(want, size=256))


def enhanced_by_steps(levels: Any) -> Any:
    """Carry 12-bit levels of (300, 400) through what the chain "enhance" does after the window."""
    levels = kernels.clahe(kernels.median3(levels), clip_limit=2.0)
    levels = kernels.unsharp(levels, sigma=1.0, amount=0.5)
    small = kernels.normalise(kernels.resample(levels, shape=(192, 256)))
    want = np.zeros((256, 256), np.uint8)
    want[32:224] = small
    return want


def test_enhance_is_its_steps_with_the_window_of_the_header() -> None:
    pixels = picture((300, 400), dtype=np.int16)
    info = info_of(pixels, window_center=1200.0, window_width=900.0, rescale_slope=0.5)
    levels = kernels.window(
        kernels.modality(pixels, slope=0.5, intercept=0), center=1200, width=900, bins=4096
    )
    np.testing.assert_array_equal(enhance(pixels, info, "enhance"), enhanced_by_steps(levels))


def test_without_a_window_percentiles_stand_for_it() -> None:
    pixels = picture((300, 400), dtype=np.int16)
    levels = kernels.percentile_window(pixels, low=1, high=99.5)
    np.testing.assert_array_equal(
        enhance(pixels, info_of(pixels), "enhance"), enhanced_by_steps(levels)
    )
    small = kernels.resample(levels, shape=(192, 256))
    plain = enhance(pixels, info_of(pixels), "plain")
    np.testing.assert_array_equal(plain[32:224], kernels.normalise(small))


def test_plain_is_its_steps() -> None:
    pixels = picture((300, 400), dtype=np.int16)
    info = info_of(pixels, window_center=1200.0, window_width=900.0)
    grey = kernels.resample(kernels.window(pixels, center=1200, width=900), shape=(192, 256))
    got = enhance(pixels, info, "plain").astype(int)
    assert abs(got[32:224] - kernels.normalise(grey)).max() <= 1
    assert not got[:32].any()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32])
@pytest.mark.parametrize(
    ("width", "given", "function"),
    [
        (0.5, "LINEAR", "LINEAR_EXACT"),
        (80.0, "LINEAR", "LINEAR"),
        (80.0, "LINEAR_EXACT", "LINEAR_EXACT"),
        (80.0, "SIGMOID", "SIGMOID"),
    ],
)
def test_a_window_is_mirrored_with_the_values(
    dtype: type, width: float, given: str, function: str
) -> None:
    pixels = picture((64, 48), dtype=dtype, top=200)
    info = info_of(
        pixels,
        photometric_interpretation="MONOCHROME1",
        window_center=90.0,
        window_width=width,
        voi_lut_function=given,
    )
    grey = 1 - kernels.window(pixels, center=90.0, width=width, function=function)
    want = kernels.letterbox(kernels.normalise(kernels.resample(grey, shape=(256, 192))), size=256)
    # where LINEAR cuts, the standard has <= on one side and > on the other
    assert np.mean(abs(enhance(pixels, info, "plain").astype(int) - want) > 1) < 0.001


def test_training_and_serving_see_the_same_picture() -> None:
    pixels = picture((256, 256), dtype=np.int16)
    served = enhance(
        np.frombuffer(pixels.tobytes(), np.int16).reshape(256, 256), info_of(pixels), "cine"
    )
    np.testing.assert_array_equal(served, enhance_array(pixels, "cine"))


def test_the_rescale_of_the_scanner_does_not_change_the_picture() -> None:
    pixels = picture((128, 128))
    plain = enhance(pixels, info_of(pixels), "cine").astype(int)
    info = info_of(pixels, rescale_slope=0.25, rescale_intercept=-1024.0)
    # a level at an edge may fall to the other side, and CLAHE widens the step
    assert np.mean(abs(enhance(pixels, info, "cine") - plain) > 1) < 0.001


def test_monochrome1_is_inverted() -> None:
    pixels = picture((256, 256))
    info = info_of(pixels, photometric_interpretation="MONOCHROME1")
    rescaled = info_of(
        pixels, photometric_interpretation="MONOCHROME1", rescale_slope=2.0, rescale_intercept=1.0
    )
    want = enhance_array(65535 - pixels, "cine")
    np.testing.assert_array_equal(enhance(pixels, info, "cine"), want)
    assert np.mean(abs(enhance(pixels, rescaled, "cine").astype(int) - want) > 1) < 0.001


def test_colour_becomes_luma() -> None:
    grey = picture((64, 48), dtype=np.uint8, top=255)
    rgb = np.stack([grey, grey, grey], axis=-1)
    got = enhance(rgb, info_of(rgb, photometric_interpretation="RGB"), "cine")
    want = enhance_array(grey, "cine")
    assert np.mean(abs(got.astype(int) - want) > 1) < 0.01
    ybr = np.stack([grey, grey // 2, grey // 3], axis=-1)
    for meaning in ("YBR_FULL", "YBR_FULL_422"):
        got = enhance(ybr, info_of(ybr, photometric_interpretation=meaning), "cine")
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("meaning", ["RGB", "YBR_RCT", "YBR_ICT"])
def test_luma_weighs_green_most(meaning: str) -> None:
    """Of JPEG 2000 too, whose decoders undo its own transforms (PS3.5 8.2.4)."""
    rgb = np.zeros((3, 1, 3), np.uint8)
    rgb[0, 0, 0] = rgb[1, 0, 1] = rgb[2, 0, 2] = 100
    luma = chains._grey(rgb, info_of(rgb, photometric_interpretation=meaning))
    np.testing.assert_allclose(luma, [[29.9], [58.7], [11.4]], rtol=1e-6)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"rows": 9}, "header promises"),
        ({"samples_per_pixel": 3}, "header promises"),
        ({"photometric_interpretation": "PALETTE COLOR"}, "PALETTE COLOR"),
        ({"rescale_slope": float("nan")}, "slope"),
        ({"rescale_intercept": float("inf")}, "intercept"),
    ],
)
def test_what_cannot_be_enhanced_is_refused(changed: dict[str, Any], text: str) -> None:
    pixels = picture((8, 8))
    with pytest.raises(EnhanceFailed, match=f"frame 5, chain cine: .*{text}"):
        enhance(pixels, info_of(pixels, **changed), "cine")


def test_an_unknown_chain_names_those_that_exist() -> None:
    pixels = picture((8, 8))
    with pytest.raises(EnhanceFailed, match=r"chain other: .*these exist: cine"):
        enhance(pixels, info_of(pixels), "other")
    with pytest.raises(EnhanceFailed, match="these exist: cine"):
        enhance_array(pixels, "other")
    with pytest.raises(EnhanceFailed, match="NaN"):
        enhance_array(np.full((4, 4), np.nan), "cine")


def test_a_pixel_that_varies_in_nothing_gives_the_middle() -> None:
    assert (enhance_array(np.full((256, 256), 77, np.int16), "cine") == 128).all()


def test_warm_compiles_every_chain() -> None:
    warm()
    assert "cine" in CHAINS


def test_frames_side_by_side_are_as_one_by_one() -> None:
    frames = [picture((200 + i, 260), seed=i) for i in range(8)]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda frame: enhance_array(frame, "cine"), frames))
    for picture_, frame in zip(got, frames, strict=True):
        np.testing.assert_array_equal(picture_, enhance_array(frame, "cine"))
