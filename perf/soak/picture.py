"""The windows of a soak as a picture: latency, and what each server holds."""

from __future__ import annotations

from pathlib import Path

from perf.soak.usage import GONE, Usage, Window

LABELS = {"memory_mib": "memory, MiB", "files": "file handles", "threads": "threads"}


def draw(windows: list[Window], path: Path) -> None:
    """Write the picture."""
    from matplotlib.figure import Figure  # half a second that only this needs

    minutes = [one.at_s / 60 for one in windows]
    figure = Figure(figsize=(9, 10), layout="constrained")
    panels = figure.subplots(len(LABELS) + 1, 1, sharex=True)
    panels[0].plot(minutes, [one.p50_ms for one in windows], "--", label="p50")
    panels[0].plot(minutes, [one.p99_ms for one in windows], "-", label="p99")
    panels[0].set(ylabel="latency, ms", yscale="log")
    for axes, field in zip(panels[1:], Usage.__struct_fields__, strict=True):
        for name in windows[0].servers:
            axes.plot(
                minutes,
                [getattr(one.servers.get(name, GONE), field) for one in windows],
                label=name,
            )
        axes.set(ylabel=LABELS[field], ylim=(0, None))
    for axes in panels:
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small", loc="upper right")
    panels[-1].set(xlabel="minutes")
    figure.savefig(path, dpi=110)
