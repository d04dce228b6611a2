"""What is loaded: the embedded stack, or one that is there already; with its generator."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from engine.config import Settings
from engine.local.processes import Server
from engine.local.stack import MODELS, LocalStack
from engine.messages import FrameMessage
from engine.store import open_store
from perf.load.generator import Outcome
from perf.load.process import Backlog, Loader, Where
from perf.load.processor import processor_seconds
from perf.load.stacks import WARM_LIMIT_S, MakeBroker
from perf.load.target import TargetFailed
from perf.run.kinds import claimed
from perf.run.scenarios import Scenario

ROUTES = Path(__file__).with_name("routes.toml")
REACH_S = 5.0
BROKERS = {"Broker": "pip (tansu)", "Kafka": "Apache Kafka"}

Samples = Mapping[str, Sequence[FrameMessage]]


@dataclass(slots=True, kw_only=True)
class Loaded:
    """A target that is up and warm, and its generator. `stack` is None for one that was given.

    `broker` is its kind, in words; `folder` holds a copy of the model repository where a scenario
    swaps models.
    """

    loader: Loader
    settings: Settings
    broker: str
    samples: Samples
    stack: LocalStack | None = None
    folder: Path | None = None

    @property
    def servers(self) -> Sequence[Server]:
        """Its processes; none of a stack that was given."""
        return self.stack.servers if self.stack else ()

    def spent(self) -> dict[tuple[str, int], float]:
        """Return the processor seconds of each of its processes so far, by name and id."""
        return {
            (one.name, one.pid): processor_seconds([one.pid]) for one in self.servers if one.pid
        }


@contextmanager
def embedded(
    scenario: Scenario, samples: Samples, *, target: str, make_broker: MakeBroker
) -> Iterator[Loaded]:
    """Run broker, Triton and the scenario's workers; a gateway too for target dicom."""
    with tempfile.TemporaryDirectory(prefix="perf-run-") as name, ExitStack() as held:
        folder = Path(name)
        asked = Settings.load()
        settings = replace(asked, store=folder / "store", routes=asked.routes or ROUTES)
        swaps = any(fault.what == "swap model" for fault in scenario.faults)
        stack = LocalStack(
            folder,
            settings,
            workers=scenario.workers,
            stat_workers=scenario.stat_workers,
            series=False,
            gateway=target == "dicom",
            repository=_copied(folder) if swaps else None,
            broker=make_broker(folder),
        )
        held.enter_context(stack)
        found = stack.settings
        where = Where(
            target,
            found.broker,
            f"{found.host}:{found.port}" if stack.gateway else "",
            found.triton,
        )
        loader = held.enter_context(Loader(where, _sent(samples, target, found)))
        loaded = Loaded(
            loader=loader,
            settings=found,
            broker=BROKERS.get(make_broker.__name__, make_broker.__name__),
            samples=samples,
            stack=stack,
            folder=folder,
        )
        warm(loaded, scenario)
        yield loaded


@contextmanager
def given(scenario: Scenario, samples: Samples, where: Where) -> Iterator[Loaded]:
    """Load a stack that is there; raise `TargetFailed` where an address does not answer.

    Large frames are put into the store that the settings name, which its workers must read too.
    """
    settings = Settings.load(broker=where.broker) if where.broker else Settings.load()
    _reach("broker", where.broker.partition(",")[0])  # it knows the others
    for address in where.triton.split(","):
        _reach("triton", address)
    _reach("gateway", where.gateway)
    with Loader(where, _sent(samples, where.target, settings)) as loader:
        loaded = Loaded(loader=loader, settings=settings, broker="given", samples=samples)
        warm(loaded, scenario)
        yield loaded


def warm(loaded: Loaded, scenario: Scenario) -> None:
    """Run frames of each kind through their lane until they answer: nothing starts under load."""
    for kind, lane in dict.fromkeys((one.kind, one.lane) for one in scenario.load):
        order = Backlog(16, 1.0, 1.0, 60_000, drain_s=WARM_LIMIT_S, lane=lane, kind=kind)
        outcome: Outcome = loaded.loader.run(order)
        if not outcome.answered or outcome.lost:
            raise TargetFailed(
                f"{kind}, lane {lane}: {outcome.answered} of the first {outcome.sent} frames were"
                f" answered in {WARM_LIMIT_S:.0f} s: is there a worker for it?"
            )


def _sent(samples: Samples, target: str, settings: Settings) -> dict[str, list[FrameMessage]]:
    """Return the samples as the target takes them: the kafka target sends claim checks."""
    if target != "kafka":
        return {kind: list(frames) for kind, frames in samples.items()}
    limit = settings.inline_limit
    if all(len(one.value) <= limit for frames in samples.values() for one in frames):
        return {kind: list(frames) for kind, frames in samples.items()}
    store = open_store(settings)
    return {kind: claimed(frames, store, limit) for kind, frames in samples.items()}


def _copied(folder: Path) -> Path:
    """Copy the model repository, so that versions can be added to it."""
    return Path(shutil.copytree(MODELS, folder / "models" / MODELS.name))


def _reach(what: str, address: str) -> None:
    """Connect once, where there is an address: the clients' own words come late, and say less."""
    if not address:
        return
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=REACH_S):
            return
    except OSError as error:
        raise TargetFailed(f"{what} {address} does not answer: {error}") from None
