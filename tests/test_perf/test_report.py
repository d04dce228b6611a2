"""Reports: all of the record is there, nothing of it is markup, the same record each time."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perf.__main__ import main
from perf.report.charts import bars, percentiles, processor, throughput, timeline, waterfall
from perf.report.markup import tag
from perf.report.page import as_html
from perf.report.scale import Scale
from perf.report.text import as_markdown, plain
from perf.report.words import MISSING, number
from perf.run.record import RunRecord, encoded, read
from tests.test_perf.report_records import empty, loaded

VOID = {"meta"}
HOSTILE = '"><script>alert(1)</script><img src=x onerror=y>|`x`\n</svg>'


class Page(HTMLParser):
    """What a browser would see: the elements, their attributes, the text; tags must be balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"

    @property
    def shape(self) -> list[tuple[str, list[str]]]:
        return [(name, sorted(attributes)) for name, attributes in self.elements]


def with_texts(value: Any, text: str) -> Any:
    """Return what a record's JSON has with every string, of values and of keys, followed by text.

    The schema's name stays.
    """
    if isinstance(value, str):
        return value if value.startswith("scanstream.perf") else value + text
    if isinstance(value, list):
        return [with_texts(one, text) for one in value]
    if isinstance(value, dict):
        free = "p99" not in value and "schema" not in value and "at_s" not in value
        free = free and "limit_ms" not in value and "cpu_ms" not in value
        return {(k + text if free else k): with_texts(v, text) for k, v in value.items()}
    return value


def hostile(text: str) -> RunRecord:
    found = with_texts(msgspec.json.decode(encoded(loaded())), text)
    return msgspec.convert(found, RunRecord)


def test_nothing_of_a_record_becomes_markup() -> None:
    page = Page(as_html(hostile(HOSTILE)))
    assert page.shape == Page(as_html(hostile("~"))).shape
    assert page.text.count("<script>alert(1)</script>") > 10


def test_nothing_is_loaded_from_elsewhere() -> None:
    text = as_html(loaded())
    policies = [a["content"] for _, a in Page(text).elements if "http-equiv" in a]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert not re.search(r"https?:|url\(|@import|<script|<link|<img|src=|href=", text)


def test_a_picture_has_a_name_and_a_description_of_its_own() -> None:
    page = Page(as_html(loaded()))
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(identifiers)) == len(identifiers)
    pictures = [attributes for name, attributes in page.elements if name == "svg"]
    assert len(pictures) == 7
    for one in pictures:
        assert one["role"] == "img"
        assert set(str(one["aria-labelledby"]).split()) <= set(identifiers)


def test_the_verdict_comes_before_every_figure() -> None:
    text = as_html(loaded())
    assert text.index("Held: every frame was answered") < text.index("<table") < text.index("<svg")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lost": 2}, "2 frames without an answer"),
        ({"statuses": {"ok": 5, "dead-letter": 1}}, "1 dead letter"),
        ({"sent": 0}, "no frame was sent"),
        ({"grown": ["worker: memory"]}, "grown: worker: memory"),
    ],
)
def test_a_run_that_did_not_hold_says_why(change: dict[str, Any], words: str) -> None:
    record = msgspec.structs.replace(loaded(), **change)
    assert not record.met
    for text in (as_html(record), as_markdown(record).replace("\\", "")):
        assert "Not held" in text
        assert words in text


def test_a_missed_objective_is_said_in_words() -> None:
    record = loaded()
    missed = msgspec.structs.replace(record.objectives[0], met=False, name="the slow ones")
    text = as_html(msgspec.structs.replace(record, objectives=[missed]))
    assert "Not held: missed: the slow ones" in text
    assert "MISSED" in text


def test_every_value_can_be_read_without_the_pictures() -> None:
    record = loaded()
    text = Page(as_html(record)).text
    for second in record.timeline:
        assert f"\n{number(second.p99)}\n" in text
    assert sum(one.frames for one in bars(record.histogram_ms)) == record.answered
    for one in bars(record.histogram_ms):
        assert not one.frames or f"\n{number(one.high_ms)}\n" in text
    for what in ("Some CPU", "worker killed", "python -m perf run server", "0123456789ab"):
        assert what in text


def test_what_a_reader_must_know_comes_before_the_figures_and_once() -> None:
    told = ["a short run", "the generator was the bottleneck: its sends were late"]
    busy = msgspec.structs.replace(loaded().generator, was_bottleneck=True)
    text = as_html(msgspec.structs.replace(loaded(), notes=told, generator=busy))
    assert text.index("a short run") < text.index("<table")
    assert text.count("generator was the bottleneck") == 1


def test_a_burn_rate_draws_no_limit_of_its_own() -> None:
    (asked,) = loaded().objectives
    burn = msgspec.structs.replace(asked, name="p99: burn rate in any 10 s", observed_ms=None)
    record = msgspec.structs.replace(loaded(), objectives=[asked, burn])
    assert percentiles(record) == percentiles(loaded())
    rows = [line for line in as_markdown(record).splitlines() if "burn rate in any" in line]
    assert "| - |" in rows[0]


