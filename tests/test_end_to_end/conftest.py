"""One embedded stack for the end-to-end tests, and what a scanner and a consumer do with it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chaos_stack import WORKERS, Scan

from engine.config import Settings
from engine.demo.run import frame_ids
from engine.local.kafka import Kafka
from engine.local.stack import LocalStack, Role
from engine.messages import DEAD_LETTER, RESULTS, DeadLetter, FrameMessage, Result
from engine.results import Reader
from engine.send import send_dicom
from perf.chaos.scanner import Scanner
from perf.chaos.watcher import Watcher
from perf.load.frames import cine

ANSWER_LIMIT_S = 120.0
About = Callable[[DeadLetter], bool]

# Three nodes are about what dies and what is replicated; what a record holds is the same on one.
ON_THREE_NODES = ("test_faults.py", "test_kafka.py")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, on three nodes, the tests that neither stop nor count any of them."""
    three = [item for item in items if _is_on_three(item)]
    left_out = {item for item in three if item.path.name not in ON_THREE_NODES}
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=list(left_out))


def _is_on_three(item: pytest.Item) -> bool:
    case = getattr(item, "callspec", None)
    return case is not None and case.params.get("stack") == "kafka3"


@pytest.fixture(scope="session", params=["tansu", "kafka", "kafka3"])
def stack(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    start_or_skip: Callable[[LocalStack], None],
) -> Iterator[LocalStack]:
    """Broker, Triton, gateway and one worker; a test that stops one of them starts it again.

    What uses it is a contract: the pip broker passes it, and Apache Kafka; with three nodes, too,
    where nodes matter.
    """
    folder = tmp_path_factory.mktemp("stack")
    nodes = {"tansu": 0, "kafka": 1, "kafka3": 3}[request.param]
    made = LocalStack(
        folder,
        Settings(
            store=folder / "store", backoff_max_s=1.0, series_quiet_s=3.0, replication=max(1, nodes)
        ),
        broker=Kafka(folder, nodes=nodes) if nodes else None,
    )
    start_or_skip(made)
    yield made
    made.stop()


@pytest.fixture
def send(stack: LocalStack) -> Callable[[list[Any]], set[str]]:
    """Return what sends objects over C-STORE, all of them accepted, and gives their frames' ids."""

    def send_all(objects: list[Any]) -> set[str]:
        report = send_dicom(objects, stack.settings.host, stack.settings.port)
        assert report.ok, report.refused
        return frame_ids(objects)

    return send_all


@pytest.fixture
def results_of(stack: LocalStack) -> Callable[[set[str]], list[Result]]:
    """Return what waits until every given frame has its result, each seen once."""

    def wait(frames: set[str]) -> list[Result]:
        return asyncio.run(_read(stack.settings, frames, None))

    return wait


@pytest.fixture
def when_answered(stack: LocalStack) -> Callable[..., list[Result]]:
    """As `results_of`, but calls `act` in a thread once `count` of the frames are answered."""

    def wait(frames: set[str], count: int, act: Callable[[], None]) -> list[Result]:
        async def at_count(seen: int) -> None:
            if seen == count:
                await asyncio.to_thread(act)

        return asyncio.run(_read(stack.settings, frames, at_count))

    return wait


@pytest.fixture
def dead_letters(stack: LocalStack) -> Callable[[int, About], list[DeadLetter]]:
    """Return what waits for that many dead letters of those asked for, each seen once."""

    async def read(count: int, about: About) -> list[DeadLetter]:
        found = []
        async with (
            asyncio.timeout(ANSWER_LIMIT_S),
            Reader(stack.settings, DEAD_LETTER, DeadLetter, follow=True) as letters,
        ):
            async for letter in letters:
                found += [letter] if about(letter) else []
                if len(found) == count:
                    break
        return found

    return lambda count, about: asyncio.run(read(count, about))


@pytest.fixture(scope="module")
def chaos(
    tmp_path_factory: pytest.TempPathFactory, start_or_skip: Callable[[LocalStack], None]
) -> Iterator[LocalStack]:
    """A stack on Apache Kafka, with workers enough to take over from each other."""
    folder = tmp_path_factory.mktemp("chaos")
    settings = Settings(store=folder / "store", backoff_max_s=1.0)
    made = LocalStack(folder, settings, workers=WORKERS, series=False, broker=Kafka(folder))
    start_or_skip(made)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def samples() -> list[FrameMessage]:
    """The frames that scanners of the chaos suite send."""
    return [one.message for one in cine(wire_codec="none")]


@pytest.fixture
def watcher(chaos: LocalStack) -> Iterator[Watcher]:
    """What reads everything that comes out of the stack."""
    with Watcher(chaos.settings.broker) as made:
        yield made


@pytest.fixture
def scan(chaos: LocalStack, samples: list[FrameMessage]) -> Iterator[Scan]:
    """Return what starts scanners, each with a series of its own."""
    started: list[Scanner] = []

    def start(number: int, **how: Any) -> list[Scanner]:
        names = range(len(started), len(started) + number)
        made = [Scanner(chaos.settings, samples, name, **how) for name in names]
        started.extend(made)
        for one in made:
            one.start()
        return made

    yield start
    for one in started:
        one.end()


@pytest.fixture
def own_gateway(chaos: LocalStack) -> Iterator[Callable[..., Role]]:
    """Return what starts a gateway of a test's own, with other settings, on the stack's broker."""
    started: list[Role] = []

    def start(**changes: Any) -> Role:
        role = Role(
            f"gateway-{len(started) + 2}",
            ["engine.cli", "gateway"],
            chaos.folder,
            chaos.settings,
            ports=[None],
        )
        role.reserve()
        role.settings = replace(chaos.settings, port=role.ports[0], **changes)
        role.start()
        started.append(role)
        return role

    yield start
    for role in started:
        role.stop()


async def _read(
    settings: Settings, frames: set[str], on_each: Callable[[int], Awaitable[None]] | None
) -> list[Result]:
    found: list[Result] = []
    async with (
        asyncio.timeout(ANSWER_LIMIT_S),
        Reader(settings, RESULTS, Result, follow=True) as results,
    ):
        async for result in results:
            if result.frame.id in frames:
                found.append(result)
                if on_each is not None:
                    await on_each(len(found))
            if len(found) == len(frames):
                break
    return found


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The folder of the checkout."""
    return Path(__file__).resolve().parents[2]
