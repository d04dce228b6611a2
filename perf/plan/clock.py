"""Virtual time, and cores that the work of several threads shares."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count

Done = Callable[[], None]
_SAME_S = 1e-9  # less work left than this is none: times of hours lose what is below


class Clock:
    """Calls things at their time, in the order of time; nobody waits."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._numbers = count()  # what is due at the same time is called in the order asked for
        self._due: list[tuple[float, int, Done]] = []

    def at(self, at_s: float, call: Done) -> None:
        """Call at a time, seconds; one that has passed is now."""
        heapq.heappush(self._due, (max(at_s, self.now_s), next(self._numbers), call))

    def after(self, wait_s: float, call: Done) -> None:
        """Call after a time, seconds."""
        self.at(self.now_s + wait_s, call)

    def run(self) -> None:
        """Go on until nothing is due any more."""
        while self._due:
            self.now_s, _, call = heapq.heappop(self._due)
            call()


class _Core:
    """One core that gives all its tasks the same share.

    `served_s` is the work that a task has had which is here since the beginning: a task that comes
    then is done once it has grown by the task's work.
    """

    __slots__ = ("served_s", "tasks")

    def __init__(self) -> None:
        self.served_s = 0.0
        self.tasks: list[tuple[float, int, Done, Sequence[int]]] = []


class Cores:
    """Cores under a fair scheduler: processor sharing on each, and idle cores pull tasks.

    A task comes to the least busy of the cores it may use. `contention` is by how much work takes
    longer while all other cores are busy too (memory and caches are shared), at least 1.
    """

    def __init__(self, clock: Clock, number: int, *, contention: float = 1.0) -> None:
        if number < 1 or contention < 1:
            raise ValueError(f"{number} cores and a contention of {contention}: 1 is the least")
        self._clock = clock
        self._cores = [_Core() for _ in range(number)]
        self.all = range(number)
        self._more = contention - 1
        self._numbers = count()
        self._changed_s = 0.0
        self._version = 0
        self.busy_s = 0.0  # of all cores together

    def run(self, work_s: float, done: Done, allowed: Sequence[int] = ()) -> None:
        """Have `work_s` seconds of one thread's work done on one of `allowed`; none says any."""
        allowed = allowed or self.all
        self._advance()
        core = min((self._cores[one] for one in allowed), key=lambda each: len(each.tasks))
        entry = (core.served_s + work_s, next(self._numbers), done, allowed)
        heapq.heappush(core.tasks, entry)
        self._plan()

    def _pace(self) -> float:
        """Return what a busy core does of its tasks' work a second."""
        busy = sum(1 for core in self._cores if core.tasks)
        return 1 / (1 + self._more * (busy - 1) / max(1, len(self._cores) - 1))

    def _advance(self) -> None:
        passed_s = self._clock.now_s - self._changed_s
        if passed_s > 0:
            done_s = passed_s * self._pace()
            for core in self._cores:
                if core.tasks:
                    core.served_s += done_s / len(core.tasks)
                    self.busy_s += passed_s
        self._changed_s = self._clock.now_s

    def _plan(self) -> None:
        """Have the next task that will be done looked at, at its time."""
        self._version += 1
        version = self._version
        left = [
            (core.tasks[0][0] - core.served_s) * len(core.tasks)
            for core in self._cores
            if core.tasks
        ]
        if left:
            self._clock.after(max(0.0, min(left)) / self._pace(), lambda: self._finish(version))

    def _finish(self, version: int) -> None:
        if version != self._version:
            return  # something has come since this was planned
        self._advance()
        done = []
        for core in self._cores:
            while core.tasks and core.tasks[0][0] <= core.served_s + _SAME_S:
                done.append(heapq.heappop(core.tasks)[2])
        self._pull()
        self._plan()
        for call in done:
            call()

    def _pull(self) -> None:
        """Give every idle core a task that waits beside others, where one may move there."""
        counts = [len(core.tasks) for core in self._cores]
        if max(counts) < 2 or min(counts):
            return
        for number, core in enumerate(self._cores):
            if core.tasks:
                continue
            busiest = max(self._cores, key=lambda each: len(each.tasks))
            movable = [one for one in busiest.tasks if number in one[3]]
            if len(busiest.tasks) < 2 or not movable:
                continue
            task = max(movable)
            busiest.tasks.remove(task)
            heapq.heapify(busiest.tasks)
            left_s = task[0] - busiest.served_s
            heapq.heappush(core.tasks, (core.served_s + left_s, *task[1:]))


class Threads:
    """Some threads that take work in the order it comes, each one piece at a time.

    Without cores the threads have one each.
    """

    def __init__(
        self, clock: Clock, cores: Cores | None, number: int, allowed: Sequence[int] = ()
    ) -> None:
        self._clock, self._cores, self._allowed = clock, cores, allowed
        self._free = number
        self._waiting: deque[tuple[float, Done]] = deque()

    def run(self, work_s: float, done: Done) -> None:
        """Have a piece of work done by the next free thread."""
        self._waiting.append((work_s, done))
        self._start()

    def _start(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            work_s, done = self._waiting.popleft()
            self._compute(work_s, lambda done=done: self._ended(done))  # type: ignore[misc]

    def _compute(self, work_s: float, done: Done) -> None:
        if self._cores is None:
            self._clock.after(work_s, done)
        else:
            self._cores.run(work_s, done, self._allowed)

    def _ended(self, done: Done) -> None:
        self._free += 1
        done()
        self._start()
