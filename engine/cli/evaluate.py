"""scanstream model evaluate: Dice by subject and ejection fractions, through the served path."""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli.export import say
from engine.config import Settings
from engine.errors import ConfigError

if TYPE_CHECKING:
    from engine.training.data import Slice
    from engine.training.ejection import Ejection
    from engine.training.evaluate import Score
    from engine.training.served import Served


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    add = parser.add_argument
    add("--data", type=Path, help="folder with images/ and labels/: Dice")
    add("--subjects", help="by comma; all when left out")
    add(
        "--dicom", type=Path, help="the same subjects' DICOM (link.csv, dicoms/): ejection fraction"
    )
    add("--phantoms", help="ejection fractions (%%) of phantoms to measure, by comma: 25,45,65")
    add("--hearts", type=int, default=1, help="phantoms of each ejection fraction")
    add("--folds", type=Path, help="folder of fold-1/model.onnx ...: each on its own subjects")
    add("--weights", type=Path, help="serve this ONNX file; the repository's own when left out")
    add("--precision", help="what is served, as the setting `precision`")
    add("--model", default="unet-lv")
    add("--version", default="", help="the served version; the newest when left out")
    add("--triton", help="address (gRPC) of a running Triton; an embedded one when left out")
    add("--repository", type=Path, help="of the embedded Triton; the project's when left out")
    add("--out", type=Path, help="write the JSON here too, with every slice's masks")
    add("--json", action="store_true", help="print one JSON object and nothing else")


def run(args: argparse.Namespace) -> int:
    """Measure what is served; its own embedded Triton unless an address is given."""
    _check(args)
    found, score = _by_fold(args) if args.folds else _at_once(args)
    if args.out:
        by_slice = [one.as_json() for one in score.slices] if score else []
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps({**found, "by_slice": by_slice}) + "\n")
    if args.json:
        print(json.dumps(found))
    else:
        _print(found)
    return 0


def names(text: str) -> list[str]:
    """Return the names of a list by comma; `-` names none."""
    return [name.strip() for name in text.split(",") if name.strip() not in ("", "-")]


def _check(args: argparse.Namespace) -> None:
    """Raise `ConfigError` for options that do not go together."""
    if not args.data and (args.folds or args.dicom or not args.phantoms):
        raise ConfigError("--data is missing: a folder with images/ and labels/")
    if args.triton and (args.folds or args.weights or args.precision or args.repository):
        raise ConfigError("--triton serves what it has: leave out --folds, --weights, --precision")
    if args.folds and (args.subjects or args.weights or args.dicom or args.phantoms):
        raise ConfigError("--folds brings its weights and subjects: leave out the other options")
    if args.subjects and not names(args.subjects):
        raise ConfigError("--subjects names nobody: leave it out for all")


def _at_once(args: argparse.Namespace) -> tuple[dict[str, Any], Score | None]:
    """Return what is printed for one model, and the score that it is of."""
    from engine.training import ejection
    from engine.training.data import load_slices

    targets = _percents(args.phantoms or "")
    subjects = names(args.subjects) if args.subjects else None
    slices = load_slices(args.data, subjects) if args.data else []
    pairs = ejection.labelled_frames(args.dicom, slices) if args.dicom else {}
    with _serving(args, args.weights) as served:
        score = _score(slices, served) if slices else None
        fractions = [ejection.of_subject(name, own, served.predict) for name, own in pairs.items()]
        for target, number in product(targets, range(args.hearts)):
            seed = ejection.PHANTOM_SEEDS + number  # the same hearts at every fraction
            fractions.append(ejection.of_phantom(target, seed, served.predict))
    shape = _shape(score, served, fractions)
    if score and (seen := _trained_on(_file(args, served.ref.version), score.subjects)):
        shape["trained_on"] = seen
    return shape, score


def _percents(text: str) -> list[float]:
    try:
        found = [float(one) for one in names(text)]
    except ValueError:
        found = [0.0]
    if not all(0 < one < 100 for one in found):
        raise ConfigError(f"--phantoms takes percents by comma, such as 25,45,65; got {text}")
    return found


def _file(args: argparse.Namespace, version: str) -> Path | None:
    """Return the file that was served; None where a Triton of others served it."""
    from engine.local.stack import MODELS

    own: Path = (args.repository or MODELS) / args.model / version / "model.onnx"
    return None if args.triton else args.weights or own


def _trained_on(weights: Path | None, subjects: Iterable[str]) -> list[str]:
    """Return those of `subjects` that the weights have seen, as far as the file tells."""
    if weights is None or not weights.is_file() or importlib.util.find_spec("onnx") is None:
        return []
    from engine.builds.provenance import trained_on

    return sorted({*subjects} & {*trained_on(weights)})