def test_a_search_in_which_no_rate_held_found_none() -> None:
    assert "not held 40 /s" in str(throughput(loaded()))
    held = msgspec.structs.replace(loaded(), points=loaded().points[:1])
    assert "found 40 /s" in str(throughput(held))


def test_what_was_not_measured_is_never_zero() -> None:
    page = Page(as_html(empty()))
    assert not [name for name, _ in page.elements if name == "svg"]
    assert MISSING in page.text
    assert "the generator was the bottleneck" in page.text.lower()
    assert MISSING in as_markdown(empty())
    assert number(float("nan")) == number(None) == MISSING
    assert number(-0.0) == number(-1e-9) == "0"


def test_the_same_record_gives_the_same_bytes(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(encoded(loaded()))
    again = read(file)
    assert as_html(again) == as_html(loaded())
    assert as_markdown(again) == as_markdown(loaded())


def test_the_waterfall_adds_up() -> None:
    record = loaded()
    drawn = waterfall(record)
    assert drawn is not None
    rects = [a for name, a in Page(drawn).elements if name == "rect"]
    *stages, total = [(float(a["x"] or 0), float(a["width"] or 0)) for a in rects]
    end = stages[0][0]
    for x, width in stages:
        assert x == pytest.approx(end, abs=0.02)
        end = x + width
    assert end - stages[0][0] == pytest.approx(total[1], abs=0.1)
    parts = [stage.mean for stage in record.stages_ms.values()]
    widths = [width / total[1] for _, width in stages]
    assert widths == pytest.approx([part / sum(parts) for part in parts], abs=0.001)


def test_a_stage_below_zero_still_ends_at_the_total() -> None:
    record = msgspec.structs.replace(loaded(), cpu_ms={"a": 5.0, "b": -1.0})
    drawn = processor(record)
    assert drawn is not None
    assert "4 ms, 100 %" in Page(drawn).text


def test_events_are_drawn_where_they_happened() -> None:
    drawn = timeline(loaded())
    assert drawn is not None
    page = Page(drawn)
    marks = [a["d"] for name, a in page.elements if a.get("class") == "line event"]
    assert len(marks) == 2  # in the latencies and in the rates
    assert all(str(d).startswith("M404.0 ") for d in marks)  # 64 + (760 - 64 - 16) x 30 / 60


def test_the_slowest_frame_ends_the_percentiles() -> None:
    drawn = percentiles(loaded())
    assert drawn is not None
    assert f"took {number(loaded().histogram_ms[-1].upper_bound_ms)} ms" in Page(drawn).text


def test_a_row_of_markdown_has_the_cells_of_its_head() -> None:
    for text in ("", "a|b`c`<b>\n# d"):
        rows = [line for line in as_markdown(hostile(text)).splitlines() if line.startswith("|")]
        cells = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
        heads = [n for n, row in enumerate(rows) if set(row) <= set("| -")]
        assert heads
        for start, end in zip(heads, [*(n - 1 for n in heads[1:]), len(rows)], strict=True):
            assert set(cells[start - 1 : end]) == {cells[start]}


@given(st.text())
def test_plain_text_has_no_markup_left(text: str) -> None:
    assert not re.search(r"(?<!\\)[`*_\[\]<>|&~#]", plain(text).replace("\\\\", ""))
    assert "\n" not in plain(text)


@given(st.text())
def test_an_attribute_ends_where_it_should(text: str) -> None:
    assert Page(tag("p", text, title=text)).elements == [("p", {"title": text})]


@given(
    st.lists(st.floats(1e-3, 1e6), min_size=1), st.sampled_from([Scale.linear, Scale.logarithmic])
)
def test_an_axis_holds_its_values_and_names_some(values: list[float], make: Any) -> None:
    scale = make(values)
    assert scale.low <= min(values) * 1.001
    assert max(values) <= scale.high * 1.001
    places = [scale.at(value) for value in scale.ticks()]
    assert places == sorted(places)
    assert 2 <= len(places) <= 14


def test_the_command_writes_both(tmp_path: Path) -> None:
    file, page, text = (tmp_path / name for name in ("run.json", "run.html", "sub/run.md"))
    file.write_text(encoded(loaded()))
    assert main(["report", str(file), "--html", str(page), "--markdown", str(text)]) == 0
    assert page.read_text() == as_html(loaded())
    assert text.read_text() == as_markdown(loaded())


def test_without_a_file_to_write_it_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.json"
    file.write_text(encoded(loaded()))
    assert main(["report", str(file)]) == 0
    assert capsys.readouterr().out == as_markdown(loaded())


@pytest.mark.parametrize(
    "text", ["", "[]", '{"schema": "other"}', '{"schema":"scanstream.perf.v1"}']
)
def test_what_is_no_record_is_a_wrong_usage(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.json"
    file.write_text(text)
    assert main(["report", str(file)]) == 2
    assert str(file) in capsys.readouterr().err
    assert main(["report", str(tmp_path / "absent.json")]) == 2
