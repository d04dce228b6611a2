"""Virtual time and shared cores, against queueing theory's own results."""

from __future__ import annotations

import random
from functools import partial

import pytest

from perf.plan.clock import Clock, Cores, Threads


def times_of(
    clock: Clock, cores: Cores, works: list[tuple[float, float, list[int]]]
) -> list[float]:
    """Return when each of (at, work, allowed cores) was done."""
    done = [0.0] * len(works)

    def ended(number: int) -> None:
        done[number] = clock.now_s

    for number, (at_s, work_s, allowed) in enumerate(works):
        clock.at(at_s, partial(cores.run, work_s, partial(ended, number), allowed))
    clock.run()
    return done


def test_what_is_due_together_is_called_in_the_order_asked_for() -> None:
    clock, called = Clock(), list[str]()
    clock.at(1.0, lambda: called.append("first"))
    clock.at(1.0, lambda: called.append("second"))
    clock.at(0.5, lambda: clock.at(0.0, lambda: called.append(f"now, {clock.now_s}")))
    clock.run()
    assert called == ["now, 0.5", "first", "second"]


def test_two_tasks_on_a_core_share_it() -> None:
    clock = Clock()
    done = times_of(clock, Cores(clock, 1), [(0.0, 1.0, []), (0.5, 1.0, [])])
    assert done == pytest.approx([1.5, 2.0])


def test_a_pinned_task_waits_and_a_free_one_moves_to_the_idle_core() -> None:
    clock = Clock()
    cores = Cores(clock, 2)
    pinned = times_of(clock, cores, [(0.0, 1.0, [0]), (0.0, 1.0, [0])])
    assert pinned == pytest.approx([2.0, 2.0])
    clock = Clock()
    moved = times_of(clock, Cores(clock, 2), [(0.0, 1.0, [0]), (0.0, 0.5, [1]), (0.1, 1.0, [])])
    # from 0.1 on it shares a core; it has that core alone once the other task there has ended
    assert max(moved) == pytest.approx(1.25, abs=0.06)


def test_contention_counts_only_while_the_other_core_is_busy() -> None:
    clock = Clock()
    cores = Cores(clock, 2, contention=1.5)
    done = times_of(clock, cores, [(0.0, 1.0, [0]), (0.0, 0.5, [1])])
    # until 0.75 both go at 2/3: 0.5 of the first is left, alone
    assert done == pytest.approx([1.25, 0.75])
    assert cores.busy_s == pytest.approx(2.0)


@pytest.mark.parametrize("load", [0.3, 0.6])
def test_processor_sharing_is_that_of_the_books(load: float) -> None:
    """M/M/1-PS: the mean time is 1 / (1 - load) of a mean work of 1 (Kleinrock 1967)."""
    clock, rng, at_s = Clock(), random.Random(2), 0.0
    cores, works = Cores(clock, 1), []
    for _ in range(12_000):
        at_s += rng.expovariate(load)
        works.append((at_s, rng.expovariate(1.0), list[int]()))
    done = times_of(clock, cores, works)
    mean_s = sum(end - start for end, (start, _, _) in zip(done, works, strict=True)) / len(done)
    assert mean_s == pytest.approx(1 / (1 - load), rel=0.1)
    assert cores.busy_s / clock.now_s == pytest.approx(load, rel=0.05)


def test_threads_queue_in_order_as_the_books_say() -> None:
    """M/D/1: the mean wait is load / 2 / (1 - load) (Pollaczek and Khinchine)."""
    clock, rng, at_s, waits = Clock(), random.Random(2), 0.0, list[float]()
    threads = Threads(clock, None, 1)

    def arrive() -> None:
        came_s = clock.now_s
        threads.run(1.0, lambda: waits.append(clock.now_s - came_s - 1.0))

    for _ in range(12_000):
        at_s += rng.expovariate(0.7)
        clock.at(at_s, arrive)
    clock.run()
    assert sum(waits) / len(waits) == pytest.approx(0.7 / 2 / 0.3, rel=0.1)


def test_no_core_and_a_contention_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="1 is the least"):
        Cores(Clock(), 0)
    with pytest.raises(ValueError, match="1 is the least"):
        Cores(Clock(), 1, contention=0.9)
