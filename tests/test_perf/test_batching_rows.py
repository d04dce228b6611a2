"""What the rows of row 2 say of one study."""

from __future__ import annotations

from typing import Any

import pytest

from perf.compare.case import Load, NotMeasured
from perf.compare.measure import Row, measure
from perf.compare.registry import entries
from perf.load.capacity import Search, again, holds, order
from perf.load.generator import Outcome
from perf.load.process import Poisson
from perf.load.recorder import SAMPLES_FOR_P999, Histogram, Summary
from perf.rows import batching

MS = 1_000_000


def outcome(latencies_ms: list[float], *, lag_ms: float = 0.1, **given: Any) -> Outcome:
    whole: dict[str, Any] = {
        "sent": len(latencies_ms),
        "answered": len(latencies_ms),
        "seconds": 1.0,
        "rate_hz": float(len(latencies_ms)),
        "latency_ms": Summary.of(Histogram(round(ms * MS) for ms in latencies_ms)),
        "lag_ms": Summary.of(Histogram([round(lag_ms * MS)])),
        "statuses": {"ok": len(latencies_ms)},
        "cpu_s": 0.0,
    }
    return Outcome(**(whole | given))


def search(low: float, high: float) -> Search:
    return Search(high=high, objective_ms=100.0, low=low, points=[(low, outcome([20.0]))])


def study(**given: Any) -> batching.Study:
    sides = (batching.OURS, batching.FIXED, batching.SINGLE, batching.STOCK, batching.INLINE)
    whole: dict[str, Any] = {
        "offline": dict.fromkeys(sides, 100.0),
        "agreement": dict.fromkeys(sides, 1.0),
        "searches": {name: search(90.0, 92.0) for name in sides},
        "repeats": [],
        "broker": "Kafka",
        "tail": None,
        "tail_hz": 63.0,
    }
    return batching.Study(**(whole | given))


def row(name: str, monkeypatch: pytest.MonkeyPatch, found: batching.Study) -> Row:
    monkeypatch.setattr(batching, "_DONE", [found])
    (entry,) = entries([f"batching/{name}"])
    assert isinstance(entry, Load)
    return measure(entry, rounds=1, seconds=0.1, progress=lambda _: None)


def with_search(side: str, found: Search) -> batching.Study:
    whole = study()
    return whole._replace(searches={**whole.searches, side: found})


def test_a_rival_is_compared_at_the_highest_rate_that_held(monkeypatch: pytest.MonkeyPatch) -> None:
    found = row("stock-faust", monkeypatch, with_search(batching.STOCK, search(6.0, 7.0)))
    assert (found.ours, found.theirs, found.ratio, found.met) == (90.0, 6.0, 15.0, True)
    assert "broker: Kafka" in found.note


def test_a_rival_that_held_at_no_rate_stands_with_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    found = row("stock-faust", monkeypatch, with_search(batching.STOCK, search(0.0, 3.0)))
    assert (found.theirs, found.ratio) == (3.0, 30.0)
    assert "at no rate tried" in found.note


def test_a_variant_is_compared_by_every_search(monkeypatch: pytest.MonkeyPatch) -> None:
    repeats = [
        {batching.OURS: search(mine, 95.0), batching.FIXED: search(other, 95.0)}
        for mine, other in ((88.0, 44.0), (80.0, 64.0))
    ]
    found = row("fixed", monkeypatch, study(repeats=repeats))
    assert found.on_cores is not None
    (all_cores,) = found.on_cores
    assert (all_cores.ratio, all_cores.ratio_min, all_cores.ratio_max) == (1.25, 1.0, 2.0)
    assert "3 search(es)" in found.note
    assert row("stock-faust", monkeypatch, study(repeats=repeats)).ratio == 1.0


def test_a_search_is_repeated_near_what_was_found() -> None:
    tried: list[tuple[float, int]] = []

    def run(asked: Poisson) -> Outcome:
        tried.append((asked.rate_hz, asked.seed))
        return outcome([20.0 if asked.rate_hz <= 95 else 200.0] * 100)

    found = again(
        {"one": run},
        {"one": search(100.0, 102.0), "another": search(5.0, 6.0)},
        first_seed=7,
        steps=3,
        progress=lambda _: None,
    )
    assert tried == [(100.0, 7), (85.0, 8), (92.5, 9)]
    assert set(found) == {"one"}
    assert (found["one"].low, found["one"].high) == (92.5, 100.0)


def test_ours_that_held_at_no_rate_is_a_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    found = row("fixed", monkeypatch, with_search(batching.OURS, search(0.0, 3.0)))
    assert (found.ratio, found.met) == (0.0, False)


def test_other_masks_are_not_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = study()
    worse = whole._replace(agreement={**whole.agreement, batching.SINGLE: 0.5})
    found = row("batch-1", monkeypatch, worse)
    assert not found.equal
    assert not found.met


def test_under_load_against_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    found = row("offline", monkeypatch, study())
    assert (found.ours, found.theirs, found.ratio, found.met) == (90.0, 100.0, 0.9, True)


def test_the_tail_needs_ten_thousand_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = outcome([20.0] * (SAMPLES_FOR_P999 - 21) + [50.0] * 20)
    for found in (None, slow):
        with pytest.raises(NotMeasured, match="63"):
            row("tail", monkeypatch, study(tail=found))
    enough = outcome([20.0] * (SAMPLES_FOR_P999 - 20) + [50.0] * 20)
    said = row("tail", monkeypatch, study(tail=enough))
    assert said.ratio == pytest.approx(60 / 50, rel=0.01)
    assert said.met
    assert not row("tail", monkeypatch, study(tail=outcome([20.0] * 9980 + [90.0] * 20))).met


@pytest.mark.parametrize(
    ("given", "held"),
    [
        ({}, True),
        ({"stopped": True}, False),
        ({"answered": 99}, False),
        ({"sent": 0, "answered": 0}, False),
    ],
)
def test_a_rate_holds_only_where_every_frame_was_answered(
    given: dict[str, Any], held: bool
) -> None:
    assert holds(outcome([99.0] * 100, **given), 100.0) == held
    assert not holds(outcome([99.0] * 97 + [200.0] * 3), 100.0)


def test_a_run_has_enough_frames_and_an_end() -> None:
    assert order(1000.0, 100.0, 1).seconds == 6.0
    assert order(40.0, 100.0, 1).seconds == 10.0
    assert order(1.0, 100.0, 1).seconds == 15.0
    assert order(1000.0, 100.0, 1).budget_ms == 100.0
