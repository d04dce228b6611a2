"""The measurement of what being observed costs: that it runs, not what it says."""

from __future__ import annotations

import json

import pytest

from perf import observed


def test_every_cost_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(observed, "ROUNDS", 1)
    monkeypatch.setattr(observed, "FRAMES", 16)
    observed.main()
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"off_us", "metrics_us", "spans_us", "spans_not_kept_us", "scrape_ms"}
    assert all(value > 0 for value in found.values())
