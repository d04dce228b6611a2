"""A run as one HTML file that needs nothing else: no script, no font, no style from outside."""

from __future__ import annotations

from perf.report import charts, tables
from perf.report.markup import Markup, join, tag
from perf.report.style import STYLE
from perf.report.tables import Table
from perf.report.words import number
from perf.run.record import RunRecord

# Nothing is loaded, whatever a record might hold (https://www.w3.org/TR/CSP3/).
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def as_html(record: RunRecord) -> str:
    """Return the page; the same record gives the same text."""
    title = f"{record.scenario}: a load test of scanstream"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("title", title),
        tag("style", Markup(STYLE)),
    )
    body = tag("body", tag("main", *_head(record), *_sections(record)))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _head(record: RunRecord) -> list[Markup]:
    held, sentence = tables.verdict(record)
    rate = f"{number(record.rate_hz)} frames/s"
    found = [
        tag("h1", record.scenario),
        tag("p", f"{record.started}, {rate}, broker: {record.broker}, commit {record.commit}"),
        tag("p", sentence, class_="verdict held" if held else "verdict missed"),
    ]
    if told := tables.warnings(record):
        items = tag("ul", *(tag("li", text) for text in told))
        found.append(tag("div", items, class_="warning", role="note"))
    return found


def _sections(record: RunRecord) -> list[Markup]:
    found = [
        _section("Verdicts", tables.objectives(record)),
        _section("Figures", tables.latencies(record), tables.frames(record)),
        _section(
            "Latency",
            charts.histogram(record),
            charts.percentiles(record),
            tables.buckets(record),
        ),
        _section(
            "Over time", charts.timeline(record), tables.events(record), tables.seconds(record)
        ),
        _section("By rate", charts.throughput(record), tables.points(record)),
        _section("Where the time goes", charts.waterfall(record), tables.stages(record)),
        _section("Processor time", charts.processor(record), tables.processes(record)),
        _section("Lanes", tables.summaries(record)),
        _section("The generator", tables.generator(record)),
        _section("Origin", tables.origin(record)),
    ]
    return [one for one in found if one]


def _section(title: str, *parts: Markup | Table | None) -> Markup:
    """Return a section of the parts that have something to show; empty where none has."""
    shown = [_table(one) if isinstance(one, Table) else one for one in parts if one is not None]
    shown = [one for one in shown if one]
    return tag("section", tag("h2", title), *shown) if shown else join()


def _table(table: Table) -> Markup:
    """Return a table; a long one is folded, and opens with the keyboard and in print."""
    if not table.rows:
        return join()
    head = tag("tr", *(tag("th", text, scope="col") for text in table.heads))
    rows = [
        tag("tr", tag("th", first, scope="row"), *(tag("td", text) for text in rest))
        for first, *rest in table.rows
    ]
    written = (tag("thead", head) if any(table.heads) else join(), tag("tbody", *rows))
    if table.long:
        name = f"{table.caption} ({len(rows)} rows)"
        grid = tag("table", *written, aria_label=table.caption)
        return tag("details", tag("summary", name), tag("div", grid, class_="wide"))
    return tag("div", tag("table", tag("caption", table.caption), *written), class_="wide")
