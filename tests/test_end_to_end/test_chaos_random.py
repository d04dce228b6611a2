"""An hour of faults at random, at half load (in CI, a minute): results keep coming."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import pytest
from chaos_stack import LIMIT_S, Scan, assert_none_lost, rate_of

from engine.local.processes import Server
from engine.local.stack import LocalBroker, LocalStack
from perf.chaos.ledger import form, proving, sized
from perf.chaos.watcher import Watcher
from perf.faults.triton import frozen

pytestmark = [pytest.mark.chaos, pytest.mark.kafka, pytest.mark.triton, pytest.mark.timeout(7200)]

SECONDS = float(sized(45, 300, 3600))
EVERY_S = float(sized(12, 30, 60))
WINDOW_S, AT_LEAST = 30.0, 100
CAPACITY = sized(160, 600, 1000)

Span = tuple[float, float, str]


def _faults(stack: LocalStack) -> dict[str, Callable[[], None]]:
    gateway = stack.gateway
    assert gateway is not None

    def killed(server: Server | LocalBroker) -> Callable[[], None]:
        def act() -> None:
            server.kill()
            server.restart()

        return act

    def freeze() -> None:
        with frozen(stack.triton.pid):
            threading.Event().wait(5.0)

    workers = {f"{one.name} killed": killed(one) for one in stack.workers}
    return workers | {
        "worker restarted": stack.workers[0].restart,
        "gateway killed": killed(gateway),
        "triton killed": killed(stack.triton),
        "triton frozen for 5 s": freeze,
        "broker killed": killed(stack.broker),
    }


def test_faults_at_random(chaos: LocalStack, scan: Scan, watcher: Watcher) -> None:
    with proving(
        f"faults at random for {SECONDS / 60:.0f} minutes at half load",
        f"at least {AT_LEAST} results in every {WINDOW_S:.0f} s outside a fault's own outage,"
        " 0 lost",
    ) as row:
        full = scan(4, count=CAPACITY // 4)
        for one in full:
            one.join(LIMIT_S)
        rate_hz = rate_of(assert_none_lost(full, watcher), watcher) / 2
        scanners = scan(4, rate_hz=rate_hz / 4)
        begun_s = time.monotonic()
        spans = _shake(chaos, begun_s)
        ended_s = time.monotonic()
        for one in scanners:
            one.end()
        sent = assert_none_lost(scanners, watcher)
        at_s = sorted(watcher.results[one.frame_id].at_s for one in sent)
        fewest = _fewest(at_s, begun_s, ended_s, spans)
        row.numbers = {"faults": len(spans), "frames": len(sent), "fewest": fewest}
        row.measured = (
            f"{len(spans)} faults, {len(sent)} frames at {rate_hz:.0f} /s, 0 lost, 0 inversions;"
            f" fewest results in a window {fewest}; longest outage"
            f" {max(after - before for before, after, _ in spans):.0f} s"
        )
        if form() != "ci":
            assert fewest >= AT_LEAST


def _shake(stack: LocalStack, begun_s: float) -> list[Span]:
    """Do faults by lot until the time is up; return when each began and was over, and its name."""
    lot, faults = random.Random(9), _faults(stack)
    spans: list[Span] = []
    while (now_s := time.monotonic()) < begun_s + SECONDS:
        name = lot.choice(sorted(faults))
        print(f"{now_s - begun_s:6.0f} s: {name}", flush=True)
        faults[name]()
        spans.append((now_s, time.monotonic(), name))
        next_s = now_s + max(EVERY_S, 1.5 * (time.monotonic() - now_s))
        threading.Event().wait(next_s - time.monotonic())
    return spans


def _fewest(at_s: list[float], begun_s: float, ended_s: float, spans: list[Span]) -> int:
    """Return the fewest results in a window that touches no outage; -1 where there is none.

    A fault that strikes workers or servers is over when what died is ready again; what waited then
    comes at once. Windows begin every second.
    """
    counts = []
    start_s = begun_s + 5.0
    while start_s + WINDOW_S <= ended_s:
        end_s = start_s + WINDOW_S
        if not any(before < end_s and after > start_s for before, after, _ in spans):
            counts.append(sum(start_s <= one < end_s for one in at_s))
        start_s += 1.0
    return min(counts, default=-1)
