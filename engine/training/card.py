"""The generated parts of the model card: tables, and the pictures beside them.

The card is a page that people write. What stands between `<!-- NAME -->` and `<!-- /NAME -->` is
made from files: runs (`history.json`), evaluations (`evaluate --out`), builds (`build.json`), the
widths' trade-off. A part whose files were not given stays as it is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import ConfigError
from engine.training import pictures
from engine.training.data import HELD_OUT, VALIDATION
from engine.training.folds import DIAGNOSES, FOLDS, by_diagnosis, diagnosis_of

Json = Mapping[str, Any]

WORST_SHOWN = 10
MEANS = ("mean_dice", "worst_dice", "pooled_dice")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the card is made from; each may be empty.

    `runs`: by name, a run's `history.json`; the first is that of `weights`, the served file.
    `grey`: the slices' pictures, uint8, by name. `widths`: `{"command",
    "machine", "points": [{"name", "parameters", "mean_dice", "frames_per_second", "served"}]}`.
    """

    runs: Mapping[str, Json] = field(default_factory=dict)
    evaluations: Sequence[Json] = ()
    builds: Sequence[Json] = ()
    widths: Json | None = None
    weights: Path | None = None
    grey: pictures.Grey | None = None

    def slices(self) -> dict[str, list[Json]]:
        """Return the scored slices by use; each slice once, as the first evaluation has it."""
        found: dict[str, list[Json]] = {}
        seen: set[str] = set()
        for one in self.evaluations:
            fresh = [row for row in one.get("by_slice", ()) if row["name"] not in seen]
            seen |= {row["name"] for row in fresh}
            if fresh:
                found.setdefault(use_of(one), []).extend(fresh)
        return found


def read(path: Path) -> Any:
    """Return the content of a JSON file; raise `ConfigError` where it is none."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as JSON: {type(error).__name__}") from None


def write(page: Path, folder: Path, inputs: Inputs, full: Path | None = None) -> list[str]:
    """Put the parts into `page` and the pictures into `folder`; return the names of the parts.

    `full` receives the examples over the grey pictures, which are not ours to publish. Raises
    `ConfigError` when the page lacks a part's marks.
    """
    link = folder.relative_to(page.parent).as_posix()
    text, parts = page.read_text(), _parts(inputs, folder, link)
    for name, lines in parts.items():
        text = put(text, name, lines)
    page.write_text(text)
    rows = [row for some in inputs.slices().values() for row in some]
    if full and rows and inputs.grey:
        pictures.examples(rows, full / "examples.png", inputs.grey)
    return list(parts)


def put(text: str, name: str, lines: Iterable[str]) -> str:
    """Return `text` with `lines` between the marks of one part."""
    marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not marks.search(text):
        raise ConfigError(f"the card has no <!-- {name} --> and <!-- /{name} -->")
    body = "\n".join(lines)
    return marks.sub(lambda found: f"{found[1]}{body}\n{found[2]}", text, count=1)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(map(str, line)) + " |" for line in lines]


def use_of(evaluation: Json) -> str:
    """Return who was evaluated: `five folds`, `held out`, `validation`, or how many, and seen."""
    there = set(evaluation.get("subjects", ()))
    if "folds" in evaluation:
        return "five folds"
    if seen := evaluation.get("trained_on"):
        return f"{len(there)} subjects, {len(seen)} trained on"
    for title, some in (("held out", HELD_OUT), ("validation", VALIDATION)):
        if there and there <= set(some):
            return title
    return f"{len(there)} subjects"


def _parts(inputs: Inputs, folder: Path, link: str) -> dict[str, list[str]]:
    """Draw the pictures and return the lines of every part that has its files."""
    parts: dict[str, list[str]] = {}
    if inputs.weights:
        parts["model"] = _model(inputs.weights, next(iter(inputs.runs.values()), None))
    if inputs.runs:
        parts["curves"] = _curves(inputs.runs, folder, link)
    scored = [one for one in inputs.evaluations if one.get("subjects")]
    if scored:
        parts["split"] = _split(scored)
        parts["dice"] = _dice(scored)
    rows = inputs.slices()
    if rows:
        parts["dice"] += ["", *_subject_pictures(rows, folder, link)]
        parts["examples"] = _examples(rows, folder, link)
    hearts = [one for one in inputs.evaluations if one.get("ejection_fractions")]
    if hearts:
        parts["ejection"] = _ejection(hearts, folder, link)
    if inputs.widths:
        parts["widths"] = _widths(inputs.widths, folder, link)
    if inputs.builds:
        parts["builds"] = _builds(inputs.builds)
    return parts


def _model(weights: Path, run: Json | None) -> list[str]:
    """Return what the file is: the net by its run's plan, its size and digest."""
    content = weights.read_bytes()
    rows = [
        ("file", f"`{weights.parent.parent.name}/{weights.parent.name}/{weights.name}`"),
        ("size", f"{len(content) / 1e6:.1f} MB: weights stored as float16, computed in float32"),
        ("SHA-256", f"`{hashlib.sha256(content).hexdigest()}`"),
    ]
    if run is not None:
        plan, cut = run["plan"], run["plan"]["patch"]
        stem = f"squares of {cut} x {cut} pixels as channels, " if cut > 1 else ""
        shape = f"{plan['levels']} levels, width {plan['width']}, {run['parameters']:,} parameters"
        mask = f"1 inside the cavity (probability >= {run['threshold']:g})"
        rows[:0] = [("network", f"U-Net (arXiv 1505.04597), {stem}{shape}"), ("mask", mask)]
    return table(("", ""), rows)


