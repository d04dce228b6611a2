"""Real stacks whose workers have a core each: each worker with a Triton of its own beside it.

The broker and the generator have the cores that are left, or share all where none is left. The
simulation has the same layout (`replay`).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tritonclient.grpc import InferenceServerClient

from engine.config import Settings
from engine.local.processes import Server
from engine.local.stack import MODELS, Role, create_topics
from engine.local.triton import Triton
from engine.messages import FrameMessage
from perf.load.generator import Outcome
from perf.load.orders import Backlog, Constant, Poisson
from perf.load.process import Loader
from perf.load.processor import processor_seconds, trees
from perf.load.stacks import MakeBroker, Side, warmed
from perf.plan.layout import SERIES, layout

MODEL = "unet-lv"


@dataclass(slots=True)
class Pinned:
    """A pinned stack that is up. `tritons` are addresses; `cores` the workers', then the others."""

    side: Side
    tritons: list[Triton]
    cores: tuple[list[int], list[int]]
    groups: dict[str, list[int]]

    def run(self, order: Poisson | Constant | Backlog) -> Outcome:
        """Load it; raises `TargetFailed` as `Side.run` does."""
        return self.side.run(order)

    def spent(self) -> dict[str, float]:
        """Return the processor seconds so far by kind of process."""
        return {name: processor_seconds(pids) for name, pids in self.groups.items()}

    def batches(self) -> tuple[int, int]:
        """Return how many frames and batches all instances have computed so far."""
        frames = batches = 0
        for one in self.tritons:
            with InferenceServerClient(one.address) as client:
                for stats in client.get_inference_statistics(MODEL).model_stats:
                    frames += stats.inference_count
                    batches += stats.execution_count
        return frames, batches


@contextmanager
def pinned(
    workers: int, messages: Sequence[FrameMessage], settings: Settings, make_broker: MakeBroker
) -> Iterator[Pinned]:
    """Run the stack; every process is on its cores before the first frame is measured."""
    mine, others = layout(workers, sorted(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory(prefix="perf-plan-") as name, ExitStack() as held:
        folder = Path(name)
        broker = make_broker(folder)
        held.callback(broker.stop)
        broker.start()
        given = replace(settings, broker=broker.address, store=folder / "store", model_threads=1)
        create_topics(given)
        tritons, roles = [], []
        for number in range(workers):
            own = folder / str(number)
            own.mkdir()
            triton = held.enter_context(Triton(own, MODELS, given))
            tritons.append(triton)
            role = Role(
                f"worker-{number}",
                ["streams", "worker", "--lane", "bulk"],
                own,
                replace(given, triton=triton.address),
            )
            roles.append(held.enter_context(role))
        loader = held.enter_context(Loader(broker.address, messages, series=SERIES))
        for core, *servers in zip(mine, tritons, roles, strict=True):
            _pin(_pids(servers), [core])
        _pin([*_pids(broker.nodes), *([loader.pid] if loader.pid else [])], others)
        side = warmed(Side(loader, [*broker.nodes, *tritons, *roles], given))
        groups = {
            "worker": _pids(roles),
            "triton": _pids(tritons),
            "broker": _pids(broker.nodes),
        }
        yield Pinned(side, tritons, (mine, others), groups)


def _pids(servers: Iterable[Server]) -> list[int]:
    return [one.pid for one in servers if one.pid]


def _pin(pids: Iterable[int], cores: Sequence[int]) -> None:
    """Bind every thread that these processes and their descendants have now; new ones inherit."""
    for pid in trees(pids):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            try:
                os.sched_setaffinity(int(thread.name), cores)
            except ProcessLookupError:
                continue  # it has ended since the folder was listed
