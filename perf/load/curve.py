"""The throughput-latency curve as a picture, and its points as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from perf.load.capacity import Search

PERCENTILES = ("p50", "p99")
STYLES = {"p50": "--", "p99": "-"}


def write(searches: Mapping[str, Search], folder: Path) -> Path:
    """Write `throughput-latency.png` and `.json` into `folder`; return the former.

    One colour a side; each point is one run, at the rate that was asked for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    points = {name: _points(search) for name, search in searches.items()}
    json = msgspec.json.format(msgspec.json.encode(points))
    (folder / "throughput-latency.json").write_bytes(json + b"\n")
    objective_ms = next(iter(searches.values())).objective_ms
    picture = folder / "throughput-latency.png"
    _draw(points, objective_ms, picture)
    return picture


def _points(search: Search) -> list[dict[str, float | bool]]:
    return [
        {
            "rate_hz": rate_hz,
            "answered_hz": outcome.rate_hz,
            "samples": outcome.answered,
            "p50": outcome.latency_ms.p50,
            "p99": outcome.latency_ms.p99,
            "stopped": outcome.stopped,
        }
        for rate_hz, outcome in sorted(search.points, key=lambda point: point[0])
    ]


def _draw(
    points: Mapping[str, list[dict[str, float | bool]]], objective_ms: float, path: Path
) -> None:
    from matplotlib.figure import Figure  # half a second that only this needs

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for number, (name, found) in enumerate(points.items()):
        whole = [point for point in found if not point["stopped"]]
        rates = [point["rate_hz"] for point in whole]
        for key in PERCENTILES:
            label = f"{name}, {key}"
            values = [point[key] for point in whole]
            axes.plot(rates, values, STYLES[key], marker="o", color=f"C{number}", label=label)
    axes.axhline(objective_ms, color="black", linewidth=0.8)
    axes.set(xlabel="frames a second, Poisson", ylabel="latency from the intended time, ms")
    axes.set(yscale="log", title="Throughput and latency")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)
