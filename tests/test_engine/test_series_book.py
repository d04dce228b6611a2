"""Measures over a series: late, repeated, shuffled and expired frames; the test is the clock."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watching import little_memory

from engine.postprocess.book import SeriesBook, SeriesKey, alerts_of
from engine.postprocess.cine import measure_cine
from engine.series import CineFrame, SeriesMeasures

QUIET_S = 10.0


def key(series: str = "2.25.1", partition: int = 0) -> SeriesKey:
    return SeriesKey("2.25.9", series, "cine", "", partition)


def beat(
    slices: int = 6, phases: int = 5, *, diastole: float = 1000.0, systole: float = 400.0
) -> dict[str, CineFrame]:
    """Frames of a beat that falls to systole in two phases and rises; slices are 10 mm apart."""
    share = [0.0, 0.5, 1.0, 2 / 3, 1 / 3] if phases == 5 else [0.0, 1.0]
    falling = [diastole + (systole - diastole) * each for each in share]
    return {
        f"{at}/{phase}": CineFrame(
            position_mm=10.0 * at, trigger_time_ms=40.0 * phase, area_mm2=area, phases=phases
        )
        for at in range(slices)
        for phase, area in enumerate(falling)
    }


def published(book: SeriesBook, now_s: float) -> list[SeriesMeasures]:
    """Return what is due, and confirm it."""
    found = list(book.due(now_s))
    for one, record in found:
        book.published(one, record.id)
    return [record for _, record in found]


def book_of(frames: dict[str, CineFrame], *, now_s: float = 0.0) -> SeriesBook:
    book = SeriesBook(quiet_s=QUIET_S, expiry_s=1000.0)
    for frame_id, frame in frames.items():
        book.add(key(), frame_id, frame, now_s)
    return book


def test_volumes_are_discs_along_the_normal() -> None:
    (record,) = published(book_of(beat()), 3.0)
    assert record.volumes_ml[0] == pytest.approx(6 * 1000 * 10 / 1000)
    assert record.ejection_fraction == pytest.approx(60.0)
    assert (record.complete, record.slices, record.frames) == (True, 6, 30)


def test_the_phase_is_the_rank_of_trigger_time_within_its_slice() -> None:
    shifted = {
        frame_id: CineFrame(
            position_mm=frame.position_mm,
            trigger_time_ms=frame.trigger_time_ms + 7.3 * frame.position_mm,
            area_mm2=frame.area_mm2,
            phases=frame.phases,
        )
        for frame_id, frame in beat().items()
    }
    (record,) = published(book_of(shifted), 3.0)
    assert record.ejection_fraction == pytest.approx(60.0)


def test_a_full_grid_settles_first_and_an_incomplete_one_waits_for_quiet() -> None:
    frames = beat()
    assert published(book_of(frames), 0.5) == []
    missing = dict(itertools.islice(frames.items(), 29))
    book = book_of(missing)
    assert published(book, QUIET_S - 0.1) == []
    (record,) = published(book, QUIET_S)
    assert (record.complete, record.slices) == (False, 5)
    assert record.quality == ["incomplete-grid"]


def test_a_late_frame_measures_again_and_a_repeat_does_not() -> None:
    frames = beat()
    late_id, late = list(frames.items())[-1]
    book = book_of({name: frame for name, frame in frames.items() if name != late_id})
    (first,) = published(book, QUIET_S)
    assert published(book, 2 * QUIET_S) == []
    assert book.add(key(), late_id, late, 30.0)
    (second,) = published(book, 33.0)
    assert second.id != first.id
    assert second.complete
    assert not book.add(key(), late_id, late, 33.0)
    assert published(book, 60.0) == []


@given(seed=st.integers(0, 2**32), repeats=st.integers(0, 20))
def test_order_and_repeats_change_nothing(seed: int, repeats: int) -> None:
    shuffler = random.Random(seed)
    items = list(beat().items())
    shuffled = items + shuffler.choices(items, k=repeats)
    shuffler.shuffle(shuffled)
    book = SeriesBook(quiet_s=QUIET_S, expiry_s=1000.0)
    for frame_id, frame in shuffled:
        book.add(key(), frame_id, frame, 0.0)
    (got,), (want,) = published(book, 3.0), published(book_of(beat()), 3.0)
    assert got == want


def test_two_series_interleaved_do_not_mix() -> None:
    book = SeriesBook(quiet_s=QUIET_S, expiry_s=1000.0)
    for (name, weak), strong in zip(
        beat(systole=800.0).items(), beat(systole=300.0).values(), strict=True
    ):
        book.add(key("2.25.1"), name, weak, 0.0)
        book.add(key("2.25.2", partition=1), name, strong, 0.0)
    found = {one.series_instance_uid: one.ejection_fraction for one in published(book, 3.0)}
    assert found == {"2.25.1": pytest.approx(20.0), "2.25.2": pytest.approx(70.0)}


def test_what_is_not_confirmed_stays_due() -> None:
    book = book_of(beat())
    first = [record.id for _, record in book.due(3.0)]
    assert [record.id for _, record in book.due(4.0)] == first


def test_expired_series_are_forgotten_by_partition_but_never_unpublished() -> None:
    book = SeriesBook(quiet_s=QUIET_S, expiry_s=100.0)
    (frame_id, frame), *_ = beat().items()
    book.add(key("2.25.1", 0), frame_id, frame, 0.0)
    book.add(key("2.25.2", 1), frame_id, frame, 0.0)
    assert list(book.expired(0, 1000.0)) == []  # nobody has tried to measure it yet
    published(book, 1000.0)
    assert list(book.expired(0, 1000.0)) == [(key("2.25.1", 0), [frame_id])]
    assert len(book) == 1


@pytest.mark.slow
def test_a_million_expired_entries_leave_memory_flat() -> None:
    book = SeriesBook(quiet_s=1.0, expiry_s=10.0)
    (frame_id, frame), *_ = beat().items()

    def add(number: int) -> None:
        now_s = number / 100
        book.add(key(f"2.25.{number}"), frame_id, frame, now_s)
        if number % 100 == 0:
            published(book, now_s)
            for _ in book.expired(0, now_s):
                pass

    for number in range(50_000):
        add(number)
    with little_memory(8 * 1024 * 1024):
        for number in range(50_000, 1_000_000):
            add(number)
    assert len(book) < 1500


@pytest.mark.parametrize(
    ("frames", "kinds"),
    [
        (beat(systole=800.0), ["low-ejection-fraction"]),
        (beat(systole=400.0), []),
        (beat(diastole=20.0, systole=8.0), ["implausible-phase-curve"]),
        (beat(diastole=50_000.0, systole=20_000.0), ["implausible-phase-curve"]),
        (beat(phases=2, systole=500.0), ["implausible-phase-curve"]),
    ],
    ids=["weak", "normal", "tiny", "huge", "jump"],
)
def test_alerts(frames: dict[str, CineFrame], kinds: list[str]) -> None:
    (record,) = published(book_of(frames), 3.0)
    found = list(alerts_of(record, lowest_ejection_fraction=40.0))
    assert [one.kind for one in found] == kinds
    assert len({one.id for one in found}) == len(found)


def test_nothing_to_compare_is_no_measure() -> None:
    assert measure_cine([]) is None
    (frame, *_) = beat().values()
    assert measure_cine([frame]) is None
    assert published(book_of({"one": frame}), 100.0) == []
