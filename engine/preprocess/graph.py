"""The definition of DALI's pipeline, for the CPU and the GPU alike, and what runs it.

    frames ─▶ external source ─▶ decode ─▶ kernels ─▶ crop ─▶ uint8 (frames, 1, rows, columns)

DALI assembles the batch without copying it, moves it to the device, decodes lossless JPEG and
JPEG 2000 there with nvImageCodec, hands it over to the kernels through DLPack on its own stream,
places the pictures on their canvas and gives one dense batch. The kernels are ours on either
device, because DALI has no CLAHE of 16 bits, and its resize differs from the one that the model
was trained with (docs/decisions/0008-dali.md). On a CPU the frames come decoded.

**The GPU form has not run on hardware.** Its definition is the CPU's, with "gpu" and "mixed" for
"cpu", and the decoding in it is tested on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from nvidia.dali import Pipeline, fn, types

from engine.enhance import canvas_of, enhance
from engine.errors import FrameError
from engine.messages import FrameInfo
from engine.preprocess.direct import Array
from engine.preprocess.sixteen_bits import stored_values

Device = Literal["cpu", "gpu"]
Kind = tuple[str, str, bool]
Each = Callable[..., Iterable[Any]]
MAX_KINDS = 32  # pipelines kept; there is one for each dtype, depth of decoding and chain


class GraphFailed(Exception):
    """DALI refused a batch. Its pipeline is built anew; the frames may be tried one by one."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One frame as the external source takes it.

    `data`: stored values (rows, columns), or the bytes of a codestream declared to have 16 bits;
    then `added` is what its decoding adds to the values (`declare_sixteen_bits`), else None, and
    `observed` asks for the stored values beside the picture.
    """

    data: Array
    info: FrameInfo
    chain: str
    added: int | None = None
    observed: bool = False

    @property
    def kind(self) -> Kind:
        """What the samples of one batch have in common: DALI takes one dtype a pipeline."""
        return self.chain, self.data.dtype.str, self.added is not None


class Shown(NamedTuple):
    """What came out: the picture, uint8 (rows, columns), and the stored values if asked for."""

    picture: Array
    values: Array | None


class Graph:
    """DALI's pipelines, one for each kind of sample; for one thread, which builds them too.

    `each` maps a function over the frames of a batch, as `map` does, side by side on a CPU.
    """

    def __init__(self, *, threads: int, max_batch: int, device: Device, each: Each) -> None:
        self._threads = threads
        self._max_batch = max_batch
        self._device = device
        self._each = map if device == "gpu" else each  # CuPy's current stream is a thread's own
        self._pipelines: dict[Kind, Pipeline] = {}
        self._running: Sequence[Sample] = ()
        self._refused: dict[int, FrameError] = {}

    def run(self, samples: Sequence[Sample]) -> list[Shown | FrameError]:
        """Return what came of each frame, or why a kernel refused it.

        `samples` are of one kind and at most `max_batch`. Raises `GraphFailed` when DALI itself
        fails: it does not say by whose fault, and the pipeline object is of no use any more.
        """
        kind = samples[0].kind
        self._running, self._refused = samples, {}
        try:
            shown = self._shown(kind, samples)
        except Exception as error:  # DALI raises anything
            self._pipelines.pop(kind, None)
            raise GraphFailed(_in_short(error)) from error
        finally:
            self._running = ()
        return [self._refused.get(at, one) for at, one in enumerate(shown)]

    def close(self) -> None:
        """Give up DALI's threads and memory."""
        self._pipelines.clear()

    def _shown(self, kind: Kind, samples: Sequence[Sample]) -> list[Shown]:
        if kind not in self._pipelines:
            if len(self._pipelines) >= MAX_KINDS:
                self._pipelines.clear()
            self._pipelines[kind] = self._built(kind)
        pipeline = self._pipelines[kind]
        pipeline.feed_input("frames", [sample.data for sample in samples])
        pictures, *decoded = pipeline.run()
        pictures = self._host(pictures)
        if decoded and any(sample.observed for sample in samples):
            decoded = [self._host(decoded[0])]
        return [
            # Copies: DALI gives the buffers to the next batch.
            Shown(np.array(pictures[at])[0], _observed(sample, decoded, at))
            for at, sample in enumerate(samples)
        ]

    def _host(self, batch: Any) -> Any:
        """Return a batch in host memory: on a GPU a copy, and it waits for the device."""
        return batch.as_cpu() if self._device == "gpu" else batch  # synchronize

    def _built(self, kind: Kind) -> Pipeline:
        chain, _, encoded = kind
        pipeline = Pipeline(
            batch_size=self._max_batch,
            num_threads=self._threads,
            device_id=0 if self._device == "gpu" else None,
            exec_async=False,  # a batch goes in and comes out: prefetching would wait for the next
            exec_pipelined=False,
        )
        with pipeline:
            outputs = definition(self._device, canvas_of(chain), encoded, self._kernels)
            pipeline.set_outputs(*outputs)
        pipeline.build()
        return pipeline

    def _kernels(self, frames: list[Array]) -> list[Array]:
        """Carry a batch through its chain; an operator of the pipeline."""
        pictures: list[Array | FrameError] = list(self._each(_picture, frames, self._running))
        for at, picture in enumerate(pictures):
            if isinstance(picture, FrameError):
                self._refused[at] = picture
        return [
            _nothing_like(frame) if isinstance(picture, FrameError) else picture[None]
            for frame, picture in zip(frames, pictures, strict=True)
        ]


