"""The way of one frame: decode -> enhance -> infer -> postprocess."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import msgspec
import numpy as np

from engine.batches import Batches, SegmentationModel, Segmented
from engine.enhance import modality_values
from engine.errors import ClaimUnreadable, ConfigError
from engine.messages import Claim, FrameInfo, FrameMessage, FrameRef, Result, result_id
from engine.metrics import BatchTimes, FrameLink, StageTimes
from engine.novelty import OUT_OF_DISTRIBUTION, score
from engine.postprocess import (
    NOTHING,
    Observed,
    describe,
    features,
    measure,
    needs_values,
    observe,
    segment,
)
from engine.preprocess import as_coded, make
from engine.routes import Route, Routes

T = TypeVar("T")

FEATURE_DIGITS = 4


class ValueSource(Protocol):
    """Where a claim check's value is read from: the object store."""

    def get(self, key: str) -> bytes:
        """Return the stored bytes; raise `StoreUnavailable`."""


class Pipeline:
    """Carries frames through every stage, side by side; heavy work runs in a small thread pool."""

    def __init__(
        self,
        *,
        routes: Routes,
        models: Mapping[str, SegmentationModel],
        store: ValueSource,
        max_frame_bytes: int,
        max_batch: int,
        max_wait_s: float,
        slots: int,
        threads: int,
        preprocess: str = "direct",
        batching: str = "deadline",
        answered: Callable[[FrameMessage, Segmented], None] = lambda *_: None,
        computed: Callable[[FrameMessage, StageTimes], None] = lambda *_: None,
        batched: Callable[[BatchTimes], None] = lambda _: None,
    ) -> None:
        missing = sorted(routes.models - set(models))
        if missing:
            raise ConfigError(f"setting `routes` names model {missing[0]}, which is not served")
        self._routes = routes
        self._store = store
        self._answered = answered
        self._computed = computed
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="frame")
        self._preprocessor = make(
            preprocess,
            self._pool,
            threads=threads,
            max_frame_bytes=max_frame_bytes,
            max_batch=max_batch,
        )
        self._batches = {
            name: Batches(
                model,
                max_batch=max_batch,
                max_wait_s=max_wait_s,
                in_flight=slots,
                by_deadline=batching == "deadline",
                answered=batched,
            )
            for name, model in models.items()
        }

    async def process(self, message: FrameMessage, *, run: str = "") -> Result:
        """Return the frame's result; raise `FrameError` or `DependencyAway`."""
        times = StageTimes()
        times.add("transport", max(0.0, (time.time_ns() - message.accepted_ns) / 1e6))
        route = self._routes.of(message.info)
        if route is None:
            result = _result(message, None, times, run)
        else:
            result = await self._routed(message, route, times, run)
        self._computed(message, times)
        return result

    async def _routed(
        self, message: FrameMessage, route: Route, times: StageTimes, run: str
    ) -> Result:
        if message.claim is not None:
            message = await self._threaded(self._fetched, message, message.claim, times)
        message = as_coded(message)
        image, observed = await self._preprocessor.prepare(
            message, route.chain, times, _observer(message.info, route, times)
        )
        segmented = await self._batches[route.model].infer(
            image,
            message.deadline_ms / 1e3,
            message.lane,
            FrameLink(message.traceparent, message.id),
        )
        self._answered(message, segmented)
        times.add("batch", segmented.waited_ms, ended_ms_ago=segmented.infer_ms)
        times.add("infer", segmented.infer_ms)
        return await self._threaded(
            _finish, message, route, segmented, observed or NOTHING, times, run
        )

    async def close(self) -> None:
        """Stop taking frames; those in flight are cancelled."""
        for batches in self._batches.values():
            await batches.close()
        await self._preprocessor.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _fetched(self, message: FrameMessage, claim: Claim, times: StageTimes) -> FrameMessage:
        """Return the message with the value that its claim check names."""
        with times.stage("fetch"):
            value = self._store.get(claim.key)
            if len(value) != claim.length:
                raise ClaimUnreadable(
                    f"the stored value has {len(value)} bytes, not {claim.length}"
                )
            if hashlib.sha256(value).hexdigest() != claim.sha256:
                raise ClaimUnreadable("the stored value differs from the SHA-256 in x-claim")
            return msgspec.structs.replace(message, value=value)

    async def _threaded(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *args)


def _observer(
    info: FrameInfo, route: Route, times: StageTimes
) -> Callable[[np.ndarray], Observed] | None:
    """Return what takes from the pixels, before these are let go, what the features need."""
    if not needs_values(route.features):
        return None

    def look(pixels: np.ndarray) -> Observed:
        with times.stage("postprocess"):
            return observe(modality_values(pixels, info), route.features)

    return look


def _finish(
    message: FrameMessage,
    route: Route,
    segmented: Segmented,
    observed: Observed,
    times: StageTimes,
    run: str,
) -> Result:
    info = message.info
    with times.stage("postprocess"):
        label_map = segment(segmented.mask, (info.rows, info.columns))
        findings, masks = measure(
            label_map, segmented.labels, segmented.confidence, info.pixel_spacing
        )
        described, quality = _described(segmented, (info.rows, info.columns))
        described |= describe(
            observed, label_map, segmented.labels, route.features, info.pixel_spacing
        )
    result = _result(message, route, times, run)
    return msgspec.structs.replace(
        result,
        model=segmented.model,
        status="degraded" if segmented.late else "ok",
        degraded=["late"] if segmented.late else [],
        findings=findings,
        masks=masks,
        features=described,
        quality=quality,
    )


def _described(segmented: Segmented, shape: tuple[int, int]) -> tuple[dict[str, float], list[str]]:
    """Return the frame's features, with its `novelty` where the model has a range, and flags."""
    found = features(segmented.image, shape, segmented.mask, segmented.confidence)
    shown = {name: round(value, FEATURE_DIGITS) for name, value in found.items()}
    if segmented.trained_range is None:
        return shown, []
    novelty = score(found, segmented.trained_range)
    return {**shown, "novelty": novelty}, [OUT_OF_DISTRIBUTION] if novelty > 0 else []


def _result(message: FrameMessage, route: Route | None, times: StageTimes, run: str) -> Result:
    """Return the result without findings: what an unrouted frame gets."""
    name = route.name if route else ""
    return Result(
        id=result_id(message.id, name, run),
        frame=FrameRef.of(message),
        route=name,
        run=run,
        lane=message.lane,
        status="unrouted",
        stages_ms=times.ms,
        accepted_ns=message.accepted_ns,
        deadline_ms=message.deadline_ms,
        published_ns=0,
        traceparent=message.traceparent,
    )
