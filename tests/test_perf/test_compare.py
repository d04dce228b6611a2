"""The harness of `python -m perf compare`: what it measures, refuses and reports."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from perf.__main__ import main
from perf.compare.case import Case, Figure, Prepared
from perf.compare.measure import MeasuringFailed, Row, measure
from perf.compare.registry import ROWS, entries
from perf.compare.report import as_markdown

ROOT = Path(__file__).resolve().parents[2]
SHAPE = {"name", "ours", "theirs", "rival", "unit", "ratio", "target", "equal", "note"}


def quiet(text: str) -> None:
    """Progress that nobody reads."""


def unused() -> Prepared:
    raise AssertionError("a row is prepared in the measuring process only")


def test_every_row_has_its_name_and_a_rival() -> None:
    found = entries()
    names = [one.name for one in found]
    assert len(set(names)) == len(names)
    assert {name.partition("/")[0] for name in names} == set(ROWS)
    assert all(one.rival and one.unit and one.target >= 0 for one in found)


def test_one_rival_can_be_named() -> None:
    (only,) = entries(["null/itself"])
    assert only.name == "null/itself"


@pytest.mark.parametrize("name", ["nothing", "null/nothing"])
def test_an_unknown_row_is_a_wrong_usage(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", name]) == 2
    assert "there are" in capsys.readouterr().err


def test_the_same_work_on_both_sides_is_about_as_fast() -> None:
    (null,) = entries(["null"])
    row = measure(null, rounds=3, seconds=0.05, progress=quiet)
    assert row.equal
    assert 0.2 < row.ratio < 5  # a noisy machine, but not one side measured twice
    assert [one.cores for one in row.on_cores] in ([1], [1, 2])
    assert all(one.ratio_min <= one.ratio <= one.ratio_max for one in row.on_cores)


def test_a_row_that_fails_ends_with_its_traceback() -> None:
    absent = Case(name="null/absent", rival="-", unit="-", target=1, prepare=unused)
    with pytest.raises(MeasuringFailed, match="no row 'null/absent'"):
        measure(absent, rounds=1, seconds=0.01, progress=quiet)


@pytest.mark.parametrize(
    ("figures", "lower_is_better", "ratio", "met"),
    [
        ((50.0, 100.0, True, ""), True, 2.0, True),
        ((50.0, 100.0, True, ""), False, 0.5, False),
        ((200.0, 100.0, False, ""), False, 2.0, False),  # other results are worth nothing
    ],
)
def test_a_figure(
    figures: tuple[float, float, bool, str], lower_is_better: bool, ratio: float, met: bool
) -> None:
    figure = Figure(
        name="size/rival",
        rival="-",
        unit="bytes",
        target=1.5,
        measure=lambda: figures,
        lower_is_better=lower_is_better,
        bound="bound by the test",
    )
    row = measure(figure, rounds=1, seconds=0.1, progress=quiet)
    assert (row.ratio, row.met) == (ratio, met)
    assert row.note == ("" if met else "bound by the test")


def test_the_report_is_what_is_promised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    options = ["--rounds", "1", "--seconds", "0.02", "--json", "-", "--markdown", str(page)]
    code = main(["compare", "null", *options])
    report = json.loads(capsys.readouterr().out)
    assert {"machine", "commit", "command", "rows"} <= set(report)
    assert set(report["rows"][0]) >= SHAPE
    assert code == (0 if report["rows"][0]["met"] else 1)
    assert page.read_text() == as_markdown(report)


def test_the_page_is_of_the_committed_run() -> None:
    report = json.loads((ROOT / "perf/results/compare.json").read_text())
    assert (ROOT / "docs/performance.md").read_text() == as_markdown(report)
    msgspec.convert(report["rows"], list[Row])
    named = {row["name"] for row in report["rows"]} | set(report.get("not_measured", {}))
    assert named == {one.name for one in entries()}
