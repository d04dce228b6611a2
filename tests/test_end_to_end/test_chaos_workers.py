"""Workers are killed and restarted in turn, brokers bounce: nothing is lost, doubled, or late."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest
from chaos_stack import LIMIT_S, WORKERS, Scan, assert_none_lost
from watching import until

from engine.local.stack import LocalStack
from engine.messages import RESULTS, Result
from engine.results import Reader
from perf.chaos.ledger import proving, sized
from perf.chaos.scanner import Scanner, Sent
from perf.chaos.watcher import Watcher

pytestmark = [pytest.mark.chaos, pytest.mark.kafka, pytest.mark.triton, pytest.mark.timeout(5400)]

KILLS, FRAMES = sized(3, 10, 20), sized(240, 2000, 10_000)
BOUNCES, RESTARTS = sized(1, 3, 5), sized(1, 3, 5)


def visible_duplicates(stack: LocalStack, sent: list[Sent]) -> int:
    """Return how many ids a consumer such as `scanstream results` is given twice."""
    wanted = {one.frame_id for one in sent}

    async def ids() -> list[str]:
        async with Reader(stack.settings, RESULTS, Result, follow=False) as results:
            return [one.id async for one in results if one.frame.id in wanted]

    found = asyncio.run(ids())
    assert len(set(found)) == len(wanted)
    return len(found) - len(set(found))


def test_workers_are_killed(chaos: LocalStack, scan: Scan, watcher: Watcher) -> None:
    with proving(
        f"SIGKILL workers, {KILLS} times in {FRAMES} frames, {WORKERS} workers",
        "0 missing, 0 visible duplicates; raw duplicates <= kills x in-flight cap",
    ) as row:
        repeats = watcher.repeats
        scanners = scan(4, count=FRAMES // 4)
        for number in range(KILLS):
            aim = FRAMES * (number + 1) // (KILLS + 2)
            _when_answered(scanners, watcher, aim)
            chaos.workers[number % WORKERS].kill()
            chaos.workers[number % WORKERS].restart()
        for one in scanners:
            one.join(LIMIT_S)
        sent = assert_none_lost(scanners, watcher)
        assert len(sent) == FRAMES
        raw = watcher.repeats - repeats
        visible = visible_duplicates(chaos, sent)
        cap = KILLS * chaos.settings.inflight_frames
        row.numbers = {"kills": KILLS, "frames": len(sent), "raw": raw, "visible": visible}
        row.measured = (
            f"{len(sent)} frames, 0 missing, {visible} visible duplicates, {raw} raw ones"
            f" (cap {cap}), 0 inversions"
        )
        assert visible == 0
        assert raw <= cap


def _when_answered(scanners: list[Scanner], watcher: Watcher, count: int) -> None:
    """Wait until that many frames of these scanners are answered."""

    def reached() -> bool:
        for one in scanners:
            one.check()
        sent = [each for one in scanners for each in list(one.acknowledged)]
        return sum(each.frame_id in watcher.results for each in sent) >= count

    until(reached, LIMIT_S)


def test_the_broker_bounces(chaos: LocalStack, scan: Scan, watcher: Watcher) -> None:
    """Killed and stopped in turn, while scanners send and workers work."""
    away: list[float] = []
    with proving(
        f"stop or kill the broker (Apache Kafka), {BOUNCES} bounces",
        "0 acknowledged frames missing, order by series kept",
    ) as row:
        scanners = scan(4, rate_hz=5.0)
        for number in range(BOUNCES):
            _some_more(scanners, watcher)
            begun_s = time.monotonic()
            if number % 2:
                chaos.broker.stop()
                chaos.broker.reserve()
            else:
                chaos.broker.kill()
            chaos.broker.restart()
            _some_more(scanners, watcher)
            away.append(time.monotonic() - begun_s)
        for one in scanners:
            one.end()
        sent = assert_none_lost(scanners, watcher)
        refused = sum(one.refused[0xA700] for one in scanners)
        row.numbers = {"bounces": BOUNCES, "acknowledged": len(sent), "away_s": max(away)}
        row.measured = (
            f"{len(sent)} acknowledged, 0 missing, {refused} refusals meanwhile, 0 inversions;"
            f" answers again {max(away):.0f} s after the fault at the latest"
        )


def test_rolling_restarts(chaos: LocalStack, scan: Scan, watcher: Watcher) -> None:
    with proving(
        f"rebalance: {RESTARTS} rolling restarts of {WORKERS} workers",
        "0 missing, order by key kept",
    ) as row:
        scanners = scan(4, rate_hz=5.0)
        begun_s = time.monotonic()
        for _ in range(RESTARTS):
            for worker in chaos.workers:
                worker.restart()  # SIGTERM, then a new one
                _some_more(scanners, watcher)
        for one in scanners:
            one.end()
        sent = assert_none_lost(scanners, watcher)
        stall_s = _longest_gap_s(sent, watcher)
        row.numbers = {"restarts": RESTARTS * WORKERS, "frames": len(sent), "stall_s": stall_s}
        row.measured = (
            f"{len(sent)} frames in {time.monotonic() - begun_s:.0f} s, 0 missing, 0 inversions;"
            f" longest time without a result {stall_s:.1f} s"
        )


def _some_more(scanners: list[Scanner], watcher: Watcher) -> None:
    """Wait until frames that are acknowledged from now on are answered."""
    before = {id(one): len(one.acknowledged) for one in scanners}

    def answered() -> bool:
        later = [each for one in scanners for each in one.acknowledged[before[id(one)] :]]
        return sum(each.frame_id in watcher.results for each in later) >= 20

    until(answered, LIMIT_S)


def _longest_gap_s(sent: list[Sent], watcher: Watcher) -> float:
    at_s = sorted(watcher.results[one.frame_id].at_s for one in sent)
    return max(after - before for before, after in pairwise(at_s))