def _curves(runs: Mapping[str, Json], folder: Path, link: str) -> list[str]:
    pictures.curves({name: run["history"] for name, run in runs.items()}, folder / "curves.png")
    rows = []
    for name, run in runs.items():
        plan, last = run["plan"], run["history"][-1]
        figures = [_figure(last.get(key)) for key in ("loss", "dice", "worst", "pooled")]
        learnt = len(run["notes"].get("subjects", "").split())
        rows.append([name, learnt, plan["seed"], plan["width"], run["epoch"], *figures])
    head = ("run", "subjects", "seed", "width", "epochs", "loss", "mean Dice", "worst", "pooled")
    return [
        *(f"![Training curves]({link}/curves.png)", ""),
        "After the last epoch; Dice on the validation subjects of the run.",
        "",
        *table(head, rows),
    ]


def _split(evaluations: Sequence[Json]) -> list[str]:
    """Return who is in which fold, with the slices where an evaluation tells them."""
    count: dict[str, int] = {}
    for one in evaluations:
        for name in {row["subject"] for row in one.get("by_slice", ())}:
            count[name] = sum(row["subject"] == name for row in one["by_slice"])
    uses = {
        **{f"fold {number}": some for number, some in enumerate(FOLDS, 1)},
        "held out": HELD_OUT,
    }
    rows = []
    for use, some in uses.items():
        names = ", ".join(name.removeprefix("SC-") for name in some)
        kinds = ", ".join(f"{len(ones)} {kind}" for kind, ones in by_diagnosis(some).items())
        known = [count[name] for name in some if name in count]
        rows.append([use, names, kinds, sum(known) if len(known) == len(some) else ""])
    told = ", ".join(f"{key}: {words}" for key, words in DIAGNOSES.items())
    head = ("use", "subjects (SC-)", "diagnoses", "labelled slices")
    return [*table(head, rows), "", f"Diagnosis, from the name: {told}."]


def _dice(evaluations: Sequence[Json]) -> list[str]:
    """Return a row a subject and a column an evaluation, the means below."""
    head = ["subject", "diagnosis", *(f"{use_of(one)}, {one['precision']}" for one in evaluations)]
    everyone = {name for one in evaluations for name in one["subjects"]}
    rows: list[list[str]] = []
    for kind, names in by_diagnosis(everyone).items():
        for name in names:
            figures = [_figure(one["subjects"].get(name)) for one in evaluations]
            rows.append([name, kind, *figures])
    for key in MEANS:
        rows.append(
            [f"**{key.partition('_')[0]}**", "", *(f"**{one[key]:.4f}**" for one in evaluations)]
        )
    return [*table(head, rows), *_mislabelled(evaluations)]


