"""The run itself: start a stack, send, collect until every frame is answered, write the files."""

from __future__ import annotations

import asyncio
import json
import shutil
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from pydicom import dcmread
from pydicom.dataset import Dataset
from rich.progress import Progress

from engine.config import Settings
from engine.demo import overview
from engine.demo.inputs import Inputs
from engine.demo.summary import summarise
from engine.errors import EngineError
from engine.local.stack import LocalBroker, LocalStack
from engine.messages import DEAD_LETTER, RESULTS, DeadLetter, Result
from engine.results import Reader
from engine.send import SendReport, send_dicom

QUIET_LIMIT_S = 120.0


@dataclass(slots=True)
class Collected:
    """What came out of the topics, and how many frames it had to be."""

    results: list[Result]
    dead_letters: list[DeadLetter]


def run_demo(
    settings: Settings,
    inputs: Inputs,
    out: Path,
    progress: Progress,
    broker: LocalBroker | None = None,
) -> dict[str, Any]:
    """Stream `inputs` through a stack of the demo's own; return the summary.

    `broker` is the pip broker unless it is given. Leaves `results.jsonl`, `summary.json`,
    `overview.png` and the servers' logs in `out`.
    Raises `EngineError` when a server cannot start, or frames stay unanswered.
    """
    for name in ("results.jsonl", "summary.json", "overview.png"):
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / "stack", ignore_errors=True)
    sources = [*inputs.objects, *inputs.guests]
    starting = progress.add_task("starting broker, Triton, gateway and worker", total=None)
    with LocalStack(out / "stack", settings, broker=broker) as stack:
        progress.update(starting, total=1, completed=1)
        report = _send(sources, stack.settings, progress)
        refused = {one.index for one in report.refused}
        frames = frame_ids([one for at, one in enumerate(sources) if at not in refused])
        collecting = progress.add_task("reading results", total=len(frames))
        collected = asyncio.run(
            collect(stack.settings, frames, lambda: progress.advance(collecting))
        )
    summary = summarise(
        collected.results,
        collected.dead_letters,
        inputs.expected,
        frames=len(frames),
        objects=_objects(report, inputs),
    )
    _write(out, collected, summary, sources)
    return summary


def _send(sources: Sequence[Path | Dataset], settings: Settings, progress: Progress) -> SendReport:
    sending = progress.add_task("sending over C-STORE", total=len(sources))
    report = send_dicom(
        sources,
        settings.host,
        settings.port,
        called_ae_title=settings.ae_title,
        progress=lambda: progress.advance(sending),
    )
    progress.update(sending, completed=len(sources))
    return report


def frame_ids(sources: Sequence[Path | Dataset]) -> set[str]:
    """Return the ids of all frames of these objects; the same frame twice counts once."""
    ids = set()
    for source in sources:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = source if isinstance(source, Dataset) else _header(source)
            count = int(dataset.get("NumberOfFrames") or 1)
        ids |= {f"{dataset.SOPInstanceUID}/{number}" for number in range(1, count + 1)}
    return ids


async def collect(settings: Settings, frames: set[str], tick: Any) -> Collected:
    """Read results and dead letters until every frame has one or the other."""
    collected = Collected([], [])
    waiting = set(frames)

    async def read(topic: str, kind: Any, into: list[Any]) -> None:
        async with Reader(settings, topic, kind, follow=True) as records:
            async for record in records:
                into.append(record)
                if record.frame is not None and record.frame.id in waiting:
                    waiting.discard(record.frame.id)
                    tick()

    readers = [
        asyncio.create_task(read(RESULTS, Result, collected.results)),
        asyncio.create_task(read(DEAD_LETTER, DeadLetter, collected.dead_letters)),
    ]
    try:
        await _until_answered(waiting, readers)
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
    return collected


async def _until_answered(waiting: set[str], readers: list[asyncio.Task[None]]) -> None:
    """Wait as long as frames are answered; raise when none was for `QUIET_LIMIT_S`."""
    left, since = len(waiting), asyncio.get_running_loop().time()
    while waiting:
        done, _ = await asyncio.wait(readers, timeout=0.1, return_when=asyncio.FIRST_EXCEPTION)
        for reader in done:
            reader.result()
        now = asyncio.get_running_loop().time()
        if len(waiting) < left:
            left, since = len(waiting), now
        elif now - since > QUIET_LIMIT_S:
            raise EngineError(
                f"{left} frames have no answer and nothing came for {QUIET_LIMIT_S:.0f} s:"
                " see the logs in the stack folder of the output"
            )


def _header(path: Path) -> Dataset:
    return dcmread(path, stop_before_pixels=True, force=True)


def _objects(report: SendReport, inputs: Inputs) -> dict[str, Any]:
    sent = len(inputs.objects) + len(inputs.guests)
    reasons = Counter(one.reason for one in report.refused)
    return {
        "sent": sent,
        "accepted": report.accepted,
        "refused": len(report.refused),
        "refusals": dict(reasons),
    }


def _write(
    out: Path,
    collected: Collected,
    summary: dict[str, Any],
    sources: Sequence[Path | Dataset],
) -> None:
    lines = b"".join(msgspec.json.encode(one) + b"\n" for one in collected.results)
    (out / "results.jsonl").write_bytes(lines)
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    wanted = {one.frame.sop_instance_uid for one in collected.results if one.model is not None}
    objects = {}
    for source in sources:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = source if isinstance(source, Dataset) else _header(source)
        if str(dataset.get("SOPInstanceUID")) in wanted:
            objects[str(dataset.SOPInstanceUID)] = source
    overview.draw(collected.results, objects, summary, out / "overview.png")
