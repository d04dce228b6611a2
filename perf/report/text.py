"""A run as Markdown, for the documentation."""

from __future__ import annotations

import re

from perf.report import tables
from perf.report.tables import Table
from perf.run.record import RunRecord

_MEANT = re.compile(r"([\\`*_\[\]<>|&~#])")


def as_markdown(record: RunRecord) -> str:
    """Return the verdicts, figures and origin of a run; the same record gives the same text."""
    _, sentence = tables.verdict(record)
    found = [f"# {plain(record.scenario)}", f"**{plain(sentence)}**"]
    if told := tables.warnings(record):
        found.append("\n".join(f"- {plain(text)}" for text in told))
    for table in (
        tables.objectives(record),
        tables.latencies(record),
        tables.frames(record),
        tables.events(record),
        tables.points(record),
        tables.stages(record),
        tables.processes(record),
        tables.summaries(record),
        tables.generator(record),
        tables.origin(record),
    ):
        if table.rows:
            found.append(_table(table))
    return "\n\n".join(found) + "\n"


def plain(text: str) -> str:
    """Return text on one line in which nothing is Markdown or HTML (CommonMark 0.31, 2.4)."""
    return _MEANT.sub(r"\\\1", " ".join(text.split()))


def _table(table: Table) -> str:
    def line(cells: list[str]) -> str:
        return f"| {' | '.join(cells)} |"

    rule = line(["---"] * len(table.heads))
    rows = [line([plain(cell) for cell in row]) for row in table.rows]
    head = line([plain(text) for text in table.heads])
    return "\n".join([f"**{plain(table.caption)}**", "", head, rule, *rows])
