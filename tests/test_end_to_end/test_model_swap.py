"""Versions change under load: nothing is lost, and each result names what made it.

In full, on a quiet machine: `SWAPS=50 SWAP_MODEL=ours pytest -s -k swapped_under_load`. It loads
the served network 25 times, rolls back 25 times, at 70 % of the rate measured before, on Apache
Kafka, each once the latency is what it was before, and prints the latencies and the longest time
in which no result was published.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from frame_stream import Stream
from model_versions import CONFIG, NAME, add_copy, add_version
from watching import until

from engine.cli import main
from engine.config import Settings
from engine.control import publish, read
from engine.local.kafka import Kafka
from engine.local.stack import LocalStack
from engine.messages import DEAD_LETTER, DeadLetter, Result
from engine.results import Reader
from engine.serving import Serving, Version, record_id

pytestmark = [pytest.mark.kafka, pytest.mark.triton]

SWAPS = int(os.environ.get("SWAPS", "6"))
FULL = "SWAPS" in os.environ
OURS = os.environ.get("SWAP_MODEL") == "ours"
SHARE = 0.7
BURST = 400
QUIET_RATE_HZ = 10.0  # where nothing is measured: enough for several frames a swap
MAX_STALL_S = 1.0
SETTLED_S = 0.15

Command = Callable[..., Any]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("versions") / "cpu"
    _add(folder, 1)
    return folder


def _add(repository: Path, version: int) -> None:
    """Add a version, unless an earlier test has: made elsewhere, then moved there as a whole."""
    if (repository / NAME / str(version)).exists():
        return
    made = _prepared(repository, version)
    (repository / NAME).mkdir(parents=True, exist_ok=True)
    if not (repository / NAME / CONFIG.name).exists():
        shutil.copy(CONFIG, repository / NAME)
    made.rename(repository / NAME / str(version))


def _prepared(repository: Path, version: int) -> Path:
    """Return the folder of a version that is complete and not yet served."""
    aside = repository.parent / "prepared"
    if not (made := aside / NAME / str(version)).exists():
        if OURS:
            add_copy(aside, version)
        else:
            add_version(aside, version, threshold=100 + version)
    return made


@pytest.fixture(scope="module")
def served(
    repository: Path,
    tmp_path_factory: pytest.TempPathFactory,
    start_or_skip: Callable[[LocalStack], None],
) -> Iterator[LocalStack]:
    """A stack of our own, with a repository of our own."""
    folder = tmp_path_factory.mktemp("swaps")
    settings = Settings(store=folder / "store", backoff_max_s=1.0)
    broker = Kafka(folder / "kafka") if FULL else None  # Faust waits 1.5 s at the embedded one
    made = LocalStack(
        folder, settings, repository=repository, series=False, gateway=False, broker=broker
    )
    start_or_skip(made)
    yield made
    made.stop()


@pytest.fixture
async def stream(served: LocalStack) -> AsyncIterator[Stream]:
    async with Stream(served.settings) as stream:
        yield stream


@pytest.fixture
def command(served: LocalStack, repository: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return what runs `scanstream model ACTION` with --json, and gives its object."""

    async def run(action: str, *words: str, code: int = 0) -> Any:
        where = ["--triton", served.settings.triton, "--broker", served.settings.broker]
        where += ["--repositories", str(repository.parent), "--json"]
        capsys.readouterr()
        assert await asyncio.to_thread(main, ["model", action, NAME, *words, *where]) == code
        said = capsys.readouterr()
        return json.loads(said.out) if code == 0 else said.err

    return run


async def swap(number: int, repository: Path, command: Command) -> str:
    """Load a version that was never there, or roll back; return the version that serves."""
    if number % 2 == 0:
        version = 2 + number // 2
        for folder in (repository / NAME).glob("[0-9]*"):
            if int(folder.name) not in (1, version - 1, version):
                shutil.rmtree(folder)  # with the next load, Triton unloads it
        _add(repository, version)
        return str((await command("load", str(version)))["now"]["now"]["version"])
    return str((await command("rollback"))["now"]["now"]["version"])


def assert_in_order(results: list[Result], pinned: list[str], window: int) -> None:
    """Versions follow each other as they were pinned, but for frames that were in flight."""
    at, since = 0, 0
    for index, one in enumerate(results):
        assert one.model is not None
        version = one.model.version
        if version == pinned[at]:
            continue
        if at and version == pinned[at - 1] and index - since <= window:
            continue
        while version != pinned[at]:
            at += 1
            assert at < len(pinned), f"version {version} came again after others"
        since = index