def definition(
    device: Device,
    canvas: int | None,
    encoded: bool,
    kernels: Callable[[list[Array]], list[Array]],
) -> list[Any]:
    """Return the outputs of the graph: pictures, uint8 (1, rows, columns), and what was decoded.

    Call it inside a pipeline. `kernels` takes and gives the arrays of a batch, which are NumPy's or
    CuPy's: stored values (rows, columns), or decoded ones (rows, columns, 1); pictures (1, rows,
    columns). They are put on a `canvas` x `canvas` of zeros, unless it is None.
    """
    frames = fn.external_source(name="frames", no_copy=True)
    if encoded:
        frames = fn.decoders.image(
            frames,
            device="mixed" if device == "gpu" else "cpu",
            output_type=types.ANY_DATA,
            dtype=types.UINT16,
        )
    elif device == "gpu":
        frames = frames.gpu()
    pictures = fn.python_function(
        frames, function=kernels, batch_processing=True, device=device, output_layouts="CHW"
    )
    if canvas is not None:
        pictures = fn.crop(
            pictures,
            crop=(canvas, canvas),
            rounding="truncate",  # the odd row of the margins is the last one, as in `kernels.fit`
            out_of_bounds_policy="pad",
        )
    return [pictures, frames] if encoded else [pictures]


def _picture(frame: Array, sample: Sample) -> Array | FrameError:
    """Return the frame's picture without margins, or why there is none."""
    try:
        if sample.added is not None:
            frame = stored_values(frame[..., 0], sample.info, sample.added)
        return enhance(frame, sample.info, sample.chain, margins=False)
    except FrameError as error:
        return error


def _observed(sample: Sample, decoded: Sequence[Any], at: int) -> Array | None:
    if not sample.observed or sample.added is None:
        return None
    return stored_values(np.array(decoded[0][at])[..., 0], sample.info, sample.added)


def _nothing_like(frame: Array) -> Array:
    """Return a picture of one pixel in the same memory: a refused frame keeps its place."""
    return frame.reshape(-1)[:1].astype(np.uint8).reshape(1, 1, 1)


def _in_short(error: Exception) -> str:
    """Return DALI's own words without its tracebacks. It saw pixels only."""
    words = str(error).rpartition("encountered:")[2].partition("\nAt:")[0]
    words = words.removesuffix("Current pipeline object is no longer valid.")
    return f"{type(error).__name__}: {' '.join(words.split())[:160]}"