def _mislabelled(evaluations: Sequence[Json]) -> list[str]:
    """Return what the means are without the subjects whose labels are wrong."""
    lines = []
    for one in evaluations:
        if rest := one.get("without_mislabelled"):
            mean, worst, pooled = (f"{rest[key]:.4f}" for key in MEANS)
            lines += [
                "",
                f"Without {', '.join(rest['mislabelled'])}, whose labels lie beside the cavity: "
                f"mean {mean}, worst {worst}, pooled {pooled} ({use_of(one)}, {one['precision']}).",
            ]
    return lines


def _subject_pictures(rows: Mapping[str, Sequence[Json]], folder: Path, link: str) -> list[str]:
    pictures.subjects(rows, folder / "subjects.png")
    everything = [row for some in rows.values() for row in some]
    pictures.areas(everything, folder / "areas.png")
    return [
        f"![Dice of every slice, by subject]({link}/subjects.png)",
        "",
        f"![Areas found and true]({link}/areas.png)",
    ]


def _examples(rows: Mapping[str, Sequence[Json]], folder: Path, link: str) -> list[str]:
    everything = [row for some in rows.values() for row in some]
    pictures.examples(everything, folder / "examples.png")
    worst = sorted(everything, key=lambda row: float(row["dice"]))[:WORST_SHOWN]
    head = ("worst slices", "diagnosis", "label, pixels", "found, pixels", "Dice")
    lines = table(
        head,
        (
            (
                *(row["name"].split(".")[0], diagnosis_of(row["subject"])),
                *(row["true_px"], row["found_px"], f"{row['dice']:.3f}"),
            )
            for row in worst
        ),
    )
    return [f"![Outlines, worst to best]({link}/examples.png)", "", *lines]


def _ejection(evaluations: Sequence[Json], folder: Path, link: str) -> list[str]:
    pictures.fractions(evaluations[0]["ejection_fractions"], folder / "ejection.png")
    rows = [
        (
            *(row["name"], one["precision"], f"{row['true']:.1f}", f"{row['found']:.1f}"),
            *(f"{row['error']:+.1f}", row["slices"], "yes" if row["within"] else "**no**"),
        )
        for one in evaluations
        for row in one["ejection_fractions"]
    ]
    head = ("heart", "precision", "true, %", "found, %", "error", "slices", "within 5 points")
    return [*table(head, rows), "", f"![Ejection fractions]({link}/ejection.png)"]


def _widths(widths: Json, folder: Path, link: str) -> list[str]:
    pictures.widths(widths["points"], folder / "widths.png")
    rows = [
        (
            *(f"**{one['name']}**" if one.get("served") else one["name"], f"{one['parameters']:,}"),
            *(f"{one['mean_dice']:.4f}", f"{one['frames_per_second']:.0f}"),
        )
        for one in widths["points"]
    ]
    return [
        *(f"![Dice against frames a second]({link}/widths.png)", ""),
        *table(("net", "parameters", "mean Dice, validation", "frames/s"), rows),
        *("", f"{widths['machine']}. {widths['command']}"),
    ]


def _builds(builds: Sequence[Json]) -> list[str]:
    rows = []
    for one in builds:
        found, checked = one["dice"], one["check"]
        subjects = checked["subjects"]
        who = subjects if isinstance(subjects, str) else f"{len(subjects)} subjects"
        rows.append(
            (
                *(one["target"], one["precision"], f"`{one['sha256'][:12]}`"),
                *(f"{who}, {checked['slices']} slices", f"{found['lost']:+.4f}"),
                *(f"{found['most_lost']:+.4f}", f"{found['alike']:.4f}"),
            )
        )
    head = ("target", "precision", "SHA-256", "checked on", "Dice lost", "most, of one subject")
    return table((*head, "its masks' Dice to fp32's"), rows)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
