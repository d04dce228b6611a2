"""A side of a comparison as a whole stack, with the generator that loads it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from engine.config import Settings
from engine.errors import LocalStackError
from engine.local.broker import Broker
from engine.local.kafka import Kafka, fetch_jars, find_java
from engine.local.processes import Server
from engine.local.stack import LocalBroker, LocalStack, Role, create_topics
from engine.messages import FrameMessage
from perf.load.generator import Outcome
from perf.load.orders import Backlog, Constant, Poisson
from perf.load.process import Loader
from perf.load.processor import processor_seconds
from perf.load.target import TargetFailed

WARM_LIMIT_S = 120.0

MakeBroker = Callable[[Path], LocalBroker]


@dataclass(slots=True)
class Side:
    """A stack that is up, and its generator. `servers` are its processes by name."""

    loader: Loader
    servers: Sequence[Server]
    settings: Settings

    def run(self, order: Poisson | Constant | Backlog) -> Outcome:
        """Load it; raise `TargetFailed` where a frame has no answer, or became a dead letter."""
        outcome = self.loader.run(order)
        if outcome.lost:
            raise TargetFailed(f"{outcome.lost} of {outcome.sent} frames have no answer")
        if dead := outcome.statuses.get("dead-letter", 0):
            raise TargetFailed(f"{dead} frames became dead letters")
        return outcome

    def spent(self) -> dict[str, float]:
        """Return the processor seconds of each of its processes so far."""
        return {one.name: processor_seconds([one.pid]) for one in self.servers if one.pid}


@contextmanager
def ours(
    messages: Sequence[FrameMessage], settings: Settings, *, make_broker: MakeBroker = Broker
) -> Iterator[Side]:
    """Run broker, Triton and one worker; the gateway is not part of a load from the broker."""
    with tempfile.TemporaryDirectory(prefix="perf-ours-") as name, ExitStack() as held:
        folder = Path(name)
        stack = LocalStack(
            folder,
            replace(settings, store=folder / "store"),
            series=False,
            gateway=False,
            broker=make_broker(folder),
        )
        held.enter_context(stack)
        loader = held.enter_context(Loader(stack.settings.broker, messages))
        yield warmed(Side(loader, stack.servers, stack.settings))


@contextmanager
def theirs(
    messages: Sequence[FrameMessage],
    settings: Settings,
    words: list[str],
    *,
    make_broker: MakeBroker = Broker,
) -> Iterator[Side]:
    """Run a broker and `python -m WORDS`, which takes frames and gives results as a worker does.

    It finds the broker in SCANSTREAM_BROKER, and makes the file that SCANSTREAM_READY_FILE names
    once it is ready.
    """
    with tempfile.TemporaryDirectory(prefix="perf-theirs-") as name, ExitStack() as held:
        folder = Path(name)
        broker = make_broker(folder)
        held.callback(broker.stop)
        broker.start()
        given = replace(settings, broker=broker.address)
        create_topics(given)
        role = held.enter_context(Role("rival", words, folder, given))
        loader = held.enter_context(Loader(broker.address, messages))
        yield warmed(Side(loader, [*broker.nodes, role], given))


def chosen_broker(usual: str) -> MakeBroker:
    """Return what makes the broker that PERF_BROKER names, else the `usual` one: pip or kafka.

    Where Apache Kafka's Java and Maven are missing it is the pip broker all the same, unless
    PERF_BROKER asks for Kafka: then `LocalStackError` says what to install. The pip broker (tansu
    0.6) looks for new records only now and then while a fetch waits: with Faust's fixed
    `fetch_max_wait_ms` of 1500 that is most of a frame's latency at low rates.
    """
    asked = os.environ.get("PERF_BROKER", "")
    if (asked or usual) == "pip":
        return Broker
    try:
        find_java()
        fetch_jars()
    except LocalStackError:
        if asked:
            raise
        return Broker
    return Kafka


def warmed(side: Side) -> Side:
    """Run frames through it until it answers: nothing is compiled or connected under load."""
    order = Backlog(outstanding=16, seconds=2.0, warm_s=1.0, budget_ms=60_000, drain_s=WARM_LIMIT_S)
    if not side.run(order).answered:
        raise TargetFailed("not one of the first frames was sent")
    return side


@contextmanager
def broker_only(settings: Settings) -> Iterator[str]:
    """Run a broker with the topics; give its address."""
    with tempfile.TemporaryDirectory(prefix="perf-broker-") as folder, Broker(Path(folder)) as one:
        create_topics(replace(settings, broker=one.address))
        yield one.address
