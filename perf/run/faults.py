"""What a scenario does to the target while it is loaded, and what it tells of it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from engine.local.stack import MODELS, LocalStack
from perf.load.generator import Outcome
from perf.load.process import Order
from perf.load.target import TargetFailed
from perf.run.scenarios import Fault
from perf.run.stack import Loaded
from perf.run.versions import add_version

SWAP_LIMIT_S = 180.0
TICK_S = 0.2
MODEL = "unet-lv"

Told = list[tuple[float, str]]  # `time.monotonic()`, and what happened then


def under_load(
    loaded: Loaded, order: Order, faults: Sequence[Fault], tick: Callable[[float], None]
) -> tuple[Outcome, Told]:
    """Run the load with its faults; `tick` is called with the seconds gone, five times a second.

    A fault that cannot be done ends the run once its load has ended.
    """
    told: Told = []
    with ThreadPoolExecutor(2) as pool:
        begun_s = time.monotonic()
        load = pool.submit(loaded.loader.run, order)
        acts = pool.submit(_all, loaded, order, faults, load, told)
        while not load.done():
            tick(time.monotonic() - begun_s)
            _wait(load, TICK_S)
        outcome = load.result()
        acts.result()
    return outcome, told


def _all(
    loaded: Loaded, order: Order, faults: Sequence[Fault], load: Future[Outcome], told: Told
) -> None:
    """Do each at its time, one after the other, while the load goes on."""
    begun_s = time.monotonic()
    for fault in sorted(faults, key=lambda one: one.at):
        _wait(load, begun_s + fault.at * order.seconds - time.monotonic())
        if load.done():
            done = ", ".join(f"{what} at {at_s - begun_s:.1f} s" for at_s, what in told)
            raise TargetFailed(
                f"the load had ended before {fault.what!r}: give it more --seconds"
                f" ({done or 'nothing was done'})"
            )
        if loaded.stack is None or loaded.folder is None:
            raise TargetFailed("a fault needs the embedded stack")
        _ACTS[fault.what](loaded.stack, loaded.folder, told)


def _wait(load: Future[Outcome], seconds: float) -> None:
    """Wait, at most until the load has ended."""
    if seconds > 0:
        try:
            load.exception(timeout=seconds)
        except TimeoutError:
            return


def _kill_worker(stack: LocalStack, _: Path, told: Told) -> None:
    worker = stack.workers[0]
    told.append((time.monotonic(), f"{worker.name} killed"))
    worker.kill()
    worker.restart()
    told.append((time.monotonic(), f"{worker.name} is back"))


def _kill_triton(stack: LocalStack, _: Path, told: Told) -> None:
    told.append((time.monotonic(), "triton killed"))
    stack.triton.kill()
    stack.triton.restart()
    told.append((time.monotonic(), "triton is back"))


def _swap_model(stack: LocalStack, folder: Path, told: Told) -> None:
    """Load the next version, as an operator does."""
    repositories = folder / "models"
    newest = add_version(repositories / MODELS.name / MODEL, aside=folder / "next") - 1
    told.append((time.monotonic(), f"version {newest + 1} asked for"))
    words = ["model", "load", MODEL, str(newest + 1), "--repositories", str(repositories)]
    words += ["--triton", stack.settings.triton, "--broker", stack.settings.broker]
    done = subprocess.run(
        [sys.executable, "-m", "engine.cli", *words],
        capture_output=True,
        text=True,
        timeout=SWAP_LIMIT_S,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise TargetFailed(f"version {newest + 1} was not loaded: {said[-1] if said else '-'}")
    told.append((time.monotonic(), f"version {newest + 1} is pinned"))


_ACTS: dict[str, Callable[[LocalStack, Path, Told], None]] = {
    "kill worker": _kill_worker,
    "kill triton": _kill_triton,
    "swap model": _swap_model,
}
