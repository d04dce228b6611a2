"""Frames that cannot be done cost themselves, and nobody else."""

from __future__ import annotations

from statistics import median

import numpy as np
import pytest
from chaos_stack import LIMIT_S
from watching import until

from engine.local.stack import LocalStack
from engine.messages import DeadLetter, FrameMessage
from perf.chaos.ledger import form, proving, sized
from perf.chaos.records import poison, publish, raising
from perf.chaos.watcher import Watcher

pytestmark = [pytest.mark.chaos, pytest.mark.kafka, pytest.mark.triton, pytest.mark.timeout(3600)]

RAISING = sized(200, 1000, 10_000)
POISON, PAIRS = sized(150, 400, 1000), sized(1, 3, 5)
RATE_HZ = 12.0
HELD_S = 5.0


def test_frames_raise(chaos: LocalStack, samples: list[FrameMessage], watcher: Watcher) -> None:
    with proving(
        "5 % of frames raise in processing", "at most 3 tries, then dead letter; 0 unaccounted"
    ) as row:
        whole, spoiled = publish(
            chaos.settings.broker, samples, RAISING, 4 * RATE_HZ, share=0.05, spoil=raising
        )
        left = watcher.wait([*whole, *spoiled], LIMIT_S)
        tries = max(watcher.dead[one].tries for one in spoiled)
        reasons = {watcher.dead[one].reason for one in spoiled}
        row.numbers = {"frames": RAISING, "raised": len(spoiled), "unaccounted": len(left)}
        row.measured = (
            f"{len(whole)} results, {len(spoiled)} dead letters ({', '.join(sorted(reasons))}),"
            f" {tries} tries at most, {len(left)} unaccounted"
        )
        assert spoiled
        assert not left
        assert not [one for one in whole if one in watcher.dead]
        assert tries == chaos.settings.tries == 3


def test_frames_are_poison(
    chaos: LocalStack, samples: list[FrameMessage], watcher: Watcher
) -> None:
    """The clock decides in the short and long forms only: in CI others have it too."""

    def run(seed: int, share: float) -> tuple[float, float, int]:
        before = len(_nameless(watcher))
        whole, spoiled = publish(
            chaos.settings.broker, samples, POISON, RATE_HZ, share=share, spoil=poison, seed=seed
        )
        assert not watcher.wait(whole, LIMIT_S)
        assert not [one for one in whole if one in watcher.dead]
        took_ms = [
            (watcher.results[one].result.published_ns - due_ns) / 1e6
            for one, due_ns in whole.items()
        ]
        until(lambda: len(_nameless(watcher)) >= before + len(spoiled), LIMIT_S)
        letters = _nameless(watcher)[before:]
        assert {one.reason for one in letters} <= {"bad-message"}
        assert len(letters) == len(spoiled)
        return float(np.percentile(took_ms, 99)), max(took_ms), len(spoiled)

    with proving(
        "1 % poison frames",
        "healthy p99 <= 1.2x; all in the dead letters; no partition held over 5 s",
    ) as row:
        run(0, 0.0)  # warm
        pairs = [
            (run(seed, 0.0), run(seed, 0.01 if POISON >= 400 else 0.05))
            for seed in range(1, PAIRS + 1)
        ]
        ratio = median(bad[0] / good[0] for good, bad in pairs)
        longest_s = max(bad[1] for _, bad in pairs) / 1e3
        count = sum(bad[2] for _, bad in pairs)
        row.numbers = {"p99_ratio": ratio, "held_s": longest_s, "poison": count}
        row.measured = (
            f"{count} poison records, all dead letters; healthy p99 {ratio:.2f}x (median of"
            f" {PAIRS} pairs), slowest healthy frame {longest_s:.1f} s"
        )
        assert count > 0
        assert longest_s <= HELD_S
        if form() != "ci":
            assert ratio <= 1.2


def _nameless(watcher: Watcher) -> list[DeadLetter]:
    """Return the dead letters of records that were no frames, in the order of their coming."""
    return [one for one in list(watcher.dead.values()) if one.frame is None]
