"""What each stage of the path costs alone: processor seconds a frame, on all cores at once.

Together they are the path's own limit: no arrangement of the same stages can be faster than one
over their sum, on each core. Every stage is measured at its best: by itself, warm, on one thread,
the network in process at its best batch size, Kafka by its C client.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition

from engine.decode import decode
from engine.enhance import enhance, modality_values
from engine.messages import FRAMES, RESULTS, FrameMessage, FrameRef, ModelRef, Result, result_id
from engine.postprocess import describe, features, measure, observe, segment
from engine.routes import Routes
from perf.baselines.in_process import BATCHES, in_process

Array = np.ndarray[Any, np.dtype[Any]]
Stages = dict[str, float]
MAX_FRAME_BYTES = 2**26
WARM_ROUNDS, FETCHES, WAIT_S = 1, 64, 10.0


@contextmanager
def measuring(
    samples: Sequence[FrameMessage],
    broker: str,
    model: tuple[Path, str],
) -> Iterator[Callable[[float], Stages]]:
    """Give what measures every stage for some seconds and returns seconds a frame of each.

    One process on each core, all at once, since the path has them share caches and memory too;
    the figure is their mean. `model` is the file and its precision; `broker` has the topics.
    """
    cores = sorted(os.sched_getaffinity(0))
    context = multiprocessing.get_context("spawn")
    pools = [
        ProcessPoolExecutor(
            1, context, initializer=_prepare, initargs=(core, samples, broker, model)
        )
        for core in cores
    ]

    def measured(seconds: float) -> Stages:
        found: list[Future[Stages]] = [pool.submit(_measured, seconds) for pool in pools]
        each = [one.result() for one in found]
        return {name: sum(one[name] for one in each) / len(each) for name in each[0]}

    try:
        measured(0.1)
        yield measured
    finally:
        for pool in pools:
            pool.shutdown(cancel_futures=True)


_STAGES: dict[str, Callable[[], int]] = {}


def _prepare(
    core: int, samples: Sequence[FrameMessage], broker: str, model: tuple[Path, str]
) -> None:
    os.sched_setaffinity(0, {core})
    _STAGES.update(_Bench(samples, broker, model).stages())


def _measured(seconds: float) -> Stages:
    """Return the processor seconds a frame of each stage; each gets an equal share of the time."""
    found = {}
    for name, work in _STAGES.items():
        stop_s = time.perf_counter() + seconds / len(_STAGES)
        start_s, frames = time.process_time(), 0
        while not frames or time.perf_counter() < stop_s:
            frames += work()
        found[name] = (time.process_time() - start_s) / frames
    return found


class _Bench:
    """Every stage on the same frames; each call of one does all frames, and returns how many."""

    def __init__(
        self, samples: Sequence[FrameMessage], broker: str, model: tuple[Path, str]
    ) -> None:
        self.frames = list(samples)
        self.wire = [frame.to_kafka() for frame in samples]
        self.route = Routes.load().of(samples[0].info)
        self.pixels = [decode(one, max_frame_bytes=MAX_FRAME_BYTES) for one in samples]
        self.pictures = np.stack([self._enhanced(at) for at in range(len(samples))])[:, None]
        self.run = in_process(*model, threads=1)
        self.batch = min(BATCHES, key=partial(self._batch_s, count=3))
        answers = [self.run(picture[None]) for picture in self.pictures]
        self.masks = [(mask[0].copy(), float(sure[0, 0])) for mask, sure in answers]
        self.results = [self._finished(at) for at in range(len(samples))]
        self.broker = _Broker(broker, self.wire)

    def stages(self) -> dict[str, Callable[[], int]]:
        """Return what does all frames once, by stage."""
        each = {
            "read": lambda at: FrameMessage.from_kafka(self.wire[at][1], self.wire[at][2]),
            "decode": lambda at: decode(self.frames[at], max_frame_bytes=MAX_FRAME_BYTES),
            "enhance": self._enhanced,
            "postprocess": self._finished,
        }
        found: dict[str, Callable[[], int]] = {"fetch": self.broker.fetch}
        found |= {name: partial(self._all, work) for name, work in each.items()}
        found["infer"] = self._infer
        found["publish"] = lambda: self.broker.publish(map(msgspec.json.encode, self.results))
        return found

    def _all(self, work: Callable[[int], object]) -> int:
        for at in range(len(self.frames)):
            work(at)
        return len(self.frames)

    def _enhanced(self, at: int) -> Array:
        chain = self.route.chain if self.route else "cine"
        return enhance(self.pixels[at], self.frames[at].info, chain)

    def _infer(self) -> int:
        for start in range(0, len(self.pictures), self.batch):
            self.run(self.pictures[start : start + self.batch])
        return len(self.pictures)

    def _batch_s(self, size: int, count: int) -> float:
        """Return the seconds a frame of a batch size; the least of `count`."""
        times = []
        for _ in range(count):
            start_s = time.process_time()
            self.run(self.pictures[:size])
            times.append((time.process_time() - start_s) / min(size, len(self.pictures)))
        return min(times)

    def _finished(self, at: int) -> Result:
        """Do what the pipeline does after the network, and before it."""
        frame, (mask, sure) = self.frames[at], self.masks[at]
        info, groups = frame.info, self.route.features if self.route else []
        shape = (info.rows, info.columns)
        observed = observe(modality_values(self.pixels[at], info), groups)
        label_map = segment(mask, shape)
        labels = ("left-ventricle-cavity",)
        findings, masks = measure(label_map, labels, (sure,), info.pixel_spacing)
        described = features(self.pictures[at, 0], shape, mask, (sure,))
        described |= describe(observed, label_map, labels, groups, info.pixel_spacing)
        return Result(
            id=result_id(frame.id, "cine"),
            frame=FrameRef.of(frame),
            route="cine",
            lane="bulk",
            model=ModelRef(name="unet-lv", version="1", digest="0" * 64, precision="int8"),
            status="ok",
            findings=findings,
            masks=masks,
            features={name: round(value, 4) for name, value in described.items()},
            accepted_ns=frame.accepted_ns,
            deadline_ms=frame.deadline_ms,
            published_ns=0,
            traceparent=frame.traceparent,
        )


class _Broker:
    """Kafka's C client at both ends of the path, on topics of the bench's own stack."""

    def __init__(self, address: str, wire: Sequence[tuple[bytes, bytes, Any]]) -> None:
        common = {"bootstrap.servers": address, "log_level": 0}
        self._producer = Producer({**common, "acks": "all", "message.max.bytes": 2**24})
        for number in range(FETCHES):
            key, value, headers = wire[number % len(wire)]
            self._producer.produce(FRAMES, value=value, key=key, headers=dict(headers), partition=0)
        self._producer.flush(WAIT_S)
        options = {"group.id": "bench", "enable.auto.commit": False, "fetch.wait.max.ms": 5}
        self._consumer = Consumer({**common, **options})
        self._start = TopicPartition(FRAMES, 0, 0)

    def fetch(self) -> int:
        """Read the frames from the beginning."""
        self._consumer.assign([self._start])
        got, stop_s = 0, time.monotonic() + WAIT_S
        while got < FETCHES and time.monotonic() < stop_s:
            records = self._consumer.consume(FETCHES - got, timeout=1.0)
            got += sum(record.error() is None for record in records)
        if got < FETCHES:
            raise TimeoutError(f"the broker gave {got} of {FETCHES} frames of the bench")
        return got

    def publish(self, records: Iterator[bytes]) -> int:
        """Send the records and wait until all are confirmed."""
        count = 0
        for record in records:
            self._producer.produce(RESULTS, value=record, key=b"bench", partition=0)
            count += 1
        if self._producer.flush(WAIT_S):
            raise TimeoutError("the broker did not confirm the records of the bench")
        return count
