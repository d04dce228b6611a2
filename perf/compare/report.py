"""The comparison as JSON for machines and as a Markdown page for people."""

from __future__ import annotations

from typing import Any

import msgspec

from perf.compare.measure import Row


def as_json(
    machine: dict[str, object],
    commit: str,
    command: str,
    rows: list[Row],
    not_measured: dict[str, str],
) -> bytes:
    """Return `{"machine", "commit", "command", "rows", "not_measured"}`; each row as `Row` has it.

    `not_measured` has the reason of each row that this machine cannot measure.
    """
    report = {"machine": machine, "commit": commit, "command": command, "rows": rows}
    report["not_measured"] = not_measured
    return msgspec.json.format(msgspec.json.encode(report), indent=2)


INTRODUCTION = """# Performance: ours against what a user would pick instead

Written by `python -m perf compare --markdown`, from one run; the same run as JSON is
`perf/results/compare.json`. Both sides of a row run in turn, in short rounds, in one process that
is pinned to a core, each with one thread; a figure is the median over the rounds, and the ratio is
the median of the rounds' ratios, with their smallest and largest. The figures of two cores are two
such processes at once. The rows `path`, `serve`, `batching` and `kafka` run whole stacks of
processes on all cores, one side at a time (`docs/performance-method.md`), and stand under two
cores. Before anything is timed, the row checks that both sides compute the same.
A missed target stays in the table, and its note says what bounds it.
`null/itself` has the same work on both sides: it shows what the harness and the machine add.
"""


def as_markdown(report: dict[str, Any]) -> str:
    """Return the page for what `as_json` wrote, decoded."""
    machine = report["machine"]
    vector = ", ".join(machine["vector"]) or "none of AVX2, AVX-512, AMX"
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    head = [
        INTRODUCTION,
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"{vector}; {machine['system']}, Python {machine['python']}. {packages}.",
        "",
        f"Commit `{report['commit']}`; command `{report['command']}`; "
        f"load average before the run {machine['load_before']}.",
        "",
        "| row | against | ours | theirs | unit | ratio, 1 core (rounds) | ratio, 2 cores "
        "| target | same result | |",
        "|---|---|---:|---:|---|---:|---:|---:|---|---|",
    ]
    rows = [_line(row) for row in report["rows"]]
    notes = [f"- `{row['name']}`: {row['note']}" for row in report["rows"] if row["note"]]
    skipped = report.get("not_measured", {}).items()
    notes += [f"- `{name}`: **not measured**: {reason}" for name, reason in skipped]
    return "\n".join([*head, *rows, "", *notes, ""])


def _line(row: dict[str, Any]) -> str:
    cells = [
        f"`{row['name']}`",
        row["rival"],
        f"{row['ours']:.4g}",
        f"{row['theirs']:.4g}",
        row["unit"],
        *_ratios(row),
        f"{row['target']:.4g}" if row["target"] else "none",
        "yes" if row["equal"] else "**no**",
        _verdict(row),
    ]
    return "| " + " | ".join(cells) + " |"


def _ratios(row: dict[str, Any]) -> tuple[str, str]:
    """Return the cells of one core and of two; a load runs on all cores, and has the second."""
    found = {one["cores"]: one for one in row["on_cores"]}
    headline = f"**{row['ratio']:.2f}**"
    if not found:
        return headline, ""
    first = row["on_cores"][0]
    headline += f" ({first['ratio_min']:.2f} to {first['ratio_max']:.2f})"
    if 1 not in found:
        return "", headline
    return headline, f"{found[2]['ratio']:.2f}" if 2 in found else ""


def _verdict(row: dict[str, Any]) -> str:
    if not row["target"]:
        return ""  # a rival that stands there to be seen
    return "met" if row["met"] else "**missed**"
