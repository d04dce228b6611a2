"""The worker's faust.App: one agent, and what lives and dies with the app."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import faust
import msgspec

from engine.config import Settings
from engine.messages import DEAD_LETTER, RESULTS, TOPIC_OF_LANE, DeadLetter, Lane, Result
from engine.observe.role import Shown
from engine.observe.worker import WorkerNotes
from engine.pipeline import Pipeline
from engine.routes import Routes
from engine.store import open_store
from streams.base import new_app, tell_ready
from streams.budget import Budget
from streams.hold import Hold
from streams.models import WorkerModels
from streams.partition import Outcome
from streams.ready import broker_check, member_check, triton_check
from streams.sending import raw_topic, send_confirmed
from streams.topics import RECORD_BYTES
from streams.worker import FrameWorker

log = logging.getLogger(__name__)


def make_app(settings: Settings, lane: Lane, shown: Shown | None = None) -> faust.App:
    """Return the app of one lane: STAT and bulk are separate processes and groups.

    It is seen through `shown`, which ends with it.
    """
    routes = Routes.load(settings.routes)  # a wrong file stops the worker before it joins
    app = new_app(f"{settings.group}-{lane}", settings)
    _attach(app, lane, _Life(app, settings, routes, lane, shown or Shown("worker", settings)))
    return app


def _attach(app: faust.App, lane: Lane, life: _Life) -> None:
    """Give the app its agent, and tie the frame worker to the app's life."""
    frames = raw_topic(app, TOPIC_OF_LANE[lane])
    app.on_partitions_revoked.connect(life.on_revoked)
    app.on_partitions_assigned.connect(life.on_assigned)
    app.on_before_shutdown.connect(life.on_shutdown)

    @app.agent(frames, name="frames")  # type: ignore[untyped-decorator]
    async def work(stream: Any) -> None:
        worker = await life.worker()
        async for event in stream.noack().events():
            await worker.take(event.message, event.ack)


class _Life:
    """Builds the frame worker inside the app's loop and takes it down with the app."""

    def __init__(
        self, app: faust.App, settings: Settings, routes: Routes, lane: Lane, shown: Shown
    ) -> None:
        self._app = app
        self._shown = shown
        self._notes = WorkerNotes(lane, shown.instruments, shown.spans)
        self._assigned = False
        self._routes = routes
        self._settings = settings
        self._worker: FrameWorker | None = None
        self._pipeline: Pipeline | None = None
        self._models: WorkerModels | None = None

    async def worker(self) -> FrameWorker:
        """Return the worker; the first call builds it, once it is known which models serve."""
        if self._worker is None:
            settings = self._settings
            self._models = models = WorkerModels(self._app, settings, self._routes.models)
            self._answer_probes(models)
            await models.start()
            self._pipeline = self._build_pipeline(models)
            budget = Budget(max_bytes=settings.inflight_bytes, max_frames=settings.inflight_frames)
            hold = Hold(max_s=settings.backoff_max_s)
            self._worker = worker = FrameWorker(
                self._pipeline.process,
                publisher(self._app, settings.confirm_timeout_s, self._notes.published),
                generation=lambda: int(self._app.consumer_generation_id),
                budget=budget,
                hold=hold,
                tries=settings.tries,
                max_record_bytes=RECORD_BYTES,
            )
            self._notes.watch(
                budget,
                models.clients,
                oldest_ns=worker.oldest_ns,
                holding=lambda: hold.holding,
            )
        return self._worker

    def _build_pipeline(self, models: WorkerModels) -> Pipeline:
        settings = self._settings
        return Pipeline(
            routes=self._routes,
            models=models.clients,
            answered=models.answered,
            store=open_store(settings),
            max_frame_bytes=settings.max_frame_bytes,
            max_batch=settings.max_batch,
            max_wait_s=settings.max_wait_ms / 1e3,
            batching=settings.batching,
            slots=settings.infer_slots,
            threads=settings.compute_threads,
            preprocess=settings.preprocess,
            computed=self._notes.computed,
            batched=self._notes.batch,
        )

    def _answer_probes(self, models: WorkerModels) -> None:
        self._shown.health.attach(
            asyncio.get_running_loop(),
            {
                "broker": broker_check(self._app),
                "group": member_check(lambda: self._assigned, "no partitions were assigned yet"),
                "triton": triton_check(lambda: models.clients),
            },
        )

    async def on_revoked(self, app: Any, revoked: Any, **_: Any) -> None:
        """Drop the work on partitions that are another worker's now."""
        if self._worker is not None:
            await self._worker.revoke((tp.topic, tp.partition) for tp in revoked)

    async def on_assigned(self, app: Any, assigned: Any, **_: Any) -> None:
        """Say that this process is part of the group."""
        self._assigned = True
        tell_ready()

    async def on_shutdown(self, app: Any, **_: Any) -> None:
        """Forget what is in work, then give the shared memory back."""
        if self._worker is not None:
            await self._worker.close()
        if self._pipeline is not None:
            await self._pipeline.close()
        if self._models is not None:
            await self._models.close()
        await asyncio.to_thread(self._shown.close)


def publisher(
    app: faust.App, timeout_s: float, confirmed: Callable[[Outcome], None] = lambda _: None
) -> Callable[[Outcome], Awaitable[None]]:
    """Return what publishes one outcome, waits for the broker's confirmation and tells of it."""
    topics = {Result: raw_topic(app, RESULTS), DeadLetter: raw_topic(app, DEAD_LETTER)}

    async def publish(outcome: Outcome) -> None:
        if isinstance(outcome, Result):
            outcome = _stamped(outcome)
        frame = outcome.frame
        key = frame.series_instance_uid if frame else ""
        trace = {"traceparent": outcome.traceparent} if outcome.traceparent else {}
        await send_confirmed(topics[type(outcome)], key, outcome, timeout_s, trace)
        confirmed(outcome)

    return publish


def _stamped(result: Result) -> Result:
    """Add the time of publishing; what no stage accounts for is waiting for the frames before."""
    now_ns = time.time_ns()
    spent_ms = sum(result.stages_ms.values())
    waited_ms = max(0.0, (now_ns - result.accepted_ns) / 1e6 - spent_ms)
    stages_ms = result.stages_ms | {"release": round(waited_ms, 4)}
    return msgspec.structs.replace(result, published_ns=now_ns, stages_ms=stages_ms)
