"""DALI's pipeline: batches, what failures cost, decoding in the graph, the GPU form."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from types import ModuleType
from typing import Any

import imagecodecs
import numpy as np
import pytest
from frame_messages import frame
from preprocess_frames import CAPS, LIMIT_S, all_sorts, native, prepared, values, wanted

from engine.decode import decode
from engine.enhance import enhance
from engine.errors import DecodeFailed, EnhanceFailed
from engine.messages import FrameMessage, Palette
from engine.metrics import StageTimes
from engine.preprocess import dali, graph, make
from engine.preprocess.dali import Dali
from engine.preprocess.direct import Direct
from engine.preprocess.graph import Graph, Sample
from engine.preprocess.sixteen_bits import declare_sixteen_bits
from tests.test_engine.lossless import HTJ2K, JPEG_2000, JPEG_LOSSLESS, compressed
from tests.test_kernels.conftest import cupy as cupy
from tests.test_kernels.conftest import with_gpu
from tests.test_kernels.frames import picture
from tests.watching import until


@pytest.fixture
def pool() -> Iterator[Executor]:
    made = ThreadPoolExecutor(2)
    yield made
    made.shutdown()


@pytest.fixture
async def through(pool: Executor) -> AsyncIterator[Dali]:
    """DALI that decodes what it can, as on a GPU."""
    direct = Direct(pool, **CAPS)
    made = Dali(direct, pool, threads=2, max_batch=8, device="cpu", decodes=True, **CAPS)
    yield made
    await made.close()


async def observed(by: Dali, messages: list[FrameMessage]) -> list[np.ndarray | None]:
    """Return the stored values that the observer of each frame was given."""
    asked = (by.prepare(one, "cine", StageTimes(), np.copy) for one in messages)
    return [seen for _, seen in await asyncio.gather(*asked)]


class TestBatches:
    async def test_what_waits_goes_together_and_room_is_bounded(
        self, pool: Executor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sizes: list[int] = []
        first, go = threading.Event(), threading.Event()
        run = Graph.run

        def held(self: Graph, samples: list[Sample]) -> Any:
            sizes.append(len(samples))
            first.set()
            assert go.wait(LIMIT_S)
            return run(self, samples)

        monkeypatch.setattr(Graph, "run", held)
        made = make("dali", pool, threads=2, max_batch=8, **CAPS)
        assert isinstance(made, Dali)
        messages = [native(picture((64, 64), seed=i)) for i in range(40)]
        asked = asyncio.create_task(prepared(made, messages))
        assert await asyncio.to_thread(first.wait, LIMIT_S)
        await asyncio.to_thread(until, lambda: len(made._waiting) == 16 - sizes[0])
        assert made._room.locked()  # the other 24 are not even decoded yet
        go.set()
        assert all(isinstance(one, np.ndarray) for one in await asked)
        assert sizes[1] == 8
        assert max(sizes) == 8
        assert sum(sizes) == 40
        await made.close()

    async def test_closing_cancels_what_waits(
        self, pool: Executor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, go = threading.Event(), threading.Event()
        run = Graph.run

        def held(self: Graph, samples: list[Sample]) -> Any:
            first.set()
            assert go.wait(LIMIT_S)
            return run(self, samples)

        monkeypatch.setattr(Graph, "run", held)
        made = make("dali", pool, threads=2, max_batch=2, **CAPS)
        messages = [native(picture((64, 64), seed=i)) for i in range(9)]
        asked = asyncio.create_task(prepared(made, messages))
        assert await asyncio.to_thread(first.wait, LIMIT_S)
        closing = asyncio.create_task(made.close())
        answers = await asked
        assert all(isinstance(one, asyncio.CancelledError) for one in answers)
        go.set()
        await asyncio.wait_for(closing, LIMIT_S)


class TestFailures:
    async def test_an_operator_that_raises_costs_no_frame_and_the_pipeline_is_built_anew(
        self, through: Dali, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        messages = [native(picture((60 + (i == 3), 64), seed=i)) for i in range(8)]
        built: list[Any] = []
        right, build = graph._picture, Graph._built

        def picture_of(pixels: np.ndarray, sample: Sample) -> Any:
            if sample.info.rows == 61:
                raise RuntimeError("an operator's defect")
            return right(pixels, sample)

        def building(self: Graph, kind: Any) -> Any:
            built.append(kind)
            return build(self, kind)

        monkeypatch.setattr(graph, "_picture", picture_of)
        monkeypatch.setattr(Graph, "_built", building)
        with caplog.at_level(logging.WARNING):
            answers = await prepared(through, messages)
        assert "go one by one" in caplog.text
        for one, got in zip(messages, answers, strict=True):
            np.testing.assert_array_equal(got, wanted(one))
        await prepared(through, messages[:1])
        assert len(built) >= 2

    async def test_a_dali_that_is_broken_costs_no_frame(
        self, through: Dali, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError("no memory left on the device")

        monkeypatch.setattr(Graph, "_built", broken)
        messages = [native(picture((60, 64), seed=i)) for i in range(3)]
        refused = native(picture((8, 8)), photometric_interpretation="XYZ")
        *answers, failed = await prepared(through, [*messages, refused])
        for one, got in zip(messages, answers, strict=True):
            np.testing.assert_array_equal(got, wanted(one))
        assert isinstance(failed, EnhanceFailed)

    async def test_a_defect_of_ours_costs_its_frame_alone(
        self, through: Dali, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        messages = [compressed(picture((60, 64), seed=i), JPEG_2000, 16) for i in range(6)]

        def decoding(one: FrameMessage, **caps: int) -> np.ndarray:
            if one is messages[3]:
                raise MemoryError
            return decode(one, **caps)

        monkeypatch.setattr(dali, "declare_sixteen_bits", lambda *_, **__: (b"no codestream", 0))
        monkeypatch.setattr(dali, "decode", decoding)
        answers = await prepared(through, messages)
        assert [type(one) for one in answers].count(np.ndarray) == 5
        assert isinstance(answers[3], MemoryError)

    async def test_what_dali_cannot_decode_is_decoded_on_the_host(
        self, through: Dali, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        messages = [compressed(picture((60, 64), seed=i), JPEG_2000, 16) for i in range(8)]
        right = dali.declare_sixteen_bits

        def declared(one: FrameMessage, **caps: int) -> tuple[bytes, int] | None:
            return (b"no codestream", 0) if one is messages[3] else right(one, **caps)

        monkeypatch.setattr(dali, "declare_sixteen_bits", declared)
        for one, got in zip(messages, await prepared(through, messages), strict=True):
            np.testing.assert_array_equal(got, wanted(one))
        for one, got in zip(messages, await observed(through, messages), strict=True):
            np.testing.assert_array_equal(got, decode(one, **CAPS), strict=True)

    async def test_a_codestream_that_is_cut_off_is_refused_before_the_batch(
        self, through: Dali
    ) -> None:
        whole = compressed(picture((60, 64)), JPEG_2000, 16)
        cut = frame(
            whole.value[:300],
            **{f: getattr(whole.info, f) for f in ("rows", "columns")},
            transfer_syntax_uid=JPEG_2000,
        )
        answers = await prepared(through, [whole, cut])
        assert isinstance(answers[0], np.ndarray)
        assert isinstance(answers[1], DecodeFailed)

    async def test_a_defect_of_ours_reaches_the_caller(
        self, through: Dali, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(Dali, "_carried", broken)
        answers = await prepared(through, [native(picture((8, 8)))])
        assert isinstance(answers[0], ZeroDivisionError)
        monkeypatch.undo()
        assert isinstance((await prepared(through, [native(picture((8, 8)))]))[0], np.ndarray)


async def test_a_palette_goes_the_way_of_colour(
    through: Dali, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tables are on the host, where indices on a device cannot look anything up."""
    table = bytes(range(256))
    message = native(
        picture((60, 64), dtype=np.uint8, top=255),
        photometric_interpretation="PALETTE COLOR",
        palette=Palette(first=0, red=table, green=table, blue=table),
    )
    monkeypatch.setattr(Graph, "run", None)
    np.testing.assert_array_equal((await prepared(through, [message]))[0], wanted(message))


@pytest.mark.parametrize("syntax", [JPEG_2000, HTJ2K])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("signed", [False, True])
async def test_the_graph_decodes_lossless_frames_exactly(
    through: Dali, monkeypatch: pytest.MonkeyPatch, syntax: str, bits: int, signed: bool
) -> None:
    messages = [
        compressed(values(bits, signed, seed), syntax, bits, photometric_interpretation=meaning)
        for seed, meaning in enumerate(("MONOCHROME2", "MONOCHROME1"))
    ]
    pictures = [wanted(one) for one in messages]
    pixels = [decode(one, **CAPS) for one in messages]
    monkeypatch.setattr(dali, "decode", None)  # the host's decoders are not asked
    for got, want in zip(await prepared(through, messages), pictures, strict=True):
        np.testing.assert_array_equal(got, want)
    for got, want in zip(await observed(through, messages), pixels, strict=True):
        np.testing.assert_array_equal(got, want, strict=True)


def close_enough(got: np.ndarray, want: np.ndarray) -> bool:
    """A level at an edge may fall to the other side, and CLAHE widens the step."""
    return got.shape == want.shape and bool(np.mean(abs(got.astype(int) - want) > 1) < 0.001)


class TestOnAGpu:
    """The GPU form: its operator on the stand-in for CuPy, and all of it where there is a GPU."""

    def test_the_kernels_take_the_arrays_of_the_device(
        self, cupy: ModuleType, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        native_, encoded = native(values(12, True)), compressed(values(12, True), JPEG_2000, 12)
        (stream, added) = declare_sixteen_bits(encoded, **CAPS) or (b"", 0)
        decoded = imagecodecs.jpeg2k_decode(stream)[..., None]
        refused = native(np.zeros((8, 8), np.uint16), photometric_interpretation="XYZ")
        samples = [
            Sample(decode(native_, **CAPS), native_.info, "cine"),
            Sample(np.frombuffer(stream, np.uint8), encoded.info, "cine", added),
            Sample(decode(refused, **CAPS), refused.info, "cine"),
        ]
        made = Graph(threads=1, max_batch=8, device="gpu", each=map)
        monkeypatch.setattr(made, "_running", samples)
        frames = [samples[0].data, decoded, samples[2].data]
        shown = [cupy.asnumpy(one) for one in made._kernels([*map(cupy.asarray, frames)])]
        assert [one.shape for one in shown] == [(1, 256, 176), (1, 256, 176), (1, 1, 1)]
        for one, message in zip(shown, (native_, encoded), strict=False):
            want = enhance(decode(message, **CAPS), message.info, "cine", margins=False)
            assert close_enough(one[0], want)
        assert list(made._refused) == [2]

    @pytest.mark.gpu
    @pytest.mark.parametrize("decodes", [False, True])
    async def test_the_whole_of_it(self, pool: Executor, decodes: bool) -> None:
        with_gpu()
        made = Dali(
            Direct(pool, **CAPS),
            pool,
            threads=2,
            max_batch=8,
            device="gpu",
            decodes=decodes,
            **CAPS,
        )
        lossless = [
            compressed(values(bits, signed), syntax, bits)
            for syntax in (JPEG_2000, HTJ2K, JPEG_LOSSLESS)
            for bits, signed in ((12, False), (16, False), (16, True))
        ]
        messages = [*all_sorts(), *lossless]
        for one, got in zip(messages, await prepared(made, messages), strict=True):
            assert isinstance(got, np.ndarray), got
            assert close_enough(got, wanted(one))
        await made.close()
