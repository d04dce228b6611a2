"""Triton is killed and frozen under load: every frame is answered once it is back."""

from __future__ import annotations

import pytest

from engine.local.stack import LocalStack
from engine.messages import FrameMessage
from perf.chaos.ledger import proving, sized
from perf.faults.triton import LIMIT_S, Fault, freeze, kill
from perf.load.process import Loader

pytestmark = [pytest.mark.chaos, pytest.mark.kafka, pytest.mark.triton, pytest.mark.timeout(5400)]

KILLS, FREEZES = sized(1, 3, 10), sized(1, 2, 5)
FROZEN_S = float(sized(5, 60, 60))
RATE_HZ = 10.0


def test_triton_is_killed_and_frozen(chaos: LocalStack, samples: list[FrameMessage]) -> None:
    faults: list[Fault] = []
    with proving(
        f"Triton killed {KILLS} times, frozen {FREEZES} times for {FROZEN_S:.0f} s",
        f"every call has a deadline; all frames finish <= {LIMIT_S:.0f} s after its return",
    ) as row:
        with Loader(chaos.settings.broker, samples) as loader:
            for number in range(KILLS):
                faults.append(kill(chaos, loader, RATE_HZ, number))
            for number in range(FREEZES):
                faults.append(freeze(chaos, loader, RATE_HZ, KILLS + number, FROZEN_S))
        last_s = max(one.last_s for one in faults)
        lost = sum(one.lost + one.dead_letters for one in faults)
        sent = sum(one.sent for one in faults)
        row.numbers = {"sent": sent, "lost": lost, "last_s": last_s}
        row.measured = (
            f"{sent} frames at {RATE_HZ:.0f} /s, {lost} lost; the last answer {last_s:.1f} s after"
            " a return at the latest"
        )
        assert all(one.held for one in faults), faults
