"""scanstream model shadow: a candidate beside the version that serves, and how they differ."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from engine.cli.versions import Change, Operator, add_common, changed, number, settings_of
from engine.config import Settings
from engine.control import read
from engine.errors import ConfigError
from engine.messages import ModelRef
from engine.results import Reader
from engine.serving import SHADOW_TOPIC, Candidate, LabelDifference, Serving, ShadowComparison

SHARE = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    add_common(parser)
    parser.add_argument("version", metavar="VERSION", nargs="?", help="run it beside what serves")
    parser.add_argument("--share", type=float, default=SHARE, help="of the frames, 0 to 1")
    parser.add_argument("--off", action="store_true", help="end it")


def run(args: argparse.Namespace) -> int:
    """Begin, end, or without both print what the comparisons say."""
    if args.off and args.version:
        raise ConfigError("--off ends the shadow: leave VERSION out")
    if not 0 < args.share <= 1:
        raise ConfigError(f"--share {args.share}: it must be above 0 and at most 1")
    if args.off:
        return changed(args, _end)
    if args.version is None:
        return _print(args)
    version = number(args.version)

    async def begin(operator: Operator) -> Change:
        before = await operator.required()
        if before.now.version == version:
            raise ConfigError(f"version {version} is what serves: nothing to compare it with")
        found, compared = await operator.bring(version)
        shadow = Candidate(version=version, digest=found.digest, share=args.share)
        return Change(before, await operator.write(before, shadow=shadow), compared)

    return changed(args, begin)


async def _end(operator: Operator) -> Change:
    before = await operator.required()
    return Change(before, await operator.write(before, shadow=None), compared=False)


def _print(args: argparse.Namespace) -> int:
    serving, rows = asyncio.run(_read(settings_of(args), args.name))
    shadow = serving.shadow if serving else None
    if args.json:
        beside = {"version": shadow.version, "share": shadow.share} if shadow else None
        print(json.dumps({"model": args.name, "shadow": beside, "comparisons": rows}))
        return 0
    beside_text = f"version {shadow.version}, share {shadow.share:g}" if shadow else "off"
    print(f"{args.name}: shadow {beside_text}")
    for row in rows:
        print(_line(row))
    return 0


async def _read(settings: Settings, name: str) -> tuple[Serving | None, list[dict[str, Any]]]:
    """Return the model's record, and a row for each pair of versions that were compared."""
    pairs: dict[tuple[ModelRef, ModelRef], Pair] = defaultdict(Pair)
    async with Reader(settings, SHADOW_TOPIC, ShadowComparison, follow=False) as comparisons:
        async for one in comparisons:
            if one.served.name == name:
                pairs[one.candidate, one.served].add(one)
    serving = (await read(settings)).get(name)
    return serving, [pair.row(*versions) for versions, pair in pairs.items()]


@dataclass(slots=True)
class _Label:
    """How two versions differ in one label, summed up: the topic may hold millions of frames."""

    frames: int = 0
    dice: float = 0.0
    lowest: float = 1.0
    gained: float = 0.0
    apart: float = 0.0

    def add(self, one: LabelDifference) -> None:
        served, candidate = one.confidence
        self.frames += 1
        self.dice += one.dice
        self.lowest = min(self.lowest, one.dice)
        self.gained += candidate - served
        self.apart = max(self.apart, abs(candidate - served))

    def as_json(self) -> dict[str, float]:
        return {
            "mean_dice": round(self.dice / self.frames, 4),
            "lowest_dice": round(self.lowest, 4),
            "mean_confidence_gained": round(self.gained / self.frames, 4),
            "largest_confidence_apart": round(self.apart, 4),
        }


@dataclass(slots=True)
class Pair:
    """The comparisons of two versions, summed up."""

    frames: int = 0
    dropped: int = 0
    failed: int = 0
    infer_ms: float = 0.0
    labels: dict[str, _Label] = field(default_factory=lambda: defaultdict(_Label))

    def add(self, one: ShadowComparison) -> None:
        """Take in one comparison."""
        self.frames += 1
        self.dropped += one.dropped
        self.failed += one.failed
        self.infer_ms += one.infer_ms
        for difference in one.labels:
            self.labels[difference.label].add(difference)

    def row(self, candidate: ModelRef, served: ModelRef) -> dict[str, Any]:
        """Return what `--json` prints of the two."""
        return {
            "candidate": {"version": candidate.version, "digest": candidate.digest},
            "served": {"version": served.version, "digest": served.digest},
            "frames": self.frames,
            "dropped": self.dropped,
            "failed": self.failed,
            "mean_infer_ms": round(self.infer_ms / self.frames, 2),
            "labels": {name: label.as_json() for name, label in self.labels.items()},
        }


def _line(row: dict[str, Any]) -> str:
    """Return a pair of versions in text, a line for each label."""
    pair = f"version {row['candidate']['version']} beside {row['served']['version']}"
    counted = f"{row['frames']} frames, {row['dropped']} dropped, {row['failed']} failed"
    lines = [f"{pair}: {counted}, {row['mean_infer_ms']} ms each"]
    for label, told in row["labels"].items():
        dice = f"Dice {told['mean_dice']:.4f}, lowest {told['lowest_dice']:.4f}"
        gained = f"confidence {told['mean_confidence_gained']:+.4f}"
        lines.append(f"  {label}: {dice}; {gained}, at most {told['largest_confidence_apart']}")
    return "\n".join(lines)
