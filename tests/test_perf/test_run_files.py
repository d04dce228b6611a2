"""Scenarios and objectives as data: what is refused, in which words, and what a load becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from perf.load.process import Backlog, Burst, Clocks, Poisson, Together
from perf.run import scenarios, slo
from perf.run.scenarios import order, rates
from perf.run.tables import TableError

DOCS = Path(__file__).parents[2] / "docs" / "load-testing.md"
SOUND = """
[calm]
about = "one"
seconds = 4
short_s = 1
load = [{ arrivals = "poisson", rate_hz = 5 }]
"""
OBJECTIVE = """
[[objective]]
scenario = "calm"
percentile = 99
limit_ms = 100
"""


def scenario_file(folder: Path, text: str) -> Path:
    path = folder / "scenarios.toml"
    path.write_text(text)
    return path


def objective_file(folder: Path, text: str) -> Path:
    path = folder / "slo.toml"
    path.write_text(text)
    return path


def test_the_files_of_the_checkout_are_sound_and_every_scenario_is_documented() -> None:
    found = scenarios.read()
    slo.read(found)
    text = DOCS.read_text()
    assert set(found) >= {"single-stream", "multi-stream", "server", "offline", "soak"}
    assert set(found) >= {"burst", "overload", "faults"}
    for name in found:
        assert f"`{name}`" in text
    for kind in (
        scenarios.Scenario,
        scenarios.Load,
        scenarios.Fault,
        slo.Objective,
        slo.Burn,
        slo.Goodput,
    ):
        for key in set(kind.__struct_fields__) - {"name"}:
            assert f"`{key}`" in text


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('[calm]\nabout = "x', "scenarios.toml: "),
        (SOUND + "colour = 3", "calm: .*unknown field `colour`"),
        (SOUND.replace("seconds = 4", "seconds = -4"), "calm: .*seconds"),
        (SOUND.replace("rate_hz = 5", "rate_hz = 5, size = 3"), "`size` says nothing"),
        (SOUND.replace("rate_hz = 5", "rate_hz = 5, share = 3"), r"load\[0\]"),
        (SOUND.replace(", rate_hz = 5", ""), "one of them"),
        (SOUND.replace("rate_hz = 5", 'rate_hz = 5, lane = "stat"'), "stat_workers"),
        (SOUND.replace('"poisson", rate_hz = 5', '"backlog"'), "needs `outstanding`"),
        (SOUND.replace('"poisson"', '"tidal"'), r"load\[0\].arrivals"),
        (SOUND + 'faults = [{ at = 1.5, what = "kill worker" }]', r"faults\[0\].at"),
        ("", "no scenario"),
    ],
)
def test_a_scenario_that_is_wrong_is_refused_by_file_and_key(
    tmp_path: Path, line: str, words: str
) -> None:
    with pytest.raises(TableError, match=words) as refused:
        scenarios.read(scenario_file(tmp_path, line))
    assert "scenarios.toml" in str(refused.value)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"none.toml: No such file"):
        scenarios.read(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (OBJECTIVE.replace("calm", "wild"), r"objective\[0\]: no scenario 'wild'; there are calm"),
        (OBJECTIVE + OBJECTIVE, r"objective\[1\]: bulk p99 <= 100 ms of calm is there already"),
        (OBJECTIVE.replace("= 99", "= 101"), r"objective\[0\].percentile"),
        (OBJECTIVE + "[[goodput]]\nscenario = 'wild'\nshare = 0.9", r"goodput\[0\]: no scenario"),
        (OBJECTIVE + "[[goodput]]\nscenario = 'calm'\nshare = 1.1", r"goodput\[0\].share"),
        (OBJECTIVE + "colour = 3", r"unknown field `colour` - at `.objective\[0\]`"),
        (
            OBJECTIVE.replace("= 99", "= 100") + "burn = { window_s = 5, limit = 2 }",
            "needs an error budget",
        ),
    ],
)
def test_an_objective_that_is_wrong_is_refused_by_file_and_key(
    tmp_path: Path, text: str, words: str
) -> None:
    path = objective_file(tmp_path, text)
    read = slo.goodputs if "[[goodput]]" in text else slo.read
    with pytest.raises(TableError, match=words) as refused:
        read(["calm"], path)
    assert "slo.toml" in str(refused.value)


def test_shares_are_of_the_highest_rate_and_a_rate_that_was_asked_for_keeps_proportions() -> None:
    overload = scenarios.read()["overload"]
    assert rates(overload, 100.0, None) == [300.0, 4.0]
    assert rates(overload, 100.0, 152.0) == pytest.approx([150.0, 2.0])
    with pytest.raises(ValueError, match="as fast as it can"):
        rates(scenarios.read()["offline"], None, None)


def test_a_scenario_becomes_the_load_that_it_names() -> None:
    known = scenarios.read()

    def of(name: str) -> object:
        one = known[name]
        return order(one, [] if one.closed else rates(one, 100.0, None), 5.0, 3)

    clocks = of("multi-stream")
    assert isinstance(clocks, Clocks)
    assert [one.kind for one in clocks.scanners] == list(scenarios.KINDS)
    assert {one.rate_hz for one in clocks.scanners if one.kind == "ultrasound"} == {60.0}
    assert clocks.drain_s == known["multi-stream"].drain_s
    burst = of("burst")
    assert isinstance(burst, Burst)
    assert (burst.rate_hz, burst.size, burst.seed, burst.kind) == (50.0, 40, 3, "cine")
    both = of("overload")
    assert isinstance(both, Together)
    assert [(type(one), getattr(one, "lane", "")) for one in both.orders] == [
        (Poisson, "bulk"),
        (Poisson, "stat"),
    ]
    assert both.orders[0].seed != both.orders[1].seed  # type: ignore[union-attr]
    assert isinstance(of("offline"), Backlog)
