"""What was acknowledged gets its result, whatever dies in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from engine.local.stack import LocalStack, Role
from engine.messages import Result
from engine.phantom import Phantom, dicom_objects

pytestmark = [pytest.mark.kafka, pytest.mark.triton, pytest.mark.slow]

Send = Callable[[list[Any]], set[str]]
Wait = Callable[[set[str]], list[Result]]
WhenAnswered = Callable[[set[str], int, Callable[[], None]], list[Result]]


def assert_each_once(results: list[Result], frames: set[str]) -> None:
    """Every frame of the series has its result, a reader sees none twice, and in their order."""
    assert {one.frame.id for one in results} == frames
    assert len({one.id for one in results}) == len(results) == len(frames)
    numbers = [one.frame.instance_number or 0 for one in results]
    assert numbers == sorted(numbers)


def test_kill_9_of_the_worker_in_mid_stream(
    stack: LocalStack, send: Send, when_answered: WhenAnswered
) -> None:
    frames = send(list(dicom_objects(Phantom(seed=21, slices=6, phases=10))))
    worker = stack.workers[0]
    before = worker.pid

    def kill_and_restart() -> None:
        worker.kill()
        worker.restart()

    results = when_answered(frames, 10, kill_and_restart)
    assert worker.pid != before
    assert_each_once(results, frames)


def test_triton_killed_in_mid_stream(
    stack: LocalStack, send: Send, when_answered: WhenAnswered
) -> None:
    frames = send(list(dicom_objects(Phantom(seed=22, slices=6, phases=10))))

    def kill_and_restart() -> None:
        stack.triton.kill()
        stack.triton.restart()

    results = when_answered(frames, 10, kill_and_restart)
    assert_each_once(results, frames)


def test_triton_absent_when_the_worker_starts(
    stack: LocalStack, send: Send, results_of: Wait
) -> None:
    stack.triton.stop()
    stack.workers[0].restart()
    frames = send(list(dicom_objects(Phantom(seed=23, slices=3, phases=4))))
    stack.triton.restart()
    assert_each_once(results_of(frames), frames)


def test_frames_accepted_while_no_worker_runs(
    stack: LocalStack, send: Send, results_of: Wait
) -> None:
    stack.workers[0].stop()
    frames = send(list(dicom_objects(Phantom(seed=24, slices=3, phases=4))))
    stack.workers[0].restart()
    assert_each_once(results_of(frames), frames)


def test_a_second_worker_joins_and_is_killed(
    stack: LocalStack, send: Send, when_answered: WhenAnswered
) -> None:
    frames = send(list(dicom_objects(Phantom(seed=25, slices=6, phases=10))))
    words = ["streams", "worker", "--lane", "bulk"]
    second = Role("worker-bulk-second", words, stack.folder, stack.settings)

    def join_and_die() -> None:
        second.start()
        second.kill()

    assert_each_once(when_answered(frames, 5, join_and_die), frames)


def test_the_worker_is_told_to_stop_in_mid_stream(
    stack: LocalStack, send: Send, when_answered: WhenAnswered
) -> None:
    frames = send(list(dicom_objects(Phantom(seed=26, slices=6, phases=10))))
    results = when_answered(frames, 10, stack.workers[0].restart)  # SIGTERM, then a new one
    assert_each_once(results, frames)


def test_a_rebalance_while_frames_wait_for_room(
    stack: LocalStack, send: Send, when_answered: WhenAnswered
) -> None:
    """A record that waited across the revocation must not overtake the frames it waited for."""
    worker = stack.workers[0]
    usual = worker.settings
    worker.settings = replace(usual, inflight_frames=4)
    worker.restart()
    frames = send(list(dicom_objects(Phantom(seed=27, slices=6, phases=10))))
    words = ["streams", "worker", "--lane", "bulk"]
    second = Role("worker-bulk-second", words, stack.folder, worker.settings)

    def join_and_die() -> None:
        second.start()
        second.kill()

    try:
        assert_each_once(when_answered(frames, 5, join_and_die), frames)
    finally:
        worker.settings = usual
        worker.restart()
