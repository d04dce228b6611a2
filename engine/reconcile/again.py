"""Publish frames again, as they were: the same ids, so that whatever comes twice counts once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from msgspec.structs import replace

from engine.config import Settings
from engine.errors import BadMessage, BrokerUnavailable
from engine.ingest.publisher import Publisher
from engine.messages import FrameMessage
from engine.reconcile.records import Place, at

CONNECT_LIMIT_S = 10.0
AT_ONCE = 64  # records read before they are published: a bound on memory


class Publishes(Protocol):
    """The part of the publisher that is needed here."""

    def publish(self, messages: Iterable[FrameMessage]) -> int:
        """Publish; return when the broker has confirmed all; raise `BrokerUnavailable`."""
        ...


class Again(NamedTuple):
    """What became of one place: published again, or why not."""

    place: Place
    refused: str = ""


GONE = "the record is no longer on its topic: send the object again, or replay it from the store"


def publish_places(settings: Settings, places: list[Place]) -> list[Again]:
    """Do as `publish_again`, with a publisher for it alone."""
    publisher = Publisher(settings)
    publisher.start()
    try:
        if not publisher.wait_connected(CONNECT_LIMIT_S):
            raise BrokerUnavailable(f"no broker answers at {settings.broker}: set `broker`")
        return publish_again(settings, places, publisher)
    finally:
        publisher.close()


def publish_again(settings: Settings, places: list[Place], publisher: Publishes) -> list[Again]:
    """Publish the frames at these places once more, in their order; raise `BrokerUnavailable`.

    Each has the whole of its lane's budget again, counted from now.
    """
    done: list[Again] = []
    ordered = sorted(set(places))
    for start in range(0, len(ordered), AT_ONCE):
        some = ordered[start : start + AT_ONCE]
        records = asyncio.run(at(settings, some))
        messages = []
        for place in some:
            message = _frame(records.get(place), settings)
            if isinstance(message, str):
                done.append(Again(place, message))
            else:
                messages.append(message)
                done.append(Again(place))
        if messages and publisher.publish(messages) != len(messages):
            raise BrokerUnavailable("the broker did not confirm all: run this once more")
    return done


def _frame(record: Any, settings: Settings) -> FrameMessage | str:
    """Return the frame with a new deadline, or why there is none."""
    if record is None:
        return GONE
    try:
        message = FrameMessage.from_kafka(record.value, record.headers)
    except BadMessage as error:
        return f"it is no frame, and never will be: {error}"
    budget_ms = settings.stat_budget_ms if message.lane == "stat" else settings.bulk_budget_ms
    return replace(message, deadline_ms=time.time_ns() // 1_000_000 + budget_ms)
