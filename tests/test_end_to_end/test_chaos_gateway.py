"""Gateway and store die, are full, come back: what was acknowledged is there, and is answered."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from chaos_stack import LIMIT_S, Scan, assert_none_lost
from watching import until

from engine.local.stack import LocalStack, Role
from engine.messages import FrameMessage
from perf.chaos.ledger import proving, sized
from perf.chaos.scanner import Scanner, missing_in_store
from perf.chaos.watcher import Watcher

pytestmark = [pytest.mark.chaos, pytest.mark.kafka, pytest.mark.triton, pytest.mark.timeout(5400)]

KILLS, OBJECTS = sized(4, 40, 200), sized(120, 1000, 5000)
BACK_S = 10.0


def test_the_gateway_is_killed_at_random_points(
    chaos: LocalStack, scan: Scan, watcher: Watcher
) -> None:
    assert chaos.gateway is not None
    rng = random.Random(5)
    with proving(
        f"SIGKILL the gateway at {KILLS} random points of {OBJECTS} stores",
        "every acknowledged object is there with its SHA-256, every frame has its result",
    ) as row:
        scanners = scan(4, count=OBJECTS // 4)
        for number in range(1, KILLS + 1):
            done = OBJECTS * number // (KILLS + 1)
            _when(scanners, done)
            threading.Event().wait(rng.uniform(0, 0.05))  # anywhere in an object's way
            chaos.gateway.kill()
            chaos.gateway.restart()
        for one in scanners:
            one.join(LIMIT_S)
        sent = assert_none_lost(scanners, watcher)
        assert len(sent) == OBJECTS
        lost = missing_in_store(chaos.settings, sent)
        broken = sum(one.broken for one in scanners)
        row.numbers = {"kills": KILLS, "acknowledged": len(sent), "missing": len(lost)}
        row.measured = (
            f"{KILLS} kills, {len(sent)} objects acknowledged, {broken} sent again after a broken"
            f" association, {len(lost)} missing in the store, 0 frames without a result"
        )
        assert lost == []


def _when(scanners: list[Scanner], count: int) -> None:
    """Wait until that many objects are acknowledged."""

    def reached() -> bool:
        for one in scanners:
            one.check()
        return sum(len(one.acknowledged) for one in scanners) >= count

    until(reached, LIMIT_S)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        assert os.environ.get("CI") != "true", done.stderr
        pytest.skip(f"needs a file system of its own, and root for that: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_the_disk_is_full(
    chaos: LocalStack,
    small_disk: Path,
    watcher: Watcher,
    samples: list[FrameMessage],
    own_gateway: Callable[..., Role],
) -> None:
    with proving(
        "store or disk full",
        "0xA700, nothing acknowledged is missing, accepting again <= 10 s after space returns",
    ) as row:
        settings = replace(own_gateway(store=small_disk / "store").settings, host="127.0.0.1")
        scanner = Scanner(settings, samples, 90, rate_hz=20.0)
        scanner.start()
        until(lambda: len(scanner.acknowledged) >= 10, LIMIT_S)
        filler = small_disk / "filler"
        with filler.open("wb") as file:
            try:
                while True:
                    file.write(bytes(1 << 20))
                    file.flush()
            except OSError:
                pass
        until(lambda: scanner.refused[0xA700] >= 5, LIMIT_S)
        before = len(scanner.acknowledged)
        filler.unlink()
        freed_s = time.monotonic()
        until(lambda: len(scanner.acknowledged) >= before + 10, LIMIT_S)
        back_s = scanner.acknowledged[before].at_s - freed_s
        scanner.end()
        sent = assert_none_lost([scanner], watcher)
        lost = missing_in_store(settings, sent)
        row.numbers = {"acknowledged": len(sent), "missing": len(lost), "back_s": back_s}
        row.measured = (
            f"{scanner.refused[0xA700]} refusals, {len(sent)} acknowledged, {len(lost)} missing,"
            f" accepting again {max(0.0, back_s):.1f} s after"
        )
        assert lost == []
        assert back_s <= BACK_S
