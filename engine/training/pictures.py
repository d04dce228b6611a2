"""The pictures of the model card. Drawn from what `evaluate --out` and `history.json` hold.

Colours are told apart also by the colour-blind (Okabe and Ito).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # before pyplot: no display is needed

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from numpy.typing import NDArray

from engine.messages import Mask
from engine.postprocess import decode_mask
from engine.training.folds import DIAGNOSES, by_diagnosis, diagnosis_of

Row = Mapping[str, Any]
Grey = Mapping[str, NDArray[np.uint8]]

TRUE, FOUND = "#0072b2", "#d55e00"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MEAN_WANTED, WORST_WANTED = 0.92, 0.80
EACH = 6  # examples of a kind
MARGIN = 10  # pixels around a heart


def curves(runs: Mapping[str, Sequence[Row]], file: Path) -> None:
    """Draw each run's loss and its validation Dice over the epochs."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
    for (name, rows), colour in zip(runs.items(), cycle(COLOURS), strict=False):
        epochs = [row["epoch"] for row in rows]
        left.plot(epochs, [row["loss"] for row in rows], color=colour, label=name)
        scored = [row for row in rows if "dice" in row]
        at = [row["epoch"] for row in scored]
        right.plot(at, [row["dice"] for row in scored], color=colour, marker="o", markersize=3)
        right.plot(at, [row["worst"] for row in scored], color=colour, linestyle=":")
    left.set_title("training loss")
    left.legend(frameon=False, fontsize=9)
    right.set_title("validation Dice: mean over subjects, worst subject (dotted)")
    right.axhline(MEAN_WANTED, color="grey", linewidth=0.8)
    for axis in (left, right):
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
    _save(figure, file)


def subjects(groups: Mapping[str, Sequence[Row]], file: Path) -> None:
    """Draw a dot a slice and a bar a subject, by diagnosis, for each group of slices."""
    heights = [len({row["subject"] for row in rows}) + 1.5 for rows in groups.values()]
    figure, axes = plt.subplots(
        len(groups),
        1,
        figsize=(10.5, 1 + 0.24 * sum(heights)),
        height_ratios=heights,
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    lowest = min(row["dice"] for rows in groups.values() for row in rows)
    axes[0, 0].set_xlim(lowest - 0.02, 1.0)
    for axis, (title, rows) in zip(axes[:, 0], groups.items(), strict=True):
        _draw_subjects(axis, rows)
        axis.set_title(title, fontsize=10, loc="left")
    axes[-1, 0].set_xlabel("Dice: a dot a slice, a bar its subject's mean; grey lines are the aims")
    _save(figure, file)


def _draw_subjects(axis: Axes, rows: Sequence[Row]) -> None:
    names: list[str] = []
    for (group, some), colour in zip(
        by_diagnosis({row["subject"] for row in rows}).items(), COLOURS, strict=False
    ):
        for name in some:
            values = [row["dice"] for row in rows if row["subject"] == name]
            at = len(names)
            axis.plot(values, [at] * len(values), ".", color=colour, alpha=0.35, markersize=5)
            axis.plot([np.mean(values)], [at], "|", color=colour, markersize=11, markeredgewidth=3)
            names.append(name)
        axis.plot([], [], "|", color=colour, markeredgewidth=3, label=DIAGNOSES.get(group, group))
    for aim in (MEAN_WANTED, WORST_WANTED):
        axis.axvline(aim, color="grey", linewidth=0.8)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.grid(axis="x", alpha=0.3)
    axis.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=8, frameon=False)


def areas(rows: Sequence[Row], file: Path) -> None:
    """Draw found against true areas, and their difference over their mean (Bland, Altman 1986)."""
    true = np.array([row["true_px"] for row in rows], float)
    found = np.array([row["found_px"] for row in rows], float)
    kinds = np.array([diagnosis_of(row["subject"]) for row in rows])
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    for kind, colour in zip(sorted(set(kinds)), COLOURS, strict=False):
        some = kinds == kind
        label = DIAGNOSES.get(kind, kind)
        left.plot(true[some], found[some], ".", color=colour, alpha=0.6, label=label)
        mean = (true[some] + found[some]) / 2
        right.plot(mean, (found - true)[some], ".", color=colour, alpha=0.6)
    largest = float(max(true.max(), found.max()))
    left.plot([0, largest], [0, largest], color="grey", linewidth=0.8)
    left.set(xlabel="area of the label, pixels", ylabel="area found, pixels")
    left.legend(frameon=False, fontsize=9)
    bias, spread = float(np.mean(found - true)), float(np.std(found - true, ddof=1))
    for level, style in ((bias, "-"), (bias - 1.96 * spread, "--"), (bias + 1.96 * spread, "--")):
        right.axhline(level, color="black", linewidth=0.9, linestyle=style)
        right.annotate(f"{level:+.0f}", (largest, level), fontsize=8, va="bottom", ha="right")
    right.set(xlabel="mean of both areas, pixels", ylabel="found less true, pixels")
    right.set_title("mean difference and 95 % limits of agreement", fontsize=10)
    _save(figure, file)


