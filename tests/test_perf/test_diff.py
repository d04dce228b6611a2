"""`perf diff`: what is slower beyond noise is said to be, and noise is not."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from perf.__main__ import main
from perf.report.changes import Change, of_comparisons, of_runs
from perf.report.noise import clumping, interval, wilson
from perf.run.record import RunRecord, encoded
from tests.test_perf.report_records import loaded, smooth, stalled


def words(changes: Any) -> dict[str, str]:
    return {change.name: change.word for change in changes}


def slower(factor: float) -> Any:
    return lambda rng, second: factor * smooth(rng, second)


def changed(record: RunRecord, **fields: Any) -> RunRecord:
    return msgspec.structs.replace(record, **fields)


def test_the_interval_of_a_share_is_wilsons() -> None:
    low, high = wilson(0.5, 100)  # with Student's t of nine, 2.262
    assert (low, high) == pytest.approx((0.3897, 0.6103), abs=1e-4)
    assert wilson(0.99, 1e9) == pytest.approx((0.99, 0.99), abs=1e-4)


def test_independent_frames_count_each_and_a_stall_counts_once() -> None:
    calm, stall = loaded(), loaded(stalled)
    assert clumping(calm.timeline, 0.5, 20.0) < 3
    value = interval(stall, 99)
    assert value is not None
    assert clumping(stall.timeline, 0.99, value.value) > 8
    assert value.high is None  # one stall says nothing of how bad stalls may be


def test_a_percentile_lies_in_its_interval_nearly_always() -> None:
    true = {50: 20.0855, 90: 33.5369}  # exp(3 + 0.4 z) of the log-normal of `smooth`
    outside = 0
    for seed in range(40):
        record = loaded(seed=seed, seconds=20)
        for percent, value in true.items():
            found = interval(record, percent)
            assert found is not None
            outside += not (found.low <= value and (found.high is None or value <= found.high))
    assert outside <= 8  # of 80, at 95 %


def test_the_same_load_twice_is_noise() -> None:
    for latency in (smooth, stalled):
        for seed in range(1, 12, 2):
            found = words(of_runs(loaded(latency, seed=seed), loaded(latency, seed=seed + 1)))
            assert "slower" not in found.values()


def test_what_is_a_fifth_slower_is_found() -> None:
    found = words(of_runs(loaded(), loaded(slower(1.2), seed=2)))
    assert found["latency p50"] == found["latency p90"] == "slower"
    back = words(of_runs(loaded(slower(1.2), seed=2), loaded()))
    assert back["latency p50"] == "faster"


def test_what_is_small_is_noise_however_sure() -> None:
    tight = random.Random(1).gauss
    made = [loaded(lambda rng, _, f=f: f * tight(20, 0.05)) for f in (1.0, 1.03)]
    assert words(of_runs(*made))["latency p50"] == "within noise"
    assert words(of_runs(*made, least=0.01))["latency p50"] == "slower"


def test_latencies_at_other_rates_are_not_judged() -> None:
    found = words(of_runs(loaded(), changed(loaded(slower(2)), rate_hz=50.0)))
    assert found["latency p50"] == "not judged"


def searched(rate_hz: float, *, held: bool = True) -> RunRecord:
    last = msgspec.structs.replace(loaded().points[-1], held=held)
    return changed(loaded(), rate_hz=rate_hz, points=[*loaded().points, last])


@pytest.mark.parametrize(
    ("a", "b", "word"),
    [
        (searched(40.0), searched(36.0), "within noise"),
        (searched(40.0), searched(30.0), "slower"),
        (searched(40.0), searched(40.0, held=False), "slower"),
        (searched(10.0, held=False), searched(10.0), "faster"),
        (searched(40.0, held=False), searched(30.0, held=False), "not judged"),
    ],
)
def test_a_search_finds_less_only_beyond_what_searches_differ(
    a: RunRecord, b: RunRecord, word: str
) -> None:
    assert words(of_runs(a, b))["highest rate"] == word


def test_a_percentile_of_a_handful_of_frames_is_not_judged() -> None:
    few = [loaded(latency, seconds=12) for latency in (smooth, slower(20))]  # 480 frames
    found = words(of_runs(*few))
    assert (found["latency p90"], found["latency p99"]) == ("slower", "not judged")


def test_what_a_reader_must_know_of_either_run_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = changed(loaded(), broker="pip", notes=["a short run"])
    a, b = written(tmp_path, "a.json", loaded()), written(tmp_path, "b.json", other)
    assert main(["diff", a, b]) == 0
    shown = capsys.readouterr().out
    assert "note: not the same broker: kafka and pip" in shown
    assert "note: B: a short run" in shown


@pytest.mark.parametrize("fields", [{"lost": 1}, {"statuses": {"dead-letter": 1}}])
def test_a_lost_frame_is_never_noise(fields: dict[str, Any]) -> None:
    found = words(of_runs(loaded(), changed(loaded(), **fields)))
    assert found["frames lost or dead-lettered"] == "slower"


def test_without_a_histogram_nothing_is_judged() -> None:
    bare = changed(loaded(), histogram_ms=[])
    assert words(of_runs(bare, loaded()))["latency p99"] == "not judged"


def row(name: str, ratio: float, spread: float = 0.02, **more: Any) -> dict[str, Any]:
    on_cores = [
        {"cores": n, "ours": ratio, "theirs": 1.0, "ratio": ratio, "ratio_min": ratio - spread,
         "ratio_max": ratio + spread} for n in (1, 2)
    ]  # fmt: skip
    return {"name": name, "ratio": ratio, "equal": True, "on_cores": on_cores} | more


def comparison(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"machine": {"cpu": "x"}, "rows": [row("null/itself", 1.0), *rows]} | more


def compared(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Change]:
    return {change.name: change for change in of_comparisons(a, b)}


@pytest.mark.parametrize(
    ("a", "b", "word"),
    [
        (row("r", 5.0), row("r", 5.0), "within noise"),
        (row("r", 5.0), row("r", 4.0), "slower"),
        (row("r", 5.0), row("r", 6.0), "faster"),
        (row("r", 5.0, spread=0.7), row("r", 4.0, spread=0.7), "within noise"),
        (row("r", 5.0), row("r", 4.8), "within noise"),  # less than 5 %
    ],
)
def test_a_row_is_slower_where_its_rounds_lie_apart(
    a: dict[str, Any], b: dict[str, Any], word: str
) -> None:
    found = compared(comparison(a), comparison(b))
    assert found["r, 1 core"].word == found["r, 2 cores"].word == word


def test_as_far_as_the_null_row_moved_others_may_move() -> None:
    moved = {"machine": {}, "rows": [row("null/itself", 0.7), row("r", 4.0)]}
    found = compared(comparison(row("r", 5.0)), moved)
    assert found["r, 1 core"].word == "within noise"
    assert "30 % is noise" in compared(comparison(row("r", 5.0)), moved)["null/itself, 1 core"].why


def test_a_size_has_no_rounds() -> None:
    one, other = row("size", 1.0, on_cores=[]), row("size", 0.8, on_cores=[])
    assert compared(comparison(one), comparison(other))["size"].word == "slower"


def test_results_that_no_longer_agree_are_slower() -> None:
    found = compared(comparison(row("r", 5.0)), comparison(row("r", 5.0, equal=False)))
    assert found["r"].word == "slower"


def test_a_row_that_is_gone_says_why() -> None:
    gone = comparison(not_measured={"r": "no such library"})
    found = compared(comparison(row("r", 5.0)), gone)["r"]
    assert (found.word, found.b) == ("not judged", None)
    assert "no such library" in found.why
    assert "not in A" in compared(gone, comparison(row("r", 5.0)))["r"].why


def written(folder: Path, name: str, what: RunRecord | dict[str, Any]) -> str:
    text = json.dumps(what) if isinstance(what, dict) else encoded(what)
    (folder / name).write_text(text)
    return str(folder / name)


def test_the_command_exits_with_1_where_something_is_slower(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = written(tmp_path, "a.json", loaded())
    b = written(tmp_path, "b.json", loaded(slower(1.5)))
    assert main(["diff", a, a]) == 0
    assert main(["diff", b, a]) == 0
    capsys.readouterr()
    assert main(["diff", a, b]) == 1
    out = capsys.readouterr().out
    assert out.index("\nslower") < out.index("\nnot judged") < out.index("\nwithin noise")
    assert main(["diff", a, b, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert "latency p50" in found["slower"]
    assert {"name", "unit", "a", "b", "ranges", "word", "why"} == set(found["changes"][0])
    assert main(["diff", a, b, "--least", "60"]) == 0


def test_another_machine_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = changed(loaded(), machine={**loaded().machine, "cpu": "Another"})
    a, b = written(tmp_path, "a.json", loaded()), written(tmp_path, "b.json", other)
    assert main(["diff", a, b]) == 0
    assert "not the same cpu: Some CPU and Another" in capsys.readouterr().out


@pytest.mark.parametrize(
    "b",
    [
        changed(loaded(), scenario="soak"),
        comparison(),
        {"machine": {}, "rows": [{"name": "r"}]},
        {},
    ],
)
def test_what_cannot_be_compared_is_a_wrong_usage(
    b: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a: Any = copy.deepcopy(b) if isinstance(b, dict) and b.get("rows") == [{"name": "r"}] else None
    files = written(tmp_path, "a.json", a or loaded()), written(tmp_path, "b.json", b)
    assert main(["diff", *files]) == 2
    assert capsys.readouterr().err.startswith("perf diff: ")
    assert main(["diff", files[0], str(tmp_path / "absent.json")]) == 2


@pytest.mark.parametrize("least", ["-1", "100"])
def test_least_is_a_percentage(least: str) -> None:
    assert main(["diff", "a", "b", "--least", least]) == 2
