"""A plan in words: for people, and as `docs/planning.md`, whose text is `planning.md.in`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from perf.plan import fleet, unit
from perf.plan.check import AGREEMENT, Check, Compared
from perf.plan.costs import Costs, Point
from perf.plan.fleet import Row
from perf.plan.scanners import Kind
from perf.plan.unit import Wanted

Plans = Mapping[str, tuple[Wanted, Sequence[Row]]]
TEMPLATE = Path(__file__).with_name("planning.md.in")
NO_GPU = (
    "None was measured here, and none is assumed. With `--gpu-hz` (frames/s of the network on one "
    "GPU, yours to measure) the network leaves the cores, and GPUs are counted by its rate."
)
GPU = (
    "{:g} frames/s of the network on each: a number that was **given**, not measured. The queue of "
    "workers that share one is not modelled."
)
FLEET = (
    "scanners",
    "frames/s",
    "workers",
    "cores each",
    "cores",
    "partitions",
    "brokers",
    "cells",
    "GPUs",
    "network, Gbit/s",
    "p99, ms",
)
CHECKED = (
    "workers",
    "measured, frames/s (searches)",
    "simulated (searches)",
    "error",
    "",
    "offline, measured",
    "offline, simulated",
    "processor ms a frame, measured",
)
POINTS = ("load", "frames/s", "frames a batch", "worker", "Triton", "broker", "generator")


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table; `*` marks fleets that were simulated whole."""
    return _table(FLEET, map(_row, rows))


def document(costs: Costs, plans: Plans, check: Check | None) -> str:
    """Return `docs/planning.md`: the plans by name, what they stand on, and how far they hold."""
    wanted = next(iter(plans.values()))[0]
    about = costs.machine
    return TEMPLATE.read_text().format(
        plans="\n\n".join(_plan(name, *plan) for name, plan in plans.items()),
        model=costs.model,
        inline_mib=wanted.inline_limit / 2**20,
        contention=costs.contention,
        series=unit.SERIES,
        partitions=unit.PARTITIONS,
        broker_cores=wanted.broker_cores,
        network_gbit=wanted.network_gbit,
        broker_share=fleet.BROKER_SHARE,
        network_share=fleet.NETWORK_SHARE,
        replication=fleet.REPLICATION,
        cell=fleet.CELL,
        gpu=NO_GPU if wanted.gpu_hz is None else GPU.format(wanted.gpu_hz),
        cpu=about.get("cpu", "?"),
        cores=about.get("cores", "?"),
        load=about.get("load_before", "?"),
        commit=costs.commit,
        command=costs.command,
        broker=costs.broker,
        sizes=_sizes(costs),
        points=_table(POINTS, [_point("light", costs.light), _point("backlog", costs.full)]),
        batches=", ".join(f"{size}: {ms:.3g}" for size, ms in costs.batch_ms.items()),
        wait_ms=1e3 * costs.wait_s,
        worst=costs.spread[-1],
        idle=", ".join(f"{name} {ms:.3g}" for name, ms in costs.idle.items()),
        result_bytes=costs.result_bytes,
        agreement=AGREEMENT,
        checked=_checked(check),
    )


def not_met(wanted: Wanted) -> str:
    """Say that no unit holds the objective."""
    return (
        f"No worker of any size tried holds p99 <= {wanted.objective_ms:g} ms, not even for one "
        "series alone: a frame's own work takes too long, or too many come at once. Ask for a "
        "longer objective."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = (" | ".join(row) for row in rows)
    rule = "|".join(["---:"] * len(head))
    return "\n".join([f"| {' | '.join(head)} |", f"|{rule}|", *(f"| {one} |" for one in lines)])


def _plan(name: str, wanted: Wanted, rows: Sequence[Row]) -> str:
    kinds = "\n".join(map(_kind, wanted.kinds))
    found = table(rows) if rows else not_met(wanted)
    return f"## {name}: p99 <= {wanted.objective_ms:g} ms\n\n{kinds}\n\n{found}"


def _kind(kind: Kind) -> str:
    how = f"{kind.together} at once" if kind.together > 1 else "one by one"
    how = "all at the end of the series" if kind.at_end else how
    return (
        f"- {kind.name}: {kind.rows} x {kind.columns}, {kind.frame_bytes / 1e6:.2g} MB a frame, "
        f"{kind.hz:g} frames/s for {kind.series_s:g} s, {how}, then a pause of {kind.pause_s:g} s "
        f"on average: {kind.mean_hz:.3g} frames/s"
    )


def _row(row: Row) -> tuple[str, ...]:
    return (
        f"{row.scanners:,}{'*' if row.whole else ''}",
        f"{row.frames_hz:,.4g}" if row.frames_hz < 10_000 else f"{row.frames_hz:,.0f}",
        f"{row.workers:,}",
        f"{row.unit_cores}",
        f"{row.cores:,}",
        f"{row.partitions:,}",
        f"{row.brokers:,}",
        f"{row.cells}",
        "-" if row.gpus is None else f"{row.gpus:.3g}",
        f"{row.network_gbit:.3g}",
        f"{row.p99_ms:.0f}" if row.held else f"**{row.p99_ms:.0f}, missed**",
    )


def _sizes(costs: Costs) -> str:
    names = sorted(costs.small.stages_ms)
    return _table(
        ["pixels", *names, "bytes"],
        (
            [
                f"{one.pixels:,}",
                *(f"{one.stages_ms[name]:.3g}" for name in names),
                f"{one.frame_bytes:,}",
            ]
            for one in (costs.small, costs.large)
        ),
    )


def _point(name: str, one: Point) -> tuple[str, ...]:
    figures = (one.rate_hz, one.frames_per_batch, one.worker_ms, one.triton_ms, one.broker_ms)
    return name, *(f"{figure:.3g}" for figure in (*figures, one.generator_ms))


def _checked(check: Check | None) -> str:
    if check is None:
        return "**Not checked yet**: `python -m perf plan --check` runs it."
    about = (
        f"p99 <= {check.objective_ms:g} ms; commit `{check.commit}`, costs of commit "
        f"`{check.costs_commit}`; broker: {check.broker}; load average before the run "
        f"{check.machine.get('load_before', '?')}."
    )
    return f"{_table(CHECKED, map(_compared, check.rows))}\n\n{about}"


def _compared(row: Compared) -> tuple[str, ...]:
    return (
        f"{row.workers}",
        f"{row.measured_hz:.3g} ({_range(row.measured_all_hz)})",
        f"{row.simulated_hz:.3g} ({_range(row.simulated_all_hz)})",
        "-" if row.error is None else f"{row.error:+.0%}",
        "agrees" if row.agrees else "**differs**",
        f"{row.offline_measured_hz:.3g}",
        f"{row.offline_simulated_hz:.3g}",
        ", ".join(f"{name} {ms:.3g}" for name, ms in row.spent_ms.items()),
    )


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.3g} to {max(values):.3g}"
