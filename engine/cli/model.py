"""scanstream model: train a model, and evaluate the one that is served."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.cli import models, ranges
from engine.config import Settings
from engine.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.training.data import Bytes, Pictures, Slice
    from engine.training.net import UNet
    from engine.training.train import Plan, Score

    Floats = NDArray[np.float32]

HELP = "Train and export the segmentation model, measure the one that is served, or list models."
EXAMPLE = "scanstream model evaluate --data DIR --subjects SC-HF-I-01,SC-HF-I-02 --json"

VARIANTS = 2  # dequantised copies of each real slice
HEARTS, FRAMES_PER_HEART = 100, 6
THRESHOLD = 0.5
THRESHOLD_HELP = "probability from which a pixel is cavity"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `train`, `export`, `evaluate`, `range` and `list`."""
    actions = parser.add_subparsers(dest="action", required=True)
    _add_train(actions.add_parser("train", help="train from labelled slices (needs PyTorch)"))
    _add_export(actions.add_parser("export", help="a checkpoint as ONNX (needs PyTorch)"))
    _add_evaluate(actions.add_parser("evaluate", help="Dice by subject, through the served path"))
    ranges.add_arguments(actions.add_parser("range", help="what counts as out of distribution"))
    models.add_arguments(actions.add_parser("list", help="what there is, and what Triton serves"))


def run(args: argparse.Namespace) -> int:
    """Run the action."""
    actions = {"train": _train, "export": _export, "evaluate": _evaluate, "list": models.run}
    actions["range"] = ranges.run
    return int(actions[args.action](args))


