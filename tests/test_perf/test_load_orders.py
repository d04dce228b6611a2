"""What the generator is told to do: when frames come, of which kind, lane, series and budget."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engine import wire
from engine.ingest.validate import read_instance
from engine.messages import Claim, FrameMessage
from engine.routes import Routes
from perf.baselines import decode as codecs
from perf.load import schedule
from perf.load.frames import Frames, Pick, cine, mixed, place_of
from perf.load.objects import Template, encoded
from perf.load.orders import Due
from perf.load.process import (
    Backlog,
    Burst,
    Clocks,
    Constant,
    Loader,
    OpenLoop,
    Poisson,
    Scanner,
    Together,
    Trace,
)

PIXELS = np.zeros((8, 8), np.uint16)
GROUPS = {
    "mr": [codecs.message(PIXELS, codecs.NATIVE), codecs.message(PIXELS + 1, codecs.NATIVE)],
    "ct": [codecs.message(PIXELS + 2, codecs.NATIVE)],
}
SCANNERS = (Scanner(50, "mr", 3), Scanner(10, "ct", 2, "stat", 250.0))


@pytest.mark.parametrize(
    ("order", "times"),
    [
        (Poisson(50, 2.0, 3, 100), schedule.until(schedule.poisson(50, 3), 2.0)),
        (Constant(50, 2.0, 100), schedule.until(schedule.constant(50), 2.0)),
        (Burst(50, 2.0, 3, 5, 100), schedule.until(schedule.burst(50, 3, size=5), 2.0)),
    ],
)
def test_an_order_is_its_schedule_until_its_end(order: OpenLoop, times: list[float]) -> None:
    due = list(order.due())
    assert [one.at_s for one in due] == list(times)
    assert len(due) > 50
    assert {one.pick for one in due} == {Pick()}


def test_a_trace_is_cut_off_and_keeps_its_lane(tmp_path: Path) -> None:
    path = tmp_path / "trace.txt"
    path.write_text("5\n6\n7.5\n")
    pick = Pick("ct", "stat")
    order = Trace(path, 2.0, 100, lane="stat", kind="ct")
    assert list(order.due()) == [Due(0.0, pick), Due(1.0, pick)]


def test_every_scanner_has_its_clock_its_phase_and_its_series() -> None:
    due = list(Clocks(SCANNERS, 4.0, 7, 100).due())
    assert [one.at_s for one in due] == sorted(one.at_s for one in due)
    by_series = defaultdict(list)
    for one in due:
        by_series[one.pick.series].append(one)
    assert set(by_series) == set(range(5))
    phases = set()
    for number, each in by_series.items():
        rate_hz, kind, lane = (50, "mr", "bulk") if (number or 0) < 3 else (10, "ct", "stat")
        assert {(one.pick.kind, one.pick.lane) for one in each} == {(kind, lane)}
        assert np.diff([one.at_s for one in each]) == pytest.approx(1 / rate_hz)
        assert 0 <= each[0].at_s < 1 / rate_hz
        assert len(each) == pytest.approx(4 * rate_hz, abs=1)
        phases.add(each[0].at_s * rate_hz)
    assert len(phases) == 5


def test_clocks_are_seeded_and_a_clock_must_run() -> None:
    one, again, other = (list(Clocks(SCANNERS, 1.0, seed, 100).due()) for seed in (1, 1, 2))
    assert one == again
    assert one != other
    with pytest.raises(ValueError, match="rate_hz"):
        next(schedule.clocks([30.0, 0.0], 1))


def test_loads_together_keep_their_lanes_and_budgets() -> None:
    bulk, stat = Poisson(100, 3.0, 1, 60_000), Constant(5, 2.0, 1_000, lane="stat")
    both = Together((bulk, stat, Clocks(SCANNERS, 1.0, 1, 500)))
    due = list(both.due())
    assert [one.at_s for one in due] == sorted(one.at_s for one in due)
    budgets = Counter((one.pick.lane, one.pick.budget_ms, one.pick.kind) for one in due)
    assert budgets["stat", 1_000, ""] == 10
    assert budgets["bulk", 60_000, ""] == len(list(bulk.due()))
    assert budgets["stat", 250.0, "ct"] > 0  # a scanner's own goes before its order's
    assert budgets["bulk", 500, "mr"] > 0
    assert (both.seconds, both.budget_ms) == (3.0, 60_000)


def test_a_pick_chooses_the_kind_the_lane_the_series_and_the_budget() -> None:
    frames = Frames(GROUPS, series=2)
    made = [frames.next(0, 100.0, Pick("mr", "stat", 3, 50.0)) for _ in range(4)]
    assert [place for place, _ in made] == [0, 1, 0, 1]
    assert {frame.lane for _, frame in made} == {"stat"}
    assert {frame.deadline_ms for _, frame in made} == {50}
    assert len({frame.info.series_instance_uid for _, frame in made}) == 1
    place, frame = frames.next(0, 100.0, Pick("ct"))
    assert (place, frame.lane, frame.deadline_ms) == (2, "bulk", 100)
    assert frame.info.series_instance_uid != made[0][1].info.series_instance_uid
    assert [frames.next(0, 100.0)[0] for _ in range(4)] == [0, 1, 2, 0]
    with pytest.raises(ValueError, match="no frames of kind 'us'"):
        frames.next(0, 100.0, Pick("us"))
    with pytest.raises(ValueError, match="each kind"):
        Frames({"mr": GROUPS["mr"], "us": []})


def test_uids_have_one_length_and_name_their_sample_and_traces_are_new() -> None:
    frames = Frames(GROUPS, series=16)
    made = [frames.next(0, 100.0, Pick(series=n if n % 2 else None)) for n in range(64)]
    assert {len(frame.info.sop_instance_uid) for _, frame in made} == {43}
    assert {len(frame.info.series_instance_uid) for _, frame in made} == {15}
    assert all(place_of(frame) == place for place, frame in made)
    parts = [frame.traceparent.split("-") for _, frame in made]
    assert all([len(part) for part in each] == [2, 32, 16, 2] for each in parts)
    assert len({each[1] for each in parts}) == len({each[2] for each in parts}) == 64


def test_the_process_carries_out_every_kind_of_order(tmp_path: Path) -> None:
    (tmp_path / "trace.txt").write_text("0\n0.1\n0.2\n")
    budget_ms = 100.0
    orders: list[OpenLoop] = [
        Constant(50, 0.2, budget_ms),
        Burst(200, 0.2, 1, 4, budget_ms, lane="stat"),
        Trace(tmp_path / "trace.txt", 1.0, budget_ms),
        Clocks((Scanner(50, "mr"), Scanner(50, "ct", 2, "stat")), 0.2, 1, budget_ms, keep=True),
        Together((Constant(20, 0.2, budget_ms), Constant(30, 0.2, 50.0, lane="stat"))),
    ]
    with Loader(None, GROUPS) as loader:
        found = [loader.run(order) for order in orders]
        backlog = loader.run(Backlog(4, 0.1, 0.0, budget_ms, lane="stat", kind="ct", keep=True))
    for order, outcome in zip(orders, found, strict=True):
        lanes = Counter(one.pick.lane for one in order.due())
        assert {lane: one.count for lane, one in outcome.lanes.items()} == lanes
        assert (outcome.sent, outcome.lost) == (lanes.total(), 0)
    assert set(found[3].kept) == {0, 1, 2}
    assert set(backlog.kept) == {2}
    assert set(backlog.lanes) == {"stat"}


def _read(data: bytes, syntax: str) -> tuple[object, bytes]:
    instance = read_instance(data, syntax, keywords=Routes.load().keywords)
    ((info, pixels),) = list(instance)
    return info, bytes(pixels)


@pytest.mark.parametrize("made", [cine, mixed])
def test_an_object_says_what_its_frame_says_and_no_more(made: type[cine]) -> None:
    samples = [one.message for one in made(1)[:4]]
    frames, templates = Frames(samples), [Template(one) for one in samples]
    for sample in samples:
        syntax = sample.info.transfer_syntax_uid
        assert _read(encoded(sample), syntax) == (sample.info, wire.opened(sample).value)
        place, frame = frames.next(0, 0)
        info, pixels = _read(b"".join(templates[place].pieces(frame)), syntax)
        assert info == frame.info
        assert pixels == wire.opened(frame).value


def test_the_pixels_of_an_object_are_never_copied() -> None:
    (sample,) = [one.message for one in cine(1)[:1]]
    frames, template = Frames([sample]), Template(sample)
    first, second = (template.pieces(frames.next(0, 0)[1]) for _ in range(2))
    assert first[1].obj is second[1].obj  # type: ignore[union-attr]
    assert len(first[0]) < 4096 < len(first[1])
    other = msgspec.structs.replace(sample.info, sop_instance_uid="1.2")
    with pytest.raises(ValueError, match="a UID of 4 bytes in a place of 44"):
        template.pieces(msgspec.structs.replace(sample, info=other))


def test_a_frame_that_does_not_hold_its_pixels_makes_no_object() -> None:
    claim = Claim(key="0" * 64, length=1, sha256="0" * 64)
    claimed: FrameMessage = msgspec.structs.replace(GROUPS["ct"][0], value=b"", claim=claim)
    with pytest.raises(ValueError, match=r"frame 2.25.1/1: no claim"):
        encoded(claimed)
