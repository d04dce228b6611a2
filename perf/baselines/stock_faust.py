"""A stock Faust agent that does a frame's work inline: `python -m perf.baselines.stock_faust KIND`.

Faust as its tutorial has it, with its defaults: an agent over a topic of raw bytes, one frame after
the other, the result sent without waiting for the broker. KIND is `plain`, the plain loop's work
(pydicom, scikit-image, ONNX Runtime fp32 on both cores), or `inline`, our own decoder and kernels
and the build that we serve, run by OpenVINO on both cores: what is left between that and ours is
what the engine around the work does.

Only what would stop it, or help nobody, differs from Faust's defaults: no web server, no leader
topic, an in-memory store, and the records that the broker here takes.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from pydicom.dataset import Dataset

from engine.decode import decode
from engine.enhance import enhance
from engine.local.stack import READY_FILE
from engine.messages import FRAMES, RESULTS, FrameMessage
from engine.postprocess import encode_mask, segment
from engine.wire import opened
from perf.baselines.decode import dataset
from perf.baselines.in_process import in_process, served, served_file
from perf.baselines.plain_loop import PlainLoop

Array = np.ndarray[Any, np.dtype[Any]]
Work = Callable[[FrameMessage], tuple[Array, float]]
MAX_FRAME_BYTES = 2**26


def plain() -> Work:
    """Return the plain loop's work on one frame; the mask on the frame's grid, and its area."""
    loop = PlainLoop(served() / "model.onnx", threads=len(os.sched_getaffinity(0)))

    def work(frame: FrameMessage) -> tuple[Array, float]:
        found = loop(_as_pydicom_has_it(opened(frame)))
        return found.mask, found.area_mm2

    return work


def inline() -> Work:
    """Return the same work with our decoder, our kernels and the build that we serve."""
    run = in_process(*served_file(), threads=len(os.sched_getaffinity(0)))

    def work(frame: FrameMessage) -> tuple[Array, float]:
        info = frame.info
        picture = enhance(decode(frame, max_frame_bytes=MAX_FRAME_BYTES), info, "cine")
        mask = segment(run(picture[None, None])[0][0], (info.rows, info.columns))
        spacing = info.pixel_spacing or (0.0, 0.0)
        return mask, float(mask.sum()) * spacing[0] * spacing[1]

    return work


def _as_pydicom_has_it(frame: FrameMessage) -> Dataset:
    found = dataset(frame)
    found.PixelRepresentation = frame.info.pixel_representation
    found.PixelSpacing = list(frame.info.pixel_spacing or (0.0, 0.0))
    return found


def record(frame: FrameMessage, mask: Array, area_mm2: float) -> bytes:
    """Return the agent's result as JSON: what a load reads of ours is here too."""
    found = encode_mask(mask, "left-ventricle-cavity")
    about = {"frame": {"id": frame.id}, "status": "ok", "area_mm2": area_mm2, "masks": [found]}
    return msgspec.json.encode(about)


def app(work: Work) -> Any:
    """Return the Faust app."""
    import faust

    made = faust.App(
        "stock",
        broker=f"kafka://{os.environ['SCANSTREAM_BROKER']}",
        autodiscover=False,
        store="memory://",
        datadir=tempfile.mkdtemp(prefix="perf-stock-"),
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        broker_rebalance_timeout=6.0,  # this broker holds a joining group for half of it
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.0,
    )
    raw = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw"}
    frames = made.topic(FRAMES, value_serializer="raw", **raw)
    results = made.topic(RESULTS, value_serializer="raw", **raw)

    @made.agent(frames)  # type: ignore[untyped-decorator]
    async def segmented(stream: Any) -> None:
        async for event in stream.events():
            frame = FrameMessage.from_kafka(event.message.value, event.message.headers)
            mask, area_mm2 = work(frame)
            await results.send(key=event.message.key, value=record(frame, mask, area_mm2))

    ready = Path(os.environ[READY_FILE])
    made.on_partitions_assigned.connect(lambda *_, **__: ready.touch(), weak=False)
    return made


def main(kind: str) -> None:
    """Warm the work, then run the app until a signal."""
    import mode.loop

    mode.loop.use("uvloop")
    import faust

    work = {"plain": plain, "inline": inline}[kind]()
    faust.Worker(app(work), loglevel="WARNING", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main(sys.argv[1])
