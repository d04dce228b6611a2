"""Writes the fault table into docs/reliability.md, between its two marks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

BEGIN, END = "<!-- the table is written by python -m perf chaos -->", "<!-- end of the table -->"


def write_page(report: dict[str, Any], page: Path) -> None:
    """Replace the table of the page; raise `ValueError` where it has no marks."""
    text = page.read_text()
    if BEGIN not in text or END not in text:
        raise ValueError(f"{page} has no marks for the table")
    before, rest = text.split(BEGIN, 1)
    page.write_text(f"{before}{BEGIN}\n\n{table(report)}\n\n{END}{rest.split(END, 1)[1]}")


def table(report: dict[str, Any]) -> str:
    """Return the rows as Markdown, and under them where they come from."""
    lines = ["| fault | asserted | measured | held |", "|---|---|---|---|"]
    for row in report["rows"]:
        cells = (row["fault"], row["asserted"], row["measured"], "yes" if row["held"] else "**no**")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    where = report["machine"]
    lines += [
        "",
        f"Measured by `python -m perf chaos --form {report['form']}` in {report['minutes']}"
        f" minutes, commit {report['commit']}, on {where.get('cpu', where)},"
        f" {where.get('cores', '?')} cores;"
        " Apache Kafka, Triton, gateway, three workers and the scanners share them.",
    ]
    return "\n".join(lines)
