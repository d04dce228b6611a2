"""scanstream model train: train the segmentation model from labelled slices."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli.evaluate import names
from engine.cli.export import (
    THRESHOLD,
    THRESHOLD_HELP,
    checkpoint,
    need_training_extra,
    say,
    write,
)
from engine.errors import ConfigError

if TYPE_CHECKING:
    from engine.training.data import Pictures
    from engine.training.net import UNet
    from engine.training.train import Plan, Score

VARIANTS = 2  # dequantised copies of each real slice
HEARTS, FRAMES_PER_HEART = 100, 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with images/ and labels/")
    add("--out", type=Path, required=True, help="folder for last.pt, history.json, model.onnx")
    add("--fold", type=int, help="validate on this fold of five, train on the others: OUT/fold-K")
    add("--validate", help="subjects kept apart to validate on, by comma; - for none")
    add("--exclude", help="subjects never read, by comma; default: the held-out five")
    add("--epochs", type=int, help="an epoch sees each real slice once")
    add("--width", type=int, help="channels of the first level")
    add("--crop", type=int, help="side of the crops in pixels; 256 for whole pictures")
    add("--rate", type=float, help="highest learning rate")
    add("--seed", type=int)
    add("--threads", type=int)
    add("--threshold", type=float, default=THRESHOLD, help=THRESHOLD_HELP)
    add("--start", type=Path, help="begin with the averaged weights of this checkpoint")
    add("--resume", action="store_true", help="go on from last.pt, as if never interrupted")
    add("--compile", action="store_true", help="compile the net first: a quarter faster")


def run(args: argparse.Namespace) -> int:
    """Train and export."""
    need_training_extra()
    from engine.training.train import Source, Trainer

    learn, check = _split(args)
    plan, out = _plan(args), _out(args)
    last = out / "last.pt"
    notes = {
        **{"subjects": " ".join(_seen(args.start, learn, check)), "validation": " ".join(check)},
        **{"epochs": str(plan.epochs), "seed": str(plan.seed)},
    }
    if args.resume:
        _same_run(checkpoint(last), plan, notes)
    elif last.exists():
        raise ConfigError(f"{last} is of another run: go on with it by --resume, or change --out")
    say(f"training on {len(learn)} subjects: {' '.join(learn)}")
    say(f"validating on {len(check)} subjects: {' '.join(check)}")
    real, phantom = _pictures(args.data, learn, plan)
    trainer = Trainer(Source(real, phantom, VARIANTS, plan), plan, out, notes)
    if args.resume:
        trainer.resume(last)
    elif args.start:
        trainer.start_from(checkpoint(args.start))
    trainer.run(_validation(args.data, check, args.threshold) if check else None, say)
    return write(last, out / "model.onnx", args.threshold)


def _out(args: argparse.Namespace) -> Path:
    from engine.training.folds import fold_folder

    out: Path = args.out
    return out if args.fold is None else fold_folder(out, args.fold)


def _plan(args: argparse.Namespace) -> Plan:
    """Return the plan, with what the options change."""
    from engine.training.train import Plan

    options = ("epochs", "width", "rate", "seed", "threads")
    for name in ("epochs", "width", "threads", "crop"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise ConfigError(f"--{name} must be at least 1")
    given = {name: getattr(args, name) for name in options if getattr(args, name) is not None}
    plan = replace(Plan(), compiled=args.compile, **given)
    return plan if args.crop is None else replace(plan, ranges=replace(plan.ranges, crop=args.crop))


def _seen(start: Path | None, learn: list[str], check: list[str]) -> list[str]:
    """Return whom the weights will have seen: those behind `--start` too.

    Raises `ConfigError` when one of them is to validate: then nobody unseen would.
    """
    if start is None:
        return learn
    from engine.training.train import notes_of

    before = notes_of(checkpoint(start)).get("subjects", "").split()
    if both := sorted(set(before) & set(check)):
        raise ConfigError(f"{start} was trained on {' '.join(both)}: validate on others")
    return sorted({*learn, *before})


def _same_run(last: Path, plan: Plan, notes: dict[str, str]) -> None:
    """Raise `ConfigError` when a checkpoint is of another net, another seed or other subjects."""
    from engine.training.train import run_of

    run = run_of(last)
    for name in ("width", "levels", "patch", "seed"):
        if (saved := run["plan"][name]) != getattr(plan, name):
            raise ConfigError(f"{last} was begun with {name} {saved}: resume with the same")
    for name in ("subjects", "validation"):
        if (saved := run["notes"].get(name)) != notes[name]:
            raise ConfigError(f"{last} was begun with the {name} {saved}: resume with the same")


def _split(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Return the subjects to train on and those to validate on."""
    from engine.training import data
    from engine.training.folds import MISLABELLED, fold

    if args.fold and (args.validate or args.exclude):
        raise ConfigError("--fold says who validates: leave out --validate and --exclude")
    held_out = data.HELD_OUT if args.exclude is None else names(args.exclude)
    kept_apart: Sequence[str] = fold(1 if args.fold is None else args.fold)  # 1: data.VALIDATION
    if args.validate is not None:
        kept_apart = names(args.validate)
    everyone = data.subjects_in(args.data)
    for name in (*names(args.validate or ""), *names(args.exclude or "")):
        if name not in everyone:  # mistyped, it would be trained on
            raise ConfigError(f"no images of subject {name} in {args.data}")
    there = [name for name in everyone if name not in held_out]
    learn = [name for name in there if name not in (*kept_apart, *MISLABELLED)]
    if not learn:
        raise ConfigError(f"no subject is left to train on in {args.data}")
    return learn, [name for name in there if name in kept_apart]


def _pictures(folder: Path, subjects: list[str], plan: Plan) -> tuple[Pictures, Pictures]:
    """Return the enhanced pictures of the real slices and of the phantoms."""
    from engine.training import data

    slices = data.load_slices(folder, subjects)
    real = data.real_pictures(slices, variants=VARIANTS, seed=plan.seed)
    phantom = data.phantom_pictures(HEARTS, per_heart=FRAMES_PER_HEART, seed=plan.seed)
    say(f"{len(slices)} real slices, {len(phantom)} phantom frames")
    return real, phantom


def _validation(folder: Path, subjects: list[str], threshold: float) -> Score:
    """Return what measures a net on the subjects kept apart."""
    from engine.training.data import load_slices
    from engine.training.evaluate import evaluate
    from engine.training.train import predictor

    slices = load_slices(folder, subjects)

    def score(net: UNet) -> dict[str, float]:
        found = evaluate(slices, predictor(net, threshold))
        return {"dice": found.mean, "worst": found.worst, "pooled": found.pooled}

    return score