def _by_fold(args: argparse.Namespace) -> tuple[dict[str, Any], Score]:
    """Return one table over all folds: each fold's model on the subjects that it never saw."""
    from engine.training.data import load_slices
    from engine.training.evaluate import Score
    from engine.training.folds import fold, weights_of

    weights = weights_of(args.folds)
    for number, path in weights.items():
        if seen := _trained_on(path, fold(number)):
            raise ConfigError(f"{path} was trained on {', '.join(seen)} of fold {number}")
    slices = {number: load_slices(args.data, fold(number)) for number in weights}
    scores, folds = [], []
    for number, path in weights.items():
        with _serving(args, path) as served:
            scores.append(_score(slices[number], served))
        one = scores[-1]
        folds.append({"fold": number, "digest": served.ref.digest, "mean_dice": one.mean})
        say(f"fold {number}: mean Dice {one.mean:.4f}, worst {one.worst:.4f}")
    score = Score.together(scores)
    shape = _shape(score, served, [])
    return {**shape, "digest": "", "folds": folds}, score


@contextmanager
def _serving(args: argparse.Namespace, weights: Path | None) -> Iterator[Served]:
    """Connect to the Triton that is asked for; an embedded one serves `weights`, when given."""
    from engine.local.stack import MODELS
    from engine.training.served import Served, embedded, repository_of

    settings = Settings.load(**({"precision": args.precision} if args.precision else {}))
    repository = args.repository or MODELS
    if args.triton:
        with Served(args.triton, args.model, args.version, settings.infer_timeout_s) as served:
            yield served
    elif weights:
        with (
            repository_of(weights, repository / args.model) as made,
            embedded(made, args.model, args.version, settings) as served,
        ):
            yield served
    else:
        with embedded(repository, args.model, args.version, settings) as served:
            yield served


def _score(slices: Sequence[Slice], served: Served) -> Score:
    from engine.enhance import warm
    from engine.training.evaluate import evaluate

    warm()
    return evaluate(slices, served.predict)


def _shape(score: Score | None, served: Served, fractions: Sequence[Ejection]) -> dict[str, Any]:
    ref = served.ref
    known = {"model": ref.name, "version": ref.version, "precision": ref.precision}
    shape = {**score.as_json(**known), **_rightly_labelled(score)} if score else known
    rows = {"ejection_fractions": [one.as_json() for one in fractions]} if fractions else {}
    return {**shape, "digest": ref.digest, **rows}


def _rightly_labelled(score: Score) -> dict[str, Any]:
    """Return the means without the subjects whose labels are known to be wrong, if any is there."""
    from engine.training.folds import MISLABELLED

    wrong = [name for name in MISLABELLED if name in score.subjects]
    if not wrong or len(wrong) == len(score.subjects):
        return {}
    means = score.without(wrong).means()
    return {"without_mislabelled": {"mislabelled": wrong, **means}}


def _print(found: dict[str, Any]) -> None:
    print(f"{found['model']} version {found['version']}, {found['precision']}")
    for name, value in found.get("subjects", {}).items():
        print(f"  {name:<14}{value:.4f}")
    for name in ("mean_dice", "worst_dice", "pooled_dice", "frames_per_second"):
        if name in found:
            print(f"{name:<18}{found[name]:.4f}")
    _print_limits(found)
    for one in found.get("folds", []):
        print(f"fold {one['fold']}            {one['mean_dice']:.4f}")
    if "ejection_fractions" in found:
        print(f"{'ejection fraction, %':<32}{'true':>7}{'found':>7}{'error':>7}  slices")
    for row in found.get("ejection_fractions", []):
        figures = "".join(f"{row[key]:>7.1f}" for key in ("true", "found", "error"))
        verdict = "" if row["within"] else "  MISSED"
        print(f"  {row['name']:<30}{figures}  {row['slices']:>6}{verdict}")


def _print_limits(found: dict[str, Any]) -> None:
    """Say what keeps the figures above from being of unseen and rightly labelled subjects."""
    if seen := found.get("trained_on"):
        print(f"the model was trained on {', '.join(seen)}: no measure of unseen subjects")
    if rest := found.get("without_mislabelled"):
        wrong = ", ".join(rest["mislabelled"])
        print(
            f"without {wrong}, whose labels are misplaced: mean {rest['mean_dice']:.4f}, ", end=""
        )
        print(f"worst {rest['worst_dice']:.4f}, pooled {rest['pooled_dice']:.4f}")
