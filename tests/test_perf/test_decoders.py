"""The table of decoders: who is measured, and what counts as damage survived."""

from __future__ import annotations

import pytest

from engine.decode import decode
from perf.baselines import decode as baseline
from perf.damage import crashes, damaged
from perf.decoders import measured
from perf.rows.decode import cases


@pytest.mark.parametrize("syntax", [baseline.NATIVE, baseline.RLE, baseline.EXTENDED])
def test_every_decoder_that_can_is_measured_and_the_default_comes_first(
    monkeypatch, syntax
) -> None:
    monkeypatch.setattr("perf.decoders.SECONDS", 0.0)
    found = measured(syntax)
    assert [one.is_default for one in found] == [True] + [False] * (len(found) - 1)
    assert all(one.ms > 0 and one.exact != "no" for one in found)
    assert "gdcm" not in [one.decoder for one in found]  # it has no JPEG of 12 bits


def test_damage_is_the_same_for_the_same_seed_and_some_is_refused() -> None:
    assert damaged(b"\x00" * 500, 7) == damaged(b"\x00" * 500, 7) != b"\x00" * 500
    found = crashes("numba-rle", 20)
    assert (found.tried, found.ended) == (20, 0)
    assert found.decoded < 20


def test_a_decoder_that_ends_its_process_is_started_again_and_counted(monkeypatch) -> None:
    monkeypatch.setattr("perf.damage.ENOUGH", 2)
    found = crashes("pylibjpeg-rle", 200)  # its panics pass every `except Exception`
    assert found.ended == 2
    assert 2 <= found.tried < 200


@pytest.mark.parametrize("syntax", [baseline.NATIVE, baseline.RLE, baseline.JPEG + "80"])
def test_both_sides_of_the_row_have_the_same_frame(syntax) -> None:
    (frame,) = baseline.frames(3)[:1]
    message = baseline.message(frame, syntax)
    theirs = baseline.pixel_array(baseline.dataset(message), baseline.plugins(syntax)[0])
    assert (decode(message, max_frame_bytes=2**20) == theirs).all()
    assert frame.max() < 4096 <= 2 * int(frame.max()) + 2


def test_the_row_asks_for_the_targets() -> None:
    asked = {one.name: one.target for one in cases()}
    assert asked["decode/native"] == 20
    assert asked["decode/rle"] == 10
    assert asked["decode/jpeg-lossless"] == 3
    assert asked["decode/jpeg2000"] == 1.5
    assert asked["decode/jpeg-ls"] == 1.2
