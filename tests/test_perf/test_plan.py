"""Planning: costs, scanners, the simulated worker, the fleet, the report and the command."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from plan_costs import costs, point

from perf.__main__ import main
from perf.load.capacity import highest
from perf.load.orders import Poisson
from perf.plan import check, unit
from perf.plan.check import Check, compared
from perf.plan.costs import Costs, CostsUnreadable
from perf.plan.fleet import Row, row_for
from perf.plan.layout import TooFewCores, layout
from perf.plan.replay import Replay
from perf.plan.report import document, table
from perf.plan.scanners import CINE, CT, KINDS, MAMMOGRAPHY, Due, Kind, share
from perf.plan.scanners import fleet as scanners_of
from perf.plan.unit import PARTITIONS, Unit, Wanted, simulated, unit_for

QUICK = Kind("quick", 256, 256, 1.3, hz=10.0, series_s=1.0, pause_s=4.0)


def quiet(_: str) -> None:
    """Progress that nobody reads."""


# costs


def test_what_is_paid_once_a_batch_is_the_line_through_both_loads() -> None:
    frame_ms, batch_ms = costs().split("worker")
    assert frame_ms + batch_ms == pytest.approx(6.5)
    assert frame_ms + batch_ms / 8 == pytest.approx(3.0)


def test_what_is_spent_without_a_frame_is_on_no_frames_bill() -> None:
    idle = {"worker": 4.0, "triton": 0.0, "broker": 2.0}  # ms a second, at 4 frames a second
    found, plain = costs(idle=idle), costs()
    assert sum(found.split("worker")) == pytest.approx(5.5)
    assert sum(found.split("broker")) == pytest.approx(2.5)
    assert found.wait_s > plain.wait_s


def test_works_add_up_to_what_the_processes_spent() -> None:
    found = costs()
    works = found.works(found.small.pixels)
    worker_s = works.take_s + works.prepare_s + works.finish_s + works.publish_s
    assert worker_s + works.batch_s == pytest.approx(6.5e-3)
    broker_s = works.broker_in_s + works.broker_out_s + works.broker_batch_s
    assert broker_s == pytest.approx(3.0e-3)
    assert found.wait_s == pytest.approx(
        30e-3 - 6.5e-3 - 3e-3 + works.broker_batch_s - 0.5e-3 - 13e-3
    )


def test_larger_frames_cost_more_and_a_claim_check_is_hashed() -> None:
    found = costs()
    small, large = found.works(65_536), found.works(262_144)
    assert large.prepare_s == pytest.approx(3 * small.prepare_s)
    assert large.take_s == small.take_s
    claimed = found.works(65_536, claim_bytes=10 << 20)
    assert claimed.prepare_s - small.prepare_s == pytest.approx(7e-3)


def test_costs_survive_the_file_and_a_wrong_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    with pytest.raises(CostsUnreadable, match="--measure"):
        Costs.load(path)
    costs().save(path)
    assert Costs.load(path) == costs()
    costs(schema="other").save(path)
    with pytest.raises(CostsUnreadable, match="measure again"):
        Costs.load(path)
    costs(full=point()).save(path)
    with pytest.raises(CostsUnreadable, match="no larger"):
        Costs.load(path)
    path.write_text("{}")
    with pytest.raises(CostsUnreadable, match="no measured costs"):
        Costs.load(path)


# scanners


@pytest.mark.parametrize("kind", [CINE, CT, MAMMOGRAPHY])
def test_a_fleet_sends_its_mean_rate_in_order_and_the_same_again(kind: Kind) -> None:
    seconds = 30 * (kind.series_s + kind.pause_s)
    dues = list(scanners_of([kind], 8, seconds, seed=3))
    assert dues == list(scanners_of([kind], 8, seconds, seed=3))
    assert all(one.due_s <= two.due_s for one, two in pairwise(dues))
    assert len(dues) == pytest.approx(8 * seconds * kind.mean_hz, rel=0.2)


def test_a_mix_has_as_many_scanners_of_each_kind() -> None:
    dues = scanners_of(KINDS["mix"], 4, 600.0, seed=1)
    assert {one.kind for one in dues} == set(KINDS["mix"])


def test_a_share_has_the_rate_of_its_scanners() -> None:
    dues = list(share([QUICK], 3.0, 2_000.0, seed=1))
    assert len(dues) == pytest.approx(3.0 * 2_000 * QUICK.mean_hz, rel=0.1)


def test_frames_come_by_the_clock_by_the_rotation_or_at_the_end() -> None:
    def first_series(kind: Kind) -> list[Due]:
        dues = list(scanners_of([kind], 1, 3_000.0, seed=1))
        number = max(one.series for one in dues if one.due_s < 2_000)
        return [one for one in dues if one.series == number]

    cine, ct, mammo = map(first_series, (CINE, CT, MAMMOGRAPHY))
    gaps = {round(two.due_s - one.due_s, 6) for one, two in pairwise(cine)}
    assert (len(cine), gaps) == (300, {round(1 / 30, 6)})
    assert len({one.due_s for one in ct}) == len(ct) / CT.together
    assert (len(mammo), len({one.due_s for one in mammo})) == (4, 1)


# one worker


def order(rate_hz: float, **given: Any) -> Poisson:
    return Poisson(rate_hz, 10.0, seed=1, budget_ms=100.0, **given)


def test_a_lone_frame_takes_what_was_measured() -> None:
    outcome = Replay(costs(), 1).run(order(0.5))
    assert outcome.answered == outcome.sent > 0
    assert outcome.latency_ms.p50 == pytest.approx(30.0, rel=0.02)


def test_every_frame_is_answered_and_the_same_again() -> None:
    first, again = (Replay(costs(), 2).run(order(40.0)) for _ in range(2))
    assert first.answered == first.sent > 300
    assert first == again
    assert first.latency_ms.p99 > first.latency_ms.p50 > 0


def test_offline_the_core_is_the_limit_and_two_have_nearly_twice() -> None:
    one, two = (Replay(costs(), workers, cores=8).offline_hz() for workers in (1, 2))
    works = costs().works(65_536)
    least_s = works.take_s + works.prepare_s + works.finish_s + works.publish_s
    least_s += (works.batch_s + 80e-3) / 8
    assert one == pytest.approx(1 / least_s, rel=0.05)
    assert two == pytest.approx(2 * one, rel=0.1)


def test_with_two_workers_on_two_cores_the_broker_takes_its_part() -> None:
    crowded, roomy = (Replay(costs(), 2, cores=cores).offline_hz() for cores in (2, 8))
    assert crowded < 0.95 * roomy


def test_contention_lowers_the_rate() -> None:
    alone, shared = (Replay(costs(contention=c), 2).offline_hz() for c in (1.0, 1.3))
    assert shared == pytest.approx(alone / 1.3, rel=0.05)


def test_a_search_finds_a_rate_below_the_offline_one() -> None:
    replay = Replay(costs(), 1)
    ceiling = replay.offline_hz()
    found = highest({"": replay.run}, {"": ceiling}, objective_ms=100.0, steps=5, progress=quiet)[
        ""
    ]
    assert 0.2 * ceiling < found.low < ceiling


def test_too_many_under_way_stop_the_run_as_they_stop_the_real_one() -> None:
    assert Replay(costs(), 1).run(order(200.0, most_under_way=60)).stopped
    assert not Replay(costs(), 1).run(order(5.0, most_under_way=60)).stopped


def test_the_layout_is_refused_where_a_worker_has_no_core_of_its_own() -> None:
    assert layout(1, [0, 1]) == ([0], [1])
    assert layout(2, [0, 1]) == ([0, 1], [0, 1])
    with pytest.raises(TooFewCores, match="need 2 processors"):
        layout(1, [0])


# a fleet


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit, "SERIES", 40)
    monkeypatch.setattr(unit, "STEPS", 3)
    monkeypatch.setattr(unit, "UNITS", (1, 2))


def test_more_scanners_a_worker_make_its_p99_longer() -> None:
    wanted = Wanted([QUICK], 100.0)
    few, many = (
        simulated(costs(), wanted, 1, share([QUICK], number, 60.0, seed=1)) for number in (1, 15)
    )
    assert few.p99_ms < many.p99_ms
    assert few.busy < many.busy <= 1.0


@pytest.mark.usefixtures("short")
def test_a_longer_objective_needs_fewer_cores() -> None:
    found = [unit_for(costs(), Wanted([QUICK], ms), quiet) for ms in (80.0, 400.0)]
    tight, loose = (one.scanners / one.cores if one else 0.0 for one in found)
    assert 0 < tight < loose


@pytest.mark.usefixtures("short")
def test_an_objective_shorter_than_a_frames_own_work_is_not_met() -> None:
    assert unit_for(costs(), Wanted([QUICK], 20.0), quiet) is None


def test_a_large_fleet_needs_all_of_it_in_proportion() -> None:
    own = Unit(cores=2, scanners=5.0, p99_ms=90.0, busy=0.6, frames_per_batch=1.5)
    rows = [row_for(costs(), Wanted([CINE], 100.0), own, n) for n in (1_000, 100_000)]
    small, large = rows
    assert (small.workers, small.cores, small.partitions) == (200, 400, 200 * PARTITIONS)
    assert large.workers == 100 * small.workers
    assert large.frames_hz == pytest.approx(100_000 * CINE.mean_hz)
    assert large.brokers >= 3 * large.cells == 3 * 40
    assert large.network_gbit == pytest.approx(100 * small.network_gbit)
    assert small.gpus is None


def test_gpus_are_counted_only_where_their_rate_is_given() -> None:
    own = Unit(cores=2, scanners=5.0, p99_ms=90.0, busy=0.6, frames_per_batch=1.5)
    row = row_for(costs(), Wanted([CINE], 100.0, gpu_hz=2_000.0), own, 1_000)
    assert row.gpus == pytest.approx(1_000 * CINE.mean_hz / 2_000)


def test_a_fleet_that_misses_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit, "SERIES", 40)
    own = Unit(cores=1, scanners=1.0, p99_ms=90.0, busy=0.1, frames_per_batch=1.0)
    row = row_for(costs(), Wanted([QUICK], 20.0), own, 1)
    assert not row.held
    assert "missed**" in table([row])


def test_the_brokers_pay_for_small_batches() -> None:
    rows = [
        row_for(
            costs(),
            Wanted([CINE], 100.0),
            Unit(cores=2, scanners=5.0, p99_ms=90.0, busy=0.6, frames_per_batch=size),
            100_000,
        )
        for size in (1.0, 8.0)
    ]
    assert rows[0].brokers > 1.3 * rows[1].brokers


def test_a_run_that_has_missed_ends_and_a_long_objective_is_waited_for() -> None:
    def over(objective_ms: float) -> unit.Seen:
        wanted = Wanted([QUICK], objective_ms)
        dues = list(share([QUICK], 60.0, 60.0, seed=1))  # twice what a core can do
        return simulated(costs(), wanted, 1, dues, len(dues))

    short, long = over(200.0), over(60_000.0)
    assert short.p99_ms > 200.0
    assert short.latency.count < 0.5 * long.latency.count
    assert long.p99_ms > 200.0


@pytest.mark.usefixtures("short")
def test_a_small_fleet_is_simulated_whole() -> None:
    own = Unit(cores=1, scanners=0.2, p99_ms=90.0, busy=0.1, frames_per_batch=1.0)
    row = row_for(costs(), Wanted([QUICK], 100.0), own, 1)
    assert (row.workers, row.whole) == (1, True)
    assert 29.0 <= row.p99_ms <= 100.0  # no generator here: 0.5 ms less than alone


# the check and the words


def a_check(*, simulated_hz: float) -> Check:
    row = compared(
        1, [40.0, 42.0, 38.0], [simulated_hz], offline=(60.0, 61.0), spent_ms={"worker": 8.0}
    )
    return Check(
        machine={},
        commit="none",
        costs_commit="none",
        broker="none",
        objective_ms=100.0,
        rows=[row],
    )


@pytest.mark.parametrize(("simulated_hz", "agrees"), [(49.0, True), (51.0, False), (29.0, False)])
def test_a_quarter_is_what_may_be_between_them(simulated_hz: float, agrees: bool) -> None:
    (row,) = a_check(simulated_hz=simulated_hz).rows
    assert row.agrees is agrees
    assert msgspec.json.decode(msgspec.json.encode(row), type=type(row)) == row


def test_where_nothing_held_nothing_is_searched_near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "STEPS", 3)
    replay = Replay(costs(), 1)
    assert check._searched(replay.run, 40.0, 5.0, quiet) == [0.0]  # 30 ms is a frame's own time
    found = check._searched(replay.run, 60.0, 100.0, quiet)
    assert len(found) == 1 + check.REPEATS
    assert all(0 < one < 60 for one in found)


def test_a_stack_that_held_nothing_agrees_with_nothing() -> None:
    row = compared(1, [0.0], [10.0], offline=(1.0, 1.0), spent_ms={})
    assert (row.error, row.agrees) == (None, False)


def a_row() -> Row:
    own = Unit(cores=2, scanners=5.0, p99_ms=90.0, busy=0.6, frames_per_batch=1.5)
    return row_for(costs(), Wanted([CINE], 100.0), own, 100_000)


def test_the_document_says_what_is_simulated_and_what_was_not_checked() -> None:
    plans = {"cine": (Wanted([CINE], 100.0), [a_row()]), "mammo": (Wanted([MAMMOGRAPHY], 9.0), [])}
    text = document(costs(), plans, None)
    assert "**simulated**" in text
    assert "Not checked yet" in text
    assert "None was measured here" in text
    assert "No worker of any size tried holds p99 <= 9 ms" in text
    assert table([a_row()]) in text
    assert "**differs**" in document(costs(), plans, a_check(simulated_hz=90.0))


@pytest.mark.usefixtures("short")
def test_the_command_plans_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, words = tmp_path / "costs.json", ["plan", "--kind", "mammo", "--objective-ms", "2000"]
    costs().save(path)
    assert main([*words, "--costs", str(path), "--scanners", "1", "10000", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["mammo"]
    assert [one["scanners"] for one in rows] == [1, 10_000]
    page = tmp_path / "planning.md"
    assert main([*words, "--costs", str(path), "--markdown", str(page)]) == 0
    assert "| 100,000 |" in page.read_text()


def test_the_command_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--costs", str(tmp_path / "none.json")]) == 2
    assert "--measure" in capsys.readouterr().err
    assert main(["plan", "--objective-ms", "0"]) == 2


def test_a_committed_check_is_of_the_committed_costs() -> None:
    if check.FILE.exists():
        found = msgspec.json.decode(check.FILE.read_bytes(), type=Check)
        assert found.costs_commit == Costs.load().commit
