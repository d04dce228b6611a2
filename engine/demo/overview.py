"""`overview.png`: frames with their masks, volumes over the beat, and where the time went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # before pyplot: no display is needed

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from pydicom import dcmread
from pydicom.dataset import Dataset

from engine.demo.summary import by_series, measures, stage_means
from engine.messages import Result
from engine.postprocess import decode_mask
from engine.postprocess.cine import CAVITY, slice_position_mm

COLUMNS = 6
OUTLINE = "#ffb000"
CURVES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # told apart also by the colour-blind
Objects = Mapping[str, Path | Dataset]


def draw(
    results: Sequence[Result], objects: Objects, summary: Mapping[str, Any], file: Path
) -> None:
    """Draw the picture of a run; `objects` maps SOPInstanceUID to what was sent."""
    figure = plt.figure(figsize=(15, 9.5), layout="constrained")
    figure.suptitle(_headline(summary), fontsize=15)
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.35, 1))
    _draw_frames(top.subplots(2, COLUMNS), results, objects)
    left, middle, right = bottom.subplots(1, 3, width_ratios=(1.5, 1, 1))
    _draw_volumes(left, results, summary)
    _draw_stages(middle, results)
    _draw_latency(right, results)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _headline(summary: Mapping[str, Any]) -> str:
    models = ", ".join(summary["models"]) or "no model"
    precisions = ", ".join(summary["precisions"])
    return (
        f"scanstream: {summary['results']} results of {summary['frames']} frames, "
        f"{summary['dead_letters']} dead letters, {summary['frames_per_second']:.1f} frames/s  "
        f"({models}, {precisions})"
    )


def _draw_frames(axes: Any, results: Sequence[Result], objects: Objects) -> None:
    """End diastole above, end systole below, from base to apex, of the first measured series."""
    for axis in axes.flat:
        axis.set_axis_off()
    series = by_series(results)
    if not series:
        return
    name = next(iter(measures(results)), next(iter(series)))
    for row, (title, frames) in enumerate(_beat_ends(series[name])):
        for axis, result in zip(axes[row], _spread(frames, COLUMNS), strict=False):
            _draw_frame(axis, result, objects.get(result.frame.sop_instance_uid))
            axis.set_title(f"{title}, {_area(result):.0f} mm²", fontsize=10)


def _beat_ends(results: Sequence[Result]) -> list[tuple[str, list[Result]]]:
    """Return the frames of the phases with the largest and the smallest volume, base to apex."""
    slices: dict[float, list[Result]] = {}
    for result in results:
        slices.setdefault(round(slice_position_mm(result.frame) or 0.0, 1), []).append(result)
    phases = max(len(ones) for ones in slices.values())
    full = [
        sorted(ones, key=lambda one: one.frame.trigger_time or 0.0)
        for _, ones in sorted(slices.items())
        if len(ones) == phases
    ]
    totals = [sum(_area(ones[phase]) for ones in full) for phase in range(phases)]
    diastole, systole = int(np.argmax(totals)), int(np.argmin(totals))
    return [
        ("end diastole", [ones[diastole] for ones in full]),
        ("end systole", [ones[systole] for ones in full]),
    ]


def _spread(frames: list[Result], count: int) -> list[Result]:
    """Return `count` frames spread evenly over those with a cavity (all, when it is nowhere)."""
    shown = [one for one in frames if one.findings] or frames
    return [shown[round(i)] for i in np.linspace(0, len(shown) - 1, min(count, len(shown)))]


def _draw_frame(axis: Axes, result: Result, source: Path | Dataset | None) -> None:
    if source is None:
        return
    dataset = source if isinstance(source, Dataset) else dcmread(source)
    pixels = dataset.pixel_array
    low, high = np.percentile(pixels, (1, 99.5))
    axis.imshow(pixels, cmap="gray", vmin=low, vmax=high)
    for mask in result.masks:
        axis.contour(decode_mask(mask), levels=[0.5], colors=OUTLINE, linewidths=1.4)
    size = pixels.shape[0]
    axis.set_xlim(0.2 * size, 0.8 * size)
    axis.set_ylim(0.8 * size, 0.2 * size)


def _draw_volumes(axis: Axes, results: Sequence[Result], summary: Mapping[str, Any]) -> None:
    axis.set_title("volume of the left ventricle's cavity over the beat")
    expected = {one["series"]: one["expected"] for one in summary["series"]}
    for (name, measure), colour in zip(measures(results).items(), CURVES, strict=False):
        known = expected.get(name)
        truth = "" if known is None else f" (truth {known:.0f} %)"
        label = f"ejection fraction {measure.ejection_fraction or 0:.0f} %{truth}"
        axis.plot(measure.volumes_ml, marker="o", markersize=4, color=colour, label=label)
    axis.set_xlabel("phase (rank of TriggerTime)")
    axis.set_ylabel("ml")
    axis.set_ylim(bottom=0)
    if axis.lines:
        axis.legend(loc="lower right", frameon=False)
    axis.grid(alpha=0.3)


def _draw_stages(axis: Axes, results: Sequence[Result]) -> None:
    means = stage_means(results)
    axis.set_title("where a frame's time went (mean)")
    bars = axis.barh(list(means), list(means.values()), color=CURVES[0])
    axis.bar_label(bars, fmt="%.1f", padding=3, fontsize=9)
    axis.invert_yaxis()
    axis.set_xlabel("ms (transport: waiting for a worker)")
    axis.margins(x=0.18)


def _draw_latency(axis: Axes, results: Sequence[Result]) -> None:
    latency_s = [(one.published_ns - one.accepted_ns) / 1e9 for one in results if one.model]
    axis.set_title("accepted to published")
    axis.hist(latency_s, bins=40, color=CURVES[2])
    axis.set_xlabel("seconds (all frames were sent at once: a queue)")
    axis.set_ylabel("frames")


def _area(result: Result) -> float:
    return sum(one.area_mm2 or 0.0 for one in result.findings if one.label == CAVITY)
