"""What a stream processor needs for its next record, as readiness asks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import faust

from engine.errors import BrokerUnavailable, ModelUnavailable
from engine.observe.health import Check, broker_answers


class Model(Protocol):
    """A served model, as `engine.infer.TritonModel` is one."""

    async def start(self) -> None:
        """Connect, unless it is connected; raise `ModelUnavailable`."""


def broker_check(app: faust.App) -> Check:
    """Return the check that a broker answers this app's own producer."""

    async def check() -> None:
        producer = getattr(app.producer, "_producer", None)  # Faust shows it nowhere
        await broker_answers(getattr(producer, "client", None))

    return check


def member_check(has_its_share: Callable[[], bool], missing: str) -> Check:
    """Return the check that the consumer group has given this process its share."""

    async def check() -> None:
        if not has_its_share():
            raise BrokerUnavailable(missing)

    return check


def triton_check(models: Callable[[], Mapping[str, Model]]) -> Check:
    """Return the check that every model answers; it connects, so that an idle worker becomes ready.

    Without it a worker that started before Triton would stay unready until its first frame, and
    a rollout would wait for that.
    """

    async def check() -> None:
        served = list(models().values())  # more may come while this waits
        if not served:
            raise ModelUnavailable("it is not known yet which versions serve")
        for model in served:
            await model.start()

    return check
