"""Kill Triton, or freeze it, under load; measure when the frames are answered after its return."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import msgspec

from engine.local.stack import LocalStack
from perf.load.generator import Outcome
from perf.load.process import Loader, Poisson
from perf.load.processor import trees

BEFORE_S = 3.0  # of load, before the fault
RESTART_S = 15.0  # of load while a killed server starts again; `away_s` says how long that took
AFTER_S = 2.0  # of load at least, after its return
LIMIT_S = 60.0  # from the server's return to the last answer
DRAIN_S = 90.0


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One fault. `away_s`: from the fault until the server is ready again.

    `last_s`: from there to the last answer of all frames that were sent before and meanwhile, and
    after, since the load goes on; 0 where that came earlier. One without an answer is `lost`.
    """

    kind: str
    sent: int
    lost: int
    dead_letters: int
    away_s: float
    last_s: float

    @property
    def held(self) -> bool:
        """Whether nothing was lost and everything was answered in time."""
        return self.lost == 0 and self.dead_letters == 0 and self.last_s <= LIMIT_S


def kill(stack: LocalStack, loader: Loader, rate_hz: float, seed: int) -> Fault:
    """SIGKILL the server under load, and start it again at once."""

    def fault() -> None:
        stack.triton.kill()
        stack.triton.restart()

    return _during(loader, "killed", _order(rate_hz, BEFORE_S + RESTART_S + AFTER_S, seed), fault)


def freeze(stack: LocalStack, loader: Loader, rate_hz: float, seed: int, for_s: float) -> Fault:
    """SIGSTOP the server and its models' processes under load, for so long."""

    def fault() -> None:
        with frozen(stack.triton.pid):
            time.sleep(for_s)

    return _during(loader, "frozen", _order(rate_hz, BEFORE_S + for_s + AFTER_S, seed), fault)


@contextmanager
def frozen(pid: int | None) -> Iterator[None]:
    """Hold a process and all below it for as long as the block lasts."""
    held = sorted(trees([pid])) if pid else []
    for each in held:
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in held:
            os.kill(each, signal.SIGCONT)


def _order(rate_hz: float, seconds: float, seed: int) -> Poisson:
    return Poisson(rate_hz=rate_hz, seconds=seconds, seed=seed, budget_ms=1000.0, drain_s=DRAIN_S)


def _during(loader: Loader, kind: str, order: Poisson, fault: Callable[[], None]) -> Fault:
    """Run the load, and the fault once it has gone for `BEFORE_S`."""
    with ThreadPoolExecutor(1) as pool:
        begun_s = time.monotonic()
        load = pool.submit(loader.run, order)
        time.sleep(BEFORE_S)
        fault_s = time.monotonic()
        fault()
        back_s = time.monotonic()
        outcome: Outcome = load.result()
    answered_s = begun_s + outcome.seconds  # the run begins a moment later: at most 0.1 s
    return Fault(
        kind=kind,
        sent=outcome.sent,
        lost=outcome.lost,
        dead_letters=outcome.statuses.get("dead-letter", 0),
        away_s=round(back_s - fault_s, 1),
        last_s=round(max(0.0, answered_s - back_s), 1),
    )
