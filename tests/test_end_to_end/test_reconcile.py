"""What has no end is found and driven again; what could not be done is listed, and tried again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from watching import until

from engine.cli import main
from engine.keys import object_key
from engine.local.stack import LocalStack
from engine.messages import FRAMES, Result
from engine.phantom import Phantom, dicom_objects

pytestmark = [pytest.mark.kafka, pytest.mark.triton]

Send = Callable[[list[Any]], set[str]]
Wait = Callable[[set[str]], list[Result]]
Command = Callable[..., tuple[int, Any]]


@pytest.fixture
def command(stack: LocalStack, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return what runs a command with --json on the stack, and gives its code and object."""

    def run(*words: str) -> tuple[int, Any]:
        capsys.readouterr()
        code = main([*words, "--broker", stack.settings.broker, "--json"])
        said = capsys.readouterr()
        assert said.out, said.err
        return code, json.loads(said.out)

    return run


GROUP = "passed-over"  # one of our own: the workers' takes no commit from anybody else


async def commit_to_the_end(stack: LocalStack) -> None:
    """Commit all that is there for that group, as a worker that loses frames would."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=stack.settings.broker, group_id=f"{GROUP}-bulk", enable_auto_commit=False
    )
    await consumer.start()
    try:
        parts = [TopicPartition(FRAMES, number) for number in range(stack.settings.partitions)]
        consumer.assign(parts)
        await consumer.commit(await consumer.end_offsets(parts))
    finally:
        await consumer.stop()


def test_frames_that_were_passed_over_are_driven_again(
    stack: LocalStack,
    send: Send,
    results_of: Wait,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCANSTREAM_GROUP", GROUP)
    answered = send(list(dicom_objects(Phantom(seed=51, slices=3, phases=2))))
    results_of(answered)
    stack.workers[0].stop()
    lost = send(list(dicom_objects(Phantom(seed=52, slices=3, phases=2))))
    code, found = command("reconcile")
    assert (code, found["missing"], found["waiting"]) == (0, 0, len(lost))
    asyncio.run(commit_to_the_end(stack))
    code, found = command("reconcile")
    assert (code, found["missing"], found["waiting"]) == (1, len(lost), 0)
    assert len(found["places"]) == len(lost)
    code, found = command("reconcile", "--drive")
    assert (code, found["missing"], found["driven"]) == (0, len(lost), len(lost))
    stack.workers[0].restart()
    assert {one.frame.id for one in results_of(lost)} == lost
    code, found = command("reconcile")
    assert (code, found["missing"], found["waiting"]) == (0, 0, 0)
    assert found["accepted"] == found["answered"] + found["dead_letters"]


def test_a_dead_letter_is_tried_again_once_its_cause_is_gone(
    stack: LocalStack, send: Send, results_of: Wait, command: Command
) -> None:
    """A claim whose object is not in the store: restored, then retried."""
    (large,) = list(dicom_objects(Phantom(seed=53, slices=3, phases=2, size=1024)))[:1]
    key = object_key(f"{large.SOPInstanceUID}/1")
    stored, aside = stack.settings.store / key[:2] / key, stack.folder / "aside"
    stack.workers[0].stop()
    frames = send([large])
    stored.rename(aside)
    stack.workers[0].restart()
    (frame,) = frames

    def of_frame(*words: str) -> list[Any]:
        _, found = command("dead-letters", "list", "--reason", "claim-unreadable", *words)
        return [one for one in found["dead_letters"] if one["frame"]["id"] == frame]

    until(lambda: bool(of_frame()), 60.0)
    (letter,) = of_frame()
    assert letter["tries"] == stack.settings.tries
    assert letter["claim"]["key"] == key
    code, shown = command("dead-letters", "show", letter["id"][:10])
    assert (code, shown["dead_letters"]) == (0, [letter])

    aside.rename(stored)
    code, done = command("dead-letters", "retry", letter["id"], "--dry-run")
    assert (code, done["dead_letters"][0]["retried"]) == (0, False)
    code, done = command("dead-letters", "retry", letter["id"])
    assert (code, done["dead_letters"][0]["retried"]) == (0, True)
    (result,) = results_of(frames)
    assert result.status in ("ok", "degraded")
    assert of_frame() == []
    assert [one["answered"] for one in of_frame("--all")] == [True]


def test_what_was_never_a_frame_cannot_be_tried_again(stack: LocalStack, command: Command) -> None:
    async def produce() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=stack.settings.broker, acks="all")
        await producer.start()
        await producer.send_and_wait(FRAMES, value=b"no frame", key=b"2.25.9", partition=0)
        await producer.stop()

    def bad() -> list[Any]:
        found: list[Any] = command("dead-letters", "list", "--reason", "bad-message")[1][
            "dead_letters"
        ]
        return found

    before = len(bad())
    asyncio.run(produce())
    until(lambda: len(bad()) > before, 60.0)
    last = bad()[-1]
    code, done = command("dead-letters", "retry", last["id"])
    assert code == 1
    assert "no frame, and never will be" in done["dead_letters"][0]["refused"]


def test_an_unknown_id_is_told(stack: LocalStack, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dead-letters", "show", "feedbeef", "--broker", stack.settings.broker]) == 1
    assert "no dead letter feedbeef" in capsys.readouterr().err
    assert main(["dead-letters", "retry", "--broker", stack.settings.broker]) == 2
