"""The pinned stack of `pinned`, simulated: the same orders, the same arrivals, an `Outcome`."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

from perf.load.generator import Outcome
from perf.load.orders import Poisson
from perf.load.recorder import Histogram, Summary
from perf.load.schedule import poisson, until
from perf.plan.clock import Clock, Cores, Done
from perf.plan.costs import Costs, Works, factors
from perf.plan.layout import SERIES, layout
from perf.plan.unit import arrival, latencies, model_for, partition_of, rules_for
from perf.plan.worker import Broker, Frame, Worker, feed

PARTITIONS = 8  # the setting's default
BACKLOG = 1_500  # frames


class Replay:
    """`Replay(costs, workers).run(order)`, as the real stack's `run`."""

    def __init__(self, costs: Costs, workers: int, *, cores: int = 2) -> None:
        self._costs, self._workers, self._cores = costs, workers, cores
        self._works = costs.works(costs.small.pixels)

    def run(self, order: Poisson) -> Outcome:
        """Return what the stack would give; `stopped` where it would have ended the run early."""
        due = until(poisson(order.rate_hz, order.seed), order.seconds)
        return self._outcome(due, order.budget_ms / 1e3, order.most_under_way)

    def offline_hz(self) -> float:
        """Return the rate with a backlog: all frames are there at once."""
        return self._outcome([0.0] * BACKLOG, 60.0, None).rate_hz

    def _outcome(self, due: Iterable[float], budget_s: float, most: int | None) -> Outcome:
        clock = Clock()
        cores = Cores(clock, self._cores, contention=self._costs.contention)
        mine, others = layout(self._workers, range(self._cores))
        broker = Broker(clock, cores, self._costs.wait_s, others)
        answered: list[Frame] = []
        workers = [self._worker(clock, cores, broker, answered, budget_s, core) for core in mine]
        slower = factors(self._costs.spread, seed=3)
        arrivals = (
            Frame(arrival(at_s, partition_of(sent % SERIES, PARTITIONS), self._works, next(slower)))
            for sent, at_s in enumerate(due)
        )

        def generate(works: Works, done: Done) -> None:
            cores.run(works.generator_s, done, others)

        def worker_of(partition: int) -> Worker:
            return workers[partition * self._workers // PARTITIONS]

        frames = feed(clock, arrivals, generate, broker, worker_of)
        return _summed(frames, most is not None and _most_under_way(frames) >= most)

    def _worker(
        self,
        clock: Clock,
        cores: Cores,
        broker: Broker,
        answered: list[Frame],
        budget_s: float,
        core: int,
    ) -> Worker:
        return Worker(
            clock,
            cores,
            broker,
            model_for(self._costs, 1, None),
            rules_for(self._costs, 1),
            budget_s=budget_s,
            answered=answered.append,
            allowed=[core],
        )


def _most_under_way(frames: list[Frame]) -> int:
    changes = [(one.arrival.due_s, 1) for one in frames]
    changes += [(one.answered_s, -1) for one in frames if one.answered_s is not None]
    return max(accumulate(change for _, change in sorted(changes)), default=0)


def _summed(frames: list[Frame], stopped: bool) -> Outcome:
    last_s = max((one.answered_s or 0.0 for one in frames), default=0.0)
    seconds = max(last_s, 1e-9)
    found = latencies(frames)
    return Outcome(
        sent=len(frames),
        answered=found.count,
        seconds=seconds,
        rate_hz=found.count / seconds,
        latency_ms=Summary.of(found),
        lag_ms=Summary.of(Histogram([0])),
        statuses={},
        cpu_s=0.0,
        stopped=stopped,
    )
