"""What only Apache Kafka can pass: it keeps its records when it dies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from watching import until

from engine.demo.run import frame_ids
from engine.local.stack import LocalStack, Role
from engine.messages import Result
from engine.phantom import Phantom, dicom_objects
from engine.security import client_options
from engine.send import send_dicom
from streams.topics import table

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.triton,
    pytest.mark.slow,
    pytest.mark.timeout(420),
]
one_node = pytest.mark.parametrize("stack", ["kafka"], indirect=True)
three_nodes = pytest.mark.parametrize("stack", ["kafka3"], indirect=True)

ROUNDS = 5

Send = Callable[[list[Any]], set[str]]
Wait = Callable[[set[str]], list[Result]]
WhenAnswered = Callable[[set[str], int, Callable[[], None]], list[Result]]


def assert_none_missing(results: list[Result], frames: set[str]) -> None:
    """Every frame has its result, a reader sees none twice, and each series in its order."""
    assert {one.frame.id for one in results} == frames
    assert len({one.id for one in results}) == len(results) == len(frames)
    series: dict[str, list[int]] = {}
    for one in results:
        series.setdefault(one.frame.series_instance_uid, []).append(one.frame.instance_number or 0)
    assert {name: numbers for name, numbers in series.items() if numbers != sorted(numbers)} == {}


@one_node
def test_the_broker_killed_while_the_worker_works(
    stack: LocalStack, send: Send, when_answered: WhenAnswered
) -> None:
    frames = send(list(dicom_objects(Phantom(seed=41, slices=6, phases=10))))

    def kill_and_restart() -> None:
        stack.broker.kill()
        stack.broker.restart()

    results = when_answered(frames, 10, kill_and_restart)
    assert_none_missing(results, frames)
    assert stack.workers[0].alive


@one_node
def test_the_broker_killed_while_a_scanner_sends(stack: LocalStack, results_of: Wait) -> None:
    objects = list(dicom_objects(Phantom(seed=42, slices=6, phases=10)))
    sent = threading.Semaphore(0)
    broker_away = threading.Thread(target=_kill_and_restart_after, args=(stack, sent, 10))
    broker_away.start()
    report = send_dicom(
        objects, stack.settings.host, stack.settings.port, progress=lambda: sent.release()
    )
    broker_away.join()
    refused = {one.index for one in report.refused}
    accepted = [one for at, one in enumerate(objects) if at not in refused]
    assert len(accepted) >= 10
    assert_none_missing(results_of(frame_ids(accepted)), frame_ids(accepted))


def _kill_and_restart_after(stack: LocalStack, sent: threading.Semaphore, count: int) -> None:
    for _ in range(count):
        sent.acquire(timeout=60)
    stack.broker.kill()
    stack.broker.restart()


@one_node
def test_the_broker_absent_when_the_worker_starts(
    stack: LocalStack, send: Send, results_of: Wait
) -> None:
    frames = send(list(dicom_objects(Phantom(seed=47, slices=3, phases=4))))
    stack.workers[0].kill()
    stack.broker.kill()
    with ThreadPoolExecutor() as pool:
        started = pool.submit(stack.workers[0].restart)
        stack.broker.restart()
        started.result()
    assert_none_missing(results_of(frames), frames)


@three_nodes
async def test_every_topic_is_on_every_node(stack: LocalStack) -> None:
    admin = AIOKafkaAdminClient(**client_options(stack.settings))
    await admin.start()
    try:
        names = [topic.name for topic in table(stack.settings)]
        for described in await admin.describe_topics(names):
            for partition in described["partitions"]:
                assert sorted(partition["replicas"]) == [1, 2, 3]
        wanted = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        for response in await admin.describe_configs(wanted):
            for *_, entries in response.resources:
                assert {entry[0]: entry[1] for entry in entries}["min.insync.replicas"] == "2"
    finally:
        await admin.close()


@three_nodes
@pytest.mark.parametrize("node", [0, 2])
def test_one_node_of_three_killed(
    stack: LocalStack, send: Send, when_answered: WhenAnswered, node: int
) -> None:
    """The others carry on: every frame is answered before the node is back."""
    frames = send(list(dicom_objects(Phantom(seed=43 + node, slices=6, phases=10))))
    killed = stack.broker.nodes[node]
    try:
        results = when_answered(frames, 10, killed.kill)
        assert not killed.alive
        assert_none_missing(results, frames)
    finally:
        killed.restart()


@three_nodes
def test_rolling_restarts_of_two_workers(stack: LocalStack, results_of: Wait) -> None:
    """Five rounds, while three interleaved series stream in."""
    first = stack.workers[0]
    words = ["streams", "worker", "--lane", "bulk"]
    second = Role("worker-bulk-second", words, stack.folder, stack.settings)
    second.start()
    frames: set[str] = set()
    times_ns: list[int] = []
    stop = threading.Event()
    scanner = threading.Thread(target=_send_until, args=(stop, stack, frames))
    scanner.start()
    try:
        until(lambda: bool(frames), 60.0)
        for _ in range(ROUNDS):
            for worker in (first, second):
                times_ns.append(time.time_ns())
                worker.restart()
    finally:
        stop.set()
        scanner.join()
    results = results_of(frames)
    second.stop()
    assert_none_missing(results, frames)
    assert len({one.frame.series_instance_uid for one in results}) == 3
    assert times_ns[0] > min(one.accepted_ns for one in results)
    assert times_ns[-1] < max(one.accepted_ns for one in results)


def _send_until(stop: threading.Event, stack: LocalStack, frames: set[str]) -> None:
    """Send three series by turns, four frames a second, until told to stop."""
    phantoms = [Phantom(seed=seed, slices=12, phases=30, size=128) for seed in (44, 45, 46)]
    turns = chain.from_iterable(zip(*map(dicom_objects, phantoms), strict=True))
    while not stop.is_set():
        objects = list(islice(turns, 12))
        assert objects, "the workers took longer to restart than the series last"
        report = send_dicom(objects, stack.settings.host, stack.settings.port, rate_hz=4)
        assert report.ok, report.refused
        frames |= frame_ids(objects)