def _add_train(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with images/ and labels/")
    add("--out", type=Path, required=True, help="folder for last.pt and model.onnx")
    add("--epochs", type=int, default=60)
    add("--validate", default=None, help="subjects kept apart to validate on, by comma; - for none")
    add("--exclude", default=None, help="subjects never read, by comma; default: the held-out five")
    add("--start", type=Path, help="begin with the averaged weights of this checkpoint")
    add("--resume", action="store_true", help="go on from OUT/last.pt")
    add("--rate", type=float, default=2e-3, help="highest learning rate")
    add("--seed", type=int, default=1)
    add("--threads", type=int, default=2)
    add("--threshold", type=float, default=THRESHOLD, help=THRESHOLD_HELP)
    add("--compile", action="store_true", help="compile the net first: a quarter faster")


def _add_export(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--checkpoint", type=Path, required=True, help="a last.pt of `train`")
    add("--out", type=Path, required=True, help="the ONNX file to write")
    add("--threshold", type=float, default=THRESHOLD, help=THRESHOLD_HELP)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with images/ and labels/")
    add("--subjects", help="by comma; all when left out")
    add("--model", default="unet-lv")
    add("--version", default="", help="the served version; the newest when left out")
    add("--triton", help="address (gRPC) of a running Triton; an embedded one when left out")
    add("--repository", type=Path, help="of the embedded Triton; the project's when left out")
    add("--json", action="store_true", help="print one JSON object and nothing else")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip() not in ("", "-")]


def _train(args: argparse.Namespace) -> int:
    _need_training_extra()
    from engine.training.train import Plan, Source, Trainer

    learn, check = _split(args)
    plan = replace(
        Plan(),
        **{"epochs": args.epochs, "seed": args.seed, "rate": args.rate},
        **{"threads": args.threads, "compiled": args.compile},
    )
    _say(f"training on {len(learn)} subjects: {' '.join(learn)}")
    _say(f"validating on {len(check)} subjects: {' '.join(check)}")
    real, phantom = _pictures(args.data, learn, plan)
    notes = {"subjects": " ".join(learn), "epochs": str(plan.epochs), "seed": str(plan.seed)}
    trainer = Trainer(Source(real, phantom, VARIANTS, plan), plan, args.out, notes)
    last = args.out / "last.pt"
    if args.resume:
        trainer.resume(_there(last))
    elif args.start:
        trainer.start_from(_there(args.start))
    trainer.run(_validation(args.data, check, args.threshold) if check else None, _say)
    return _write(last, args.out / "model.onnx", args.threshold)


def _export(args: argparse.Namespace) -> int:
    _need_training_extra()
    return _write(_there(args.checkpoint), args.out, args.threshold)


def _write(checkpoint: Path, path: Path, threshold: float) -> int:
    """Export the averaged weights, and say how far the file agrees with the net."""
    from engine.training.data import phantom_pictures
    from engine.training.export import agreement, export
    from engine.training.train import averaged_net, notes_of

    net = averaged_net(checkpoint)
    export(net, path, threshold=threshold, notes=notes_of(checkpoint))
    images = phantom_pictures(8, per_heart=4, seed=0).images
    lowest = agreement(path, net, threshold, images)
    _say(f"wrote {path}: Dice of its masks to the net's >= {lowest:.4f} on {len(images)} phantoms")
    return 0


def _need_training_extra() -> None:
    for package in ("torch", "onnx", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            raise ConfigError(f"training needs {package}: pip install 'scanstream[train]'")


def _there(path: Path) -> Path:
    if not path.is_file():
        raise ConfigError(f"there is no checkpoint {path}")
    return path


def _split(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Return the subjects to train on and those to validate on."""
    from engine.training import data

    held_out = data.HELD_OUT if args.exclude is None else _names(args.exclude)
    kept_apart = data.VALIDATION if args.validate is None else _names(args.validate)
    there = [name for name in data.subjects_in(args.data) if name not in held_out]
    learn = [name for name in there if name not in kept_apart]
    if not learn:
        raise ConfigError(f"no subject is left to train on in {args.data}")
    return learn, [name for name in there if name in kept_apart]


def _pictures(folder: Path, subjects: list[str], plan: Plan) -> tuple[Pictures, Pictures]:
    """Return the enhanced pictures of the real slices and of the phantoms."""
    from engine.training import data

    slices = data.load_slices(folder, subjects)
    real = data.real_pictures(slices, variants=VARIANTS, seed=plan.seed)
    phantom = data.phantom_pictures(HEARTS, per_heart=FRAMES_PER_HEART, seed=plan.seed)
    _say(f"{len(slices)} real slices, {len(phantom)} phantom frames")
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


def _evaluate(args: argparse.Namespace) -> int:
    """Measure the served model; its own embedded Triton unless an address is given."""
    from engine.local.stack import MODELS
    from engine.local.triton import Triton
    from engine.training import data

    slices = data.load_slices(args.data, _names(args.subjects) if args.subjects else None)
    if args.triton:
        found = _served(args.triton, args, slices)
    else:
        with (
            tempfile.TemporaryDirectory(prefix="scanstream-") as folder,
            Triton(Path(folder), args.repository or MODELS, Settings.load()) as triton,
        ):
            found = _served(triton.address, args, slices)
    _print_score(found, as_json=args.json)
    return 0


def _served(address: str, args: argparse.Namespace, slices: list[Slice]) -> dict[str, Any]:
    """Evaluate through the client that the worker uses."""
    from engine.enhance import warm
    from engine.infer import TritonModel
    from engine.training.evaluate import BATCH, Predict, evaluate

    settings = Settings.load()
    warm()
    with asyncio.Runner() as runner:

        def predictor(model: TritonModel) -> Predict:
            def predict(images: Bytes) -> tuple[Bytes, Floats]:
                found = runner.run(model.infer(list(images[:, 0])))
                masks = np.stack([one.mask for one in found])
                return masks, np.array([one.confidence for one in found], np.float32)

            return predict

        async def connect() -> TritonModel:
            model = TritonModel(
                *(address, args.model),
                version=args.version,
                max_batch=BATCH,
                slots=1,
                timeout_s=settings.infer_timeout_s,
            )
            await model.start()
            return model

        model = runner.run(connect())
        try:
            score = evaluate(slices, predictor(model))
            ref = model.ref
        finally:
            runner.run(model.close())
    shape = score.as_json(model=ref.name, version=ref.version, precision=ref.precision)
    return {**shape, "digest": ref.digest, "slices": len(slices)}


def _print_score(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(found))
        return
    print(f"{found['model']} version {found['version']}, {found['precision']}")
    for name, value in found["subjects"].items():
        print(f"  {name:<14}{value:.4f}")
    for name in ("mean_dice", "worst_dice", "pooled_dice", "frames_per_second"):
        print(f"{name:<18}{found[name]:.4f}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
