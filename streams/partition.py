"""One assigned partition: frames worked on side by side, released one after the other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass

from engine.messages import DeadLetter, Result
from streams.budget import Budget
from streams.frontier import Frontier

Outcome = Result | DeadLetter

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """One record of the partition: what computes its outcome, and how to acknowledge it.

    `acknowledge` returns False when the record belongs to an older generation of the group.
    `since_ns` is when its frame was accepted, Unix time.
    """

    offset: int
    size: int
    work: Callable[[], Coroutine[None, None, Outcome]]
    acknowledge: Callable[[], bool]
    since_ns: int = 0


class Partition:
    """The work on one partition, from its assignment to its revocation."""

    def __init__(self, publish: Callable[[Outcome], Awaitable[None]], budget: Budget) -> None:
        self._publish = publish
        self._budget = budget
        self._frontier: Frontier[Outcome] = Frontier()
        self._jobs: dict[int, Job] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._finished = asyncio.Event()
        self._releaser = asyncio.create_task(self._release())

    def __len__(self) -> int:
        return len(self._frontier)

    @property
    def oldest_ns(self) -> int | None:
        """When the lowest frame that is not acknowledged was accepted; any thread may ask."""
        jobs = list(self._jobs.values())  # one step, while the loop's thread goes on
        return jobs[0].since_ns if jobs else None

    def start(self, job: Job) -> bool:
        """Begin a record; False when it was begun already in this generation."""
        if self._frontier.has_taken(job.offset):
            return False
        self._frontier.take(job.offset)
        self._jobs[job.offset] = job
        self._tasks[job.offset] = asyncio.create_task(self._work(job))
        return True

    async def forget(self) -> None:
        """Drop everything: the partition is another worker's now, and so are its frames."""
        tasks = [self._releaser, *self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for job in self._jobs.values():
            await self._budget.release(job.size)
        self._jobs.clear()

    async def _work(self, job: Job) -> None:
        outcome = await job.work()
        self._frontier.finish(job.offset, outcome)
        del self._tasks[job.offset]
        self._finished.set()

    async def _release(self) -> None:
        """Publish, await the broker's confirmation, acknowledge: in offset order, for ever."""
        while True:
            head = self._frontier.head()
            if head is None:
                self._finished.clear()
                await self._finished.wait()
                continue
            offset, outcome = head
            await self._publish(outcome)
            job = self._jobs[offset]
            if not job.acknowledge():
                # A late acknowledgement re-adds its offset, and the commit steps over the hole
                # that the frames still in work have left.
                log.info("stopped releasing: the partition belongs to a newer generation")
                return
            self._frontier.release(offset)
            del self._jobs[offset]
            await self._budget.release(job.size)