async def _capacity_hz(stream: Stream) -> float:
    await stream.send(BURST // 4)  # the first batches of all sizes
    await stream.until_answered()
    stream.forget()
    await stream.send(BURST)
    await stream.until_answered()
    at_ns = sorted(one.published_ns for one in stream.results)
    stream.forget()
    return (BURST - 1) / ((at_ns[-1] - at_ns[0]) / 1e9)


@pytest.mark.slow
@pytest.mark.timeout(3600 if FULL else 300)
async def test_swapped_under_load(
    served: LocalStack, stream: Stream, repository: Path, command: Command
) -> None:
    for number in range(SWAPS // 2 + 1):
        _prepared(repository, 2 + number)  # making a copy takes processors from the frames
    rate_hz, told = QUIET_RATE_HZ, []
    if FULL:
        rate_hz = SHARE * await _capacity_hz(stream)
        await stream.send(BURST, rate_hz=rate_hz)
        await stream.until_answered()
        told = [_told(stream, f"no swap at {rate_hz:.1f} frames/s")]
        stream.forget()
    pinned = ["1"]
    async with stream.steady(rate_hz):
        await stream.until_version("1")
        stubs = set(_stubs(served))
        for number in range(SWAPS):
            pinned.append(await swap(number, repository, command))
            await stream.until_version(pinned[-1])
            if FULL:
                await stream.until_within(SETTLED_S)  # each swap is measured by itself
            if number == 0:
                assert stubs <= set(_stubs(served))  # what serves was not loaded again
    await stream.until_answered()

    assert len({one.id for one in stream.results}) == len(stream.due_ns) == len(stream.results)
    assert {one.status for one in stream.results} <= {"ok", "degraded"}
    assert await _dead_letters(served.settings) == 0
    answered = {(one.model.version, one.model.digest) for one in stream.results if one.model}
    assert {version for version, _ in answered} == set(pinned)
    assert len({digest for _, digest in answered}) == len(answered) == len(set(pinned))
    for results in stream.by_series().values():
        assert_in_order(results, pinned, window=served.settings.inflight_frames)
    told.append(_told(stream, f"{SWAPS} swaps at {rate_hz:.1f} frames/s, none lost"))
    print("", *told, sep="\n")
    if FULL:
        assert stream.longest_gap_s() <= MAX_STALL_S


def _told(stream: Stream, what: str) -> str:
    latencies_ms = stream.latencies_ms()
    p50, p99 = (latencies_ms[int(share * (len(latencies_ms) - 1))] for share in (0.5, 0.99))
    return (
        f"{what}: {len(stream.results)} frames, longest time without a result"
        f" {stream.longest_gap_s():.3f} s; latency p50 {p50:.0f} ms, p99 {p99:.0f} ms,"
        f" largest {latencies_ms[-1]:.0f} ms"
    )


def _stubs(served: LocalStack) -> list[int]:
    children = Path(f"/proc/{served.triton.pid}/task").glob("*/children")
    return [int(child) for path in children for child in path.read_text().split()]


async def _dead_letters(settings: Settings) -> int:
    async with Reader(settings, DEAD_LETTER, DeadLetter, follow=False) as letters:
        return len([one async for one in letters])


async def test_a_restarted_worker_pins_what_is_recorded(
    served: LocalStack, stream: Stream, repository: Path, command: Command
) -> None:
    """Not the highest version that is loaded, which Triton would choose."""
    _add(repository, 90)
    _add(repository, 91)
    await command("load", "91")
    now = (await command("load", "90"))["now"]
    assert (now["now"]["version"], now["previous"]["version"]) == ("90", "91")
    await asyncio.to_thread(served.workers[0].restart)
    await stream.send(8)
    await stream.until_answered()
    assert {one.model.version for one in stream.results if one.model} == {"90"}


async def test_a_refused_version_leaves_the_old_one_serving(
    served: LocalStack, stream: Stream, repository: Path, command: Command
) -> None:
    before = (await read(served.settings)).get(NAME) or await _first(command)
    _add(repository, 95)
    (repository / NAME / "95" / "model.onnx").write_bytes(b"\x08not a network")
    assert "version 95" in await command("load", "95", code=1)
    shutil.rmtree(repository / NAME / "95")  # Triton loads all that lies there, or nothing new
    assert "no such folder" in await command("load", "96", code=1)
    assert (await read(served.settings))[NAME] == before  # neither is recorded

    await publish(served.settings, _recorded(before, "97"))  # as if it had been unloaded since
    log = served.folder / "worker-bulk-1.log"
    await asyncio.to_thread(until, lambda: "stays at version" in log.read_text())
    await stream.send(8)
    await stream.until_answered()
    assert {one.model.version for one in stream.results if one.model} == {before.now.version}
    assert {one.status for one in stream.results} <= {"ok", "degraded"}


async def _first(command: Command) -> Serving:
    """Return the record that there is after the first load."""
    return msgspec.convert((await command("load", "1"))["now"], Serving)


def _recorded(before: Serving, version: str) -> Serving:
    return Serving(
        id=record_id(NAME, version),
        model=NAME,
        now=Version(version=version, digest="0" * 64),
        previous=before.now,
        at_ns=before.at_ns + 1,
    )


async def test_a_shadow_is_compared_and_never_published(
    stream: Stream, repository: Path, command: Command
) -> None:
    for version in (90, 91):
        _add(repository, version)
    now = (await command("load", "90"))["now"]["now"]["version"]
    begun = await command("shadow", "91", "--share", "1")
    assert begun["now"]["shadow"]["share"] == 1.0
    rows: list[Any] = []
    while not rows:  # a worker takes the record within a poll of its topic
        await stream.send(4)
        await stream.until_answered()
        rows = (await command("shadow"))["comparisons"]
    ended = await command("shadow", "--off")
    assert ended["now"]["shadow"] is None
    assert {one.model.version for one in stream.results if one.model} == {now}
    (row,) = rows
    assert (row["served"]["version"], row["candidate"]["version"]) == (now, "91")
    assert row["served"]["digest"] != row["candidate"]["digest"]
    (label,) = row["labels"].values()
    assert 0.5 < label["lowest_dice"] <= label["mean_dice"] <= 1.0
