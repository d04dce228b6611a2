"""The worker's faust.App: settings that do not lose frames, one agent, and the way out.

Every setting below that differs from Faust's default cures a trap of faust-streaming 0.15.3; the
reasons are in `docs/decisions/0002-ordered-release.md`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import faust
import msgspec

from engine.config import Settings
from engine.errors import BrokerUnavailable
from engine.infer import TritonModel
from engine.messages import DEAD_LETTER, RESULTS, TOPIC_OF_LANE, DeadLetter, Result
from engine.pipeline import Pipeline
from engine.routes import Routes
from engine.store import LocalStore
from streams.budget import Budget
from streams.hold import Hold
from streams.partition import Outcome
from streams.topics import max_message_bytes
from streams.worker import FrameWorker

log = logging.getLogger(__name__)

READY_FILE = "SCANSTREAM_READY_FILE"


def make_app(settings: Settings, lane: str) -> faust.App:
    """Return the app of one lane: STAT and bulk are separate processes and groups."""
    largest = max_message_bytes(settings)
    datadir = settings.store / "faust"  # Faust wants one, though no table is on disk
    datadir.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        f"{settings.group}-{lane}",
        broker=f"kafka://{settings.broker}",
        autodiscover=False,
        store="memory://",
        datadir=str(datadir),
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        stream_buffer_maxsize=settings.inflight_frames,
        broker_max_poll_records=settings.inflight_frames,
        broker_commit_interval=0.5,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.0,
        broker_rebalance_timeout=6.0,
        broker_request_timeout=10.0,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=2 * largest,
        producer_max_request_size=largest,
        producer_request_timeout=10.0,
        producer_acks=-1,
    )
    _attach(app, settings, lane)
    return app


def _attach(app: faust.App, settings: Settings, lane: str) -> None:
    """Give the app its agent, and tie the frame worker to the app's life."""
    frames = _raw_topic(app, TOPIC_OF_LANE[lane])
    life = _Life(app, settings)
    app.on_partitions_revoked.connect(life.on_revoked)
    app.on_partitions_assigned.connect(life.on_assigned)
    app.on_before_shutdown.connect(life.on_shutdown)

    @app.agent(frames, name="frames")  # type: ignore[untyped-decorator]
    async def work(stream: Any) -> None:
        worker = life.worker()
        async for event in stream.noack().events():
            await worker.take(event.message, event.ack)


class _Life:
    """Builds the frame worker inside the app's loop and takes it down with the app."""

    def __init__(self, app: faust.App, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._worker: FrameWorker | None = None
        self._pipeline: Pipeline | None = None
        self._models: dict[str, TritonModel] = {}

    def worker(self) -> FrameWorker:
        """Return the worker; the first call builds it, in the running loop."""
        if self._worker is None:
            settings = self._settings
            self._pipeline = self._build_pipeline()
            self._worker = FrameWorker(
                self._pipeline.process,
                publisher(self._app, settings.confirm_timeout_s),
                generation=lambda: int(self._app.consumer_generation_id),
                budget=Budget(
                    max_bytes=settings.inflight_bytes, max_frames=settings.inflight_frames
                ),
                hold=Hold(max_s=settings.backoff_max_s),
                tries=settings.tries,
            )
        return self._worker

    def _build_pipeline(self) -> Pipeline:
        settings = self._settings
        routes = Routes.load(settings.routes)
        for name in routes.models:
            self._models[name] = TritonModel(
                settings.triton,
                name,
                max_batch=settings.max_batch,
                slots=settings.infer_slots,
                timeout_s=settings.infer_timeout_s,
            )
        return Pipeline(
            routes=routes,
            models=self._models,
            store=LocalStore(settings.store),
            max_frame_bytes=settings.max_frame_bytes,
            max_batch=settings.max_batch,
            max_wait_s=settings.max_wait_ms / 1e3,
            slots=settings.infer_slots,
            threads=settings.compute_threads,
        )

    async def on_revoked(self, app: Any, revoked: Any, **_: Any) -> None:
        """Drop the work on partitions that are another worker's now."""
        if self._worker is not None:
            await self._worker.revoke((tp.topic, tp.partition) for tp in revoked)

    async def on_assigned(self, app: Any, assigned: Any, **_: Any) -> None:
        """Tell whoever started this process that it is part of the group."""
        if ready := os.environ.get(READY_FILE):
            await asyncio.to_thread(Path(ready).touch)

    async def on_shutdown(self, app: Any, **_: Any) -> None:
        """Forget what is in work, then give the shared memory back."""
        if self._worker is not None:
            await self._worker.close()
        if self._pipeline is not None:
            await self._pipeline.close()
        for model in self._models.values():
            await model.close()


def publisher(app: faust.App, timeout_s: float) -> Callable[[Outcome], Awaitable[None]]:
    """Return what publishes one outcome and waits for the broker's confirmation."""
    topics = {Result: _raw_topic(app, RESULTS), DeadLetter: _raw_topic(app, DEAD_LETTER)}

    async def publish(outcome: Outcome) -> None:
        topic = topics[type(outcome)]
        try:
            async with asyncio.timeout(timeout_s):
                # send() only queues; its future is the broker's word
                await (await topic.send(**_record(outcome)))
        except Exception as error:
            raise BrokerUnavailable(
                f"{topic.get_topic_name()} did not confirm a record ({type(error).__name__})"
            ) from error

    return publish


def _record(outcome: Outcome) -> dict[str, Any]:
    """Return key, value and headers of an outcome, stamped with the time of publishing."""
    if isinstance(outcome, Result):
        outcome = _stamped(outcome)
    frame = outcome.frame
    headers = {
        "ce_specversion": "1.0",
        "ce_type": outcome.schema,
        "ce_id": outcome.id,
        "content-type": "application/json",
    }
    if isinstance(outcome, Result):
        headers["traceparent"] = outcome.traceparent
    return {
        "key": frame.series_instance_uid.encode() if frame else b"",
        "value": msgspec.json.encode(outcome),
        "headers": [(name, text.encode()) for name, text in headers.items()],
    }


def _stamped(result: Result) -> Result:
    """Add the time of publishing; what no stage accounts for is waiting for the frames before."""
    now_ns = time.time_ns()
    spent_ms = sum(result.stages_ms.values())
    waited_ms = max(0.0, (now_ns - result.accepted_ns) / 1e6 - spent_ms)
    stages_ms = result.stages_ms | {"release": round(waited_ms, 4)}
    return msgspec.structs.replace(result, published_ns=now_ns, stages_ms=stages_ms)


def _raw_topic(app: faust.App, name: str) -> Any:
    return app.topic(
        name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )
