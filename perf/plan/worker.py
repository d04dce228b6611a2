"""The way of a frame under a virtual clock: generator, broker, worker, Triton, broker, answer.

The batcher is the engine's own code (`engine/batcher.py`), asked as `engine/batches.py` asks it.
What a worker is here: one event loop, `compute_threads`, at most `inflight_frames` under way,
partitions that release in order and one at a time, and an instance or more of the model. All of it
takes its processor time from the cores that it may use.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.batcher import Batcher, Curve
from perf.plan.clock import Clock, Cores, Done, Threads
from perf.plan.costs import Works


class Arrival(NamedTuple):
    """A frame that is due at the generator. `partition` is of the topic, from 0.

    It takes `slower` times as long as `works` and its batch say, wherever it is.
    """

    due_s: float
    partition: int
    works: Works
    slower: float = 1.0


class Model(NamedTuple):
    """How batches are computed: seconds of processor time by size, on each instance's one thread.

    `on_cores` False is an accelerator: then `batch` is the time itself, and needs no core.
    `measured_s` is what the worker's batcher goes by.
    """

    batch: Curve
    measured_s: Mapping[int, float]
    instances: int = 1
    on_cores: bool = True


class Rules(NamedTuple):
    """The worker's settings, by their names in `docs/settings.md`."""

    max_batch: int = 8
    max_wait_s: float = 0.01
    inflight_frames: int = 64
    compute_threads: int = 2
    infer_slots: int = 3


@dataclass(slots=True)
class Frame:
    """One frame on its way."""

    arrival: Arrival
    finished: bool = False
    answered_s: float | None = None


@dataclass(slots=True)
class Batch:
    """Frames that are computed together; `began_s` is when an instance was free for them."""

    frames: list[Frame]
    began_s: float


@dataclass(slots=True)
class _Partition:
    frames: deque[Frame] = field(default_factory=deque)
    releasing: bool = False


class Broker:
    """Takes records in and gives them out; on shared cores, or on cores that are never short."""

    def __init__(
        self, clock: Clock, cores: Cores | None, wait_s: float, allowed: Sequence[int] = ()
    ) -> None:
        self._clock, self._cores, self._allowed = clock, cores, allowed
        self._wait_s = wait_s / 2  # on the way in, and on the way out

    def carry(self, work_s: float, done: Done, slower: float = 1.0) -> None:
        """Have one record carried; `done` once whoever reads has it."""
        self.work(work_s, lambda: self._clock.after(slower * self._wait_s, done))

    def work(self, work_s: float, done: Done) -> None:
        """Take processor time only."""
        if self._cores is None:
            self._clock.after(work_s, done)
        else:
            self._cores.run(work_s, done, self._allowed)


class Worker:
    """One worker and its instances of the model; `answered` is called with each frame."""

    def __init__(
        self,
        clock: Clock,
        cores: Cores,
        broker: Broker,
        model: Model,
        rules: Rules,
        *,
        budget_s: float,
        answered: Callable[[Frame], None],
        allowed: Sequence[int] = (),
    ) -> None:
        self._clock, self._broker, self._model, self._rules = clock, broker, model, rules
        self._budget_s, self._answered = budget_s, answered
        self._loop = Threads(clock, cores, 1, allowed)
        self._pool = Threads(clock, cores, rules.compute_threads, allowed)
        instances = model.instances
        self._instances = Threads(clock, cores if model.on_cores else None, instances, allowed)
        self._batcher: Batcher[Frame] = Batcher(
            max_batch=rules.max_batch,
            max_wait_s=rules.max_wait_s,
            curve=Curve(model.measured_s),
        )
        self._waiting: deque[Frame] = deque()
        self._partitions: dict[int, _Partition] = {}
        self._under_way = 0
        self._running = 0
        self._look_s: float | None = None
        self._ahead: Batch | None = None
        self.frames = self.batches = 0

    def take(self, frame: Frame) -> None:
        """Begin with a record that the broker gave, as soon as there is room."""
        self._waiting.append(frame)
        self._begin()

    def _begin(self) -> None:
        while self._waiting and self._under_way < self._rules.inflight_frames:
            frame = self._waiting.popleft()
            self._under_way += 1
            partition = self._partitions.setdefault(frame.arrival.partition, _Partition())
            partition.frames.append(frame)
            self._loop.run(frame.arrival.works.take_s, lambda one=frame: self._prepare(one))  # type: ignore[misc]

    def _prepare(self, frame: Frame) -> None:
        self._pool.run(frame.arrival.works.prepare_s, lambda: self._gather(frame))

    def _gather(self, frame: Frame) -> None:
        deadline_s = frame.arrival.due_s + self._budget_s
        self._batcher.add(frame, deadline_s=deadline_s, now_s=self._clock.now_s)
        self._look()

    def _look(self) -> None:
        """Send what is due; come back when the next batch will be."""
        now_s = self._clock.now_s
        while (due_s := self._due_s(now_s)) is not None and due_s <= now_s:
            self._send(Batch([one.item for one in self._batcher.take(now_s)], now_s))
        if due_s is not None and due_s != self._look_s:  # once: every frame that comes looks
            self._clock.at(due_s, self._look)
        self._look_s = due_s

    def _due_s(self, now_s: float) -> float | None:
        """Decide as `engine.batches.Batches` does."""
        if self._running >= self._rules.infer_slots:
            return None
        if self._running < self._model.instances:
            return self._batcher.due_s()
        ahead = self._running == self._model.instances and self._batcher.is_ripe(now_s)
        return now_s if ahead else None

    def _send(self, batch: Batch) -> None:
        if self._running >= self._model.instances:
            self._ahead = batch
        self._running += 1
        self.batches += 1
        self.frames += len(batch.frames)
        works, size = batch.frames[0].arrival.works, len(batch.frames)
        self._broker.work(works.broker_batch_s, lambda: None)
        compute_s = batch.frames[0].arrival.slower * self._model.batch.seconds(size)
        self._loop.run(
            works.batch_s, lambda: self._instances.run(compute_s, lambda: self._inferred(batch))
        )

    def _inferred(self, batch: Batch) -> None:
        now_s, curve = self._clock.now_s, self._batcher.curve
        if curve is not None and batch is not self._ahead:
            curve.observe(len(batch.frames), now_s - batch.began_s)
        if self._ahead is not None:
            self._ahead.began_s = now_s
            self._ahead = None
        self._running -= 1
        for frame in batch.frames:
            works = frame.arrival.works
            self._pool.run(works.finish_s, lambda one=frame: self._finished(one))  # type: ignore[misc]
        self._look()

    def _finished(self, frame: Frame) -> None:
        frame.finished = True
        self._release(self._partitions[frame.arrival.partition])

    def _release(self, partition: _Partition) -> None:
        """Publish the partition's first frame, once it is finished; the next one after that."""
        if partition.releasing or not partition.frames or not partition.frames[0].finished:
            return
        partition.releasing = True
        works = partition.frames[0].arrival.works
        slower = partition.frames[0].arrival.slower
        self._loop.run(works.publish_s, lambda: self._publish(partition, works, slower))

    def _publish(self, partition: _Partition, works: Works, slower: float) -> None:
        self._broker.carry(works.broker_out_s, lambda: self._released(partition), slower)

    def _released(self, partition: _Partition) -> None:
        frame = partition.frames.popleft()
        frame.answered_s = self._clock.now_s
        partition.releasing = False
        self._under_way -= 1
        self._answered(frame)
        self._begin()
        self._release(partition)


def feed(
    clock: Clock,
    coming: Iterable[Frame],
    generate: Callable[[Works, Done], None],
    broker: Broker,
    worker_of: Callable[[int], Worker],
) -> list[Frame]:
    """Send every frame through; return them, in their order, once all are answered."""
    frames: list[Frame] = []
    waiting = iter(coming)

    def arrive() -> None:
        """Send the frame that is due and wait for the next: the schedule may be long."""
        frame = next(waiting, None)
        if frame is not None:
            clock.at(frame.arrival.due_s, lambda: send(frame))

    def send(frame: Frame) -> None:
        frames.append(frame)
        works, worker = frame.arrival.works, worker_of(frame.arrival.partition)
        slower = frame.arrival.slower
        generate(works, lambda: broker.carry(works.broker_in_s, lambda: worker.take(frame), slower))
        arrive()

    arrive()
    clock.run()
    return frames
