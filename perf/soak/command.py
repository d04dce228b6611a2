"""The command `python -m perf soak`."""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from engine.config import Settings
from engine.local.kafka import Kafka
from engine.local.stack import LocalStack
from perf.compare.machine import commit, machine
from perf.load.frames import cine
from perf.load.generator import Outcome
from perf.load.process import Backlog, Loader, Poisson
from perf.load.stacks import Side, warmed
from perf.soak.picture import draw
from perf.soak.usage import Window, grown, shared_mib, usage

WINDOW_S = 30.0
BUDGET_MS = 1000.0
OFFLINE = Backlog(outstanding=128, seconds=20.0, warm_s=10.0, budget_ms=60_000)

DESCRIPTION = """Load broker, Triton and one worker with Poisson arrivals at a share of their
highest rate, and watch memory, file handles, threads and shared memory. Exit code 1 where a frame
has no answer, or where something has grown. The pip broker keeps every record in memory; it is
drawn, and not judged."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `soak` to the commands of `python -m perf`."""
    parser = commands.add_parser(
        "soak",
        help="a long run at a share of the highest rate: does anything grow?",
        description=DESCRIPTION,
        epilog="example: python -m perf soak --minutes 60 --kafka --out out/soak",
    )
    add = parser.add_argument
    add("--minutes", type=float, default=60.0, help="default 60")
    add("--share", type=float, default=0.7, help="of the highest rate; default 0.7")
    add("--kafka", action="store_true", help="Apache Kafka (`make kafka`), not the pip broker")
    add("--out", type=Path, default=Path("out/soak"), help="for soak.json and soak.png")
    add("--json", action="store_true", help="print the report on stdout and nothing else")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Soak; return the exit code."""
    if args.minutes * 60 < 5 * WINDOW_S or not 0 < args.share <= 1:
        print("perf soak: --minutes at least 2.5, --share above 0, at most 1", file=sys.stderr)
        return 2
    about = {"machine": machine(), "commit": commit(), "minutes": args.minutes, "kafka": args.kafka}
    with tempfile.TemporaryDirectory(prefix="perf-soak-") as folder:
        highest_hz, windows = _soak(args, Path(folder))
    lost = sum(one.sent - one.answered for one in windows)
    found = grown(windows, exempt=() if args.kafka else ("broker",))
    report = {
        **about,
        "highest_hz": round(highest_hz, 1),
        "rate_hz": round(highest_hz * args.share, 1),
        "sent": sum(one.sent for one in windows),
        "lost": lost,
        "grown": found,
        "windows": windows,
    }
    text = _write(report, args.out, windows)
    if args.json:
        print(text)
    for line in (*found, *([f"{lost} frames have no answer"] if lost else [])):
        _say(f"NOT FLAT: {line}" if line in found else line)
    return 1 if found or lost else 0


def _soak(args: argparse.Namespace, folder: Path) -> tuple[float, list[Window]]:
    """Return the highest rate, in frames/s, and the windows of the run."""
    broker = Kafka(folder, nodes=1) if args.kafka else None
    settings = Settings(store=folder / "store")
    stack = LocalStack(folder, settings, series=False, gateway=False, broker=broker)
    messages = [one.message for one in cine()]
    windows: list[Window] = []
    with stack, Loader(stack.settings.broker, messages) as loader:
        warmed(Side(loader, stack.servers, stack.settings))
        highest_hz = loader.run(OFFLINE).rate_hz
        _say(
            f"highest rate {highest_hz:.1f} frames/s; {args.minutes:g} min at {args.share:g} of it"
        )
        start_s, count = time.monotonic(), math.ceil(args.minutes * 60 / WINDOW_S)
        for number in range(count):
            order = Poisson(
                rate_hz=highest_hz * args.share,
                seconds=WINDOW_S,
                seed=number,
                budget_ms=BUDGET_MS,
                drain_s=60.0,
            )
            windows.append(_window(stack, loader.run(order), time.monotonic() - start_s))
            _tell(windows[-1], number + 1, count)
    return highest_hz, windows


def _window(stack: LocalStack, outcome: Outcome, at_s: float) -> Window:
    return Window(
        at_s=at_s,
        sent=outcome.sent,
        answered=outcome.answered - outcome.statuses.get("dead-letter", 0),
        p50_ms=outcome.latency_ms.p50,
        p99_ms=outcome.latency_ms.p99,
        shared_mib=shared_mib([os.getpid()]),
        servers={one.name: usage(one.pid) for one in stack.servers if one.pid},
    )


def _tell(window: Window, number: int, count: int) -> None:
    held = ", ".join(f"{name} {of.memory_mib:.0f} MiB" for name, of in window.servers.items())
    _say(f"window {number} of {count}: p99 {window.p99_ms:.0f} ms, {held}")


def _write(report: dict[str, Any], out: Path, windows: list[Window]) -> str:
    out.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(report)).decode()
    (out / "soak.json").write_text(text + "\n")
    draw(windows, out / "soak.png")
    _say(f"wrote {out / 'soak.json'} and {out / 'soak.png'}")
    return text


def _say(text: str) -> None:
    print(f"soak: {text}", file=sys.stderr, flush=True)
