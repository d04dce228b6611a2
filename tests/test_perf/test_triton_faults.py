"""What holds a fault, and what does not; wrong numbers are refused."""

from __future__ import annotations

import msgspec
import pytest

from perf.__main__ import main
from perf.faults.triton import LIMIT_S, Fault

HELD = Fault(kind="killed", sent=20, lost=0, dead_letters=0, away_s=6.0, last_s=1.0)


@pytest.mark.parametrize("change", [{"lost": 1}, {"dead_letters": 1}, {"last_s": LIMIT_S + 1}])
def test_a_fault_that_costs_a_frame_or_a_minute_is_not_held(change: dict[str, float]) -> None:
    assert HELD.held
    assert not msgspec.structs.replace(HELD, **change).held


@pytest.mark.parametrize("words", [["--kills", "-1"], ["--share", "0"], ["--share", "1.5"]])
def test_wrong_numbers_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faults", *words]) == 2
    assert "perf faults:" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--minutes", "1"], ["--share", "0"]])
def test_a_soak_too_short_to_show_a_trend_is_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["soak", *words]) == 2
    assert "perf soak:" in capsys.readouterr().err