def fractions(rows: Sequence[Row], file: Path) -> None:
    """Draw found against true ejection fractions, with the five points that are allowed."""
    figure, axis = plt.subplots(figsize=(5, 4.6), layout="constrained")
    ends = np.array([10.0, 75.0])
    axis.fill_between(ends, ends - 5, ends + 5, color="grey", alpha=0.18, label="within 5 points")
    axis.plot(ends, ends, color="grey", linewidth=0.8)
    for kind, colour, label in (("contours", TRUE, "subjects"), ("phantom", FOUND, "phantoms")):
        some = [row for row in rows if row["kind"] == kind]
        axis.plot(
            [row["true"] for row in some],
            [row["found"] for row in some],
            "o",
            color=colour,
            label=label,
        )
    axis.set(xlabel="true ejection fraction, %", ylabel="found, %", xlim=ends, ylim=ends)
    axis.legend(frameon=False)
    axis.grid(alpha=0.3)
    _save(figure, file)


def widths(points: Sequence[Row], file: Path) -> None:
    """Draw what a wider net costs: Dice against frames a second; the served one is filled."""
    figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for one in points:
        filled = FOUND if one.get("served") else "white"
        at = one["frames_per_second"], one["mean_dice"]
        axis.plot(*at, "o", color=FOUND, markerfacecolor=filled, markersize=9)
        name = f"{one['name']} (served)" if one.get("served") else one["name"]
        axis.annotate(name, at, xytext=(8, 5), textcoords="offset points", fontsize=9)
    axis.set_xscale("log")
    speeds = sorted(one["frames_per_second"] for one in points)
    axis.set_xticks(speeds, [f"{speed:.0f}" for speed in speeds])
    axis.minorticks_off()
    axis.set(xlabel="frames a second (log)", ylabel="mean Dice over validation subjects")
    axis.margins(x=0.25, y=0.2)
    axis.grid(alpha=0.3)
    _save(figure, file)


def examples(rows: Sequence[Row], file: Path, grey: Grey | None = None) -> None:
    """Draw the best, the middle and the worst slices: true and found outline.

    Over the picture itself where `grey` has it (uint8, by the slice's name), else on white.
    """
    ranked = sorted(rows, key=lambda row: float(row["dice"]))
    count = min(EACH, len(ranked))
    start = (len(ranked) - count) // 2
    kinds = {
        "worst": ranked[:count],
        "middle": ranked[start : start + count],
        "best": ranked[::-1][:count],
    }
    figure, axes = plt.subplots(
        3, count, figsize=(2.1 * count, 8.2), squeeze=False, layout="constrained"
    )
    for line, (kind, some) in zip(axes, kinds.items(), strict=True):
        for axis, row in zip(line, some, strict=True):
            _draw_example(axis, row, (grey or {}).get(row["name"]))
        line[0].set_ylabel(kind, fontsize=11)
    handles = [plt.Line2D([], [], color=colour) for colour in (TRUE, FOUND)]
    figure.legend(handles, ["label", "found"], loc="outside lower center", ncols=2, frameon=False)
    _save(figure, file)


def _draw_example(axis: Axes, row: Row, picture: NDArray[np.uint8] | None) -> None:
    true, found = (outline_of(row, which) for which in ("true", "found"))
    both = (true > 0) | (found > 0)
    if picture is None:
        axis.imshow(np.where(true > 0, 235, 255), cmap="gray", vmin=0, vmax=255)
    else:
        low, high = np.percentile(picture[_window(both)], (1, 99))
        axis.imshow(picture, cmap="gray", vmin=low, vmax=high)
    for mask, colour in ((true, TRUE), (found, FOUND)):
        if mask.any():
            axis.contour(mask, levels=[0.5], colors=colour, linewidths=1.3)
    rows, columns = _window(both)
    axis.set_xlim(columns.start - 0.5, columns.stop - 0.5)
    axis.set_ylim(rows.stop - 0.5, rows.start - 0.5)
    short = row["subject"].removeprefix("SC-")
    axis.set_title(
        f"{short}: {row['dice']:.2f}\n{row['true_px']} / {row['found_px']} px", fontsize=9
    )
    axis.set_xticks([])
    axis.set_yticks([])


def _window(there: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return a square of rows and columns around what is there; everything where nothing is."""
    if not there.any():
        return slice(0, there.shape[0]), slice(0, there.shape[1])
    rows, columns = np.nonzero(there)
    half = max(int(np.ptp(rows)), int(np.ptp(columns))) // 2 + MARGIN
    middle = (int(rows.min() + rows.max()) // 2, int(columns.min() + columns.max()) // 2)
    down, across = (slice(max(at - half, 0), at + half + 1) for at in middle)
    return down, across


def outline_of(row: Row, which: str) -> NDArray[np.uint8]:
    """Return one of a slice's two masks, `true` or `found`: uint8 (rows, columns)."""
    mask: NDArray[np.uint8] = decode_mask(
        Mask(label=which, size=tuple(row["size"]), counts=row[which])
    )
    return mask


def _save(figure: Any, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=100, metadata={"Software": None})
    plt.close(figure)
