"""From message to picture: what the direct way and DALI's both do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import imagecodecs
import numpy as np
import pytest
from frame_messages import frame
from preprocess_frames import CAPS, LIMIT_S, all_sorts, native, prepared, wanted

from engine.decode.syntaxes import JPEG_BASELINE
from engine.enhance import CHAINS
from engine.errors import DecodeFailed, EnhanceFailed, FrameError
from engine.messages import FrameMessage
from engine.metrics import StageTimes
from engine.preprocess import Preprocessor, as_coded, make
from tests.test_kernels.frames import picture


@pytest.fixture
def pool() -> Iterator[Executor]:
    made = ThreadPoolExecutor(2)
    yield made
    made.shutdown()


@pytest.fixture(params=["direct", "dali"])
async def either(request: pytest.FixtureRequest, pool: Executor) -> AsyncIterator[Preprocessor]:
    made = make(request.param, pool, threads=2, max_batch=8, **CAPS)
    yield made
    await made.close()


def spoiled(good: FrameMessage) -> list[tuple[FrameMessage, type[FrameError]]]:
    """Return frames that cannot be done, and how they fail."""
    return [
        (native(np.zeros((8, 8), np.uint16), rows=9), DecodeFailed),
        (native(np.zeros((8, 8), np.uint16), rescale_slope=float("nan")), EnhanceFailed),
        (native(np.zeros((8, 8), np.uint16), photometric_interpretation="XYZ"), EnhanceFailed),
        (native(np.zeros((8, 8), np.uint16), transfer_syntax_uid="1.2.3"), DecodeFailed),
    ]


class TestEither:
    """What both ways from a message to a picture do."""

    @pytest.mark.parametrize("chain", sorted(CHAINS))
    async def test_all_sorts_of_frames(self, either: Preprocessor, chain: str) -> None:
        messages = all_sorts()
        for one, got in zip(messages, await prepared(either, messages, chain), strict=True):
            np.testing.assert_array_equal(got, wanted(one, chain))

    async def test_a_bad_frame_in_a_batch_of_8_costs_itself(self, either: Preprocessor) -> None:
        good = [native(picture((60, 64), seed=i)) for i in range(7)]
        for bad, failure in spoiled(good[0]):
            answers = await prepared(either, [*good[:3], bad, *good[3:]])
            assert type(answers.pop(3)) is failure
            for one, got in zip(good, answers, strict=True):
                want = wanted(one)
                np.testing.assert_array_equal(got, want)

    async def test_an_unknown_chain(self, either: Preprocessor) -> None:
        (answer,) = await prepared(either, [native(picture((8, 8)))], "other")
        assert isinstance(answer, EnhanceFailed)

    async def test_stored_values_are_observed_and_the_stages_timed(
        self, either: Preprocessor
    ) -> None:
        pixels, times = picture((60, 64), dtype=np.int16), StageTimes()
        _, seen = await either.prepare(native(pixels), "cine", times, np.copy)
        np.testing.assert_array_equal(seen, pixels)
        assert set(times.ms) == {"decode", "enhance"}

    async def test_a_cancelled_frame_disturbs_no_other(self, either: Preprocessor) -> None:
        asked = [
            asyncio.create_task(either.prepare(native(picture((64, 64))), "cine", StageTimes()))
            for _ in range(12)
        ]
        await asyncio.sleep(0)
        asked[0].cancel()
        asked[11].cancel()
        async with asyncio.timeout(LIMIT_S):
            answers = await asyncio.gather(*asked, return_exceptions=True)
        gone = [at for at, one in enumerate(answers) if isinstance(one, asyncio.CancelledError)]
        assert gone == [0, 11]


def jpeg(coded: str, said: str, cut: int = 0) -> FrameMessage:
    """Return a frame of lossy JPEG in one colour space, whose header says another."""
    rgb = np.stack([picture((40, 48), dtype=np.uint8, top=255, seed=i) for i in range(3)], -1)
    value = imagecodecs.jpeg8_encode(rgb, colorspace="RGB", outcolorspace=coded)
    module = {"rows": 40, "columns": 48, "samples_per_pixel": 3, "bits_allocated": 8}
    syntax = {"transfer_syntax_uid": JPEG_BASELINE, "photometric_interpretation": said}
    return frame(value[: len(value) - cut], **module, **syntax)


class TestColourSpaces:
    """JFIF is in YBR, components named RGB are in RGB; headers say what they like."""

    @pytest.mark.parametrize(
        ("coded", "said", "known"),
        [("YCBCR", "RGB", "YBR_FULL_422"), ("RGB", "YBR_FULL_422", "RGB")],
    )
    def test_the_codestream_is_believed(self, coded: str, said: str, known: str) -> None:
        assert as_coded(jpeg(coded, said)) == jpeg(coded, known)

    @pytest.mark.parametrize(
        "message",
        [
            jpeg("YCBCR", "YBR_FULL"),
            jpeg("RGB", "RGB"),
            jpeg("YCBCR", "RGB", cut=600),
            native(np.zeros((8, 8), np.uint16)),
            native(np.zeros((8, 8, 3), np.uint8), photometric_interpretation="RGB"),
        ],
    )
    def test_others_come_back_as_they_are(self, message: FrameMessage) -> None:
        assert as_coded(message) is message
