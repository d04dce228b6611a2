"""Keeps every model of a worker at the version that the topic names."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from engine.config import Settings
from engine.control.topic import Change, ServingTopic
from engine.errors import BrokerUnavailable, EngineError
from engine.messages import ModelRef
from engine.serving import Serving

log = logging.getLogger(__name__)

FIRST_S = 0.2
PIN_AGAIN_MAX_S = 30.0  # a version that lacks is loaded by a person, who looks at the log
DEFAULT = ""  # as a version: what Triton chooses, the highest that is loaded


class Pinnable(Protocol):
    """A served model whose version can be chosen, as `engine.infer.TritonModel` is one."""

    @property
    def pinned(self) -> str:
        """The version that new batches go to; "" is Triton's default."""

    @property
    def ref(self) -> ModelRef:
        """What answers."""

    async def pin(self, version: str) -> None:
        """Send new batches to this version; raise `ModelUnavailable` and stay where that fails."""


class Control:
    """Reads what serves before the first frame, then follows every change in tasks of its own.

    A broker that is away is waited for. A version that cannot be pinned leaves the old one serving,
    is logged, and tried again at growing intervals, or until another record replaces it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic: ServingTopic | None = None
        self._keepers: dict[str, _Keeper] = {}
        self._on_change: Callable[[str, Serving | None], None] = _nothing
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> dict[str, Serving]:
        """Return what serves each model that has a record, once the topic is read to its end."""
        delay_s = FIRST_S
        while True:
            try:
                self._topic = await ServingTopic.open(self._settings)
                return await self._topic.latest()
            except BrokerUnavailable as error:
                log.warning("which models serve is not known yet: %s", error)
            await self._leave()
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, self._settings.backoff_max_s)

    def follow(
        self,
        models: Mapping[str, Pinnable],
        on_change: Callable[[str, Serving | None], None],
    ) -> None:
        """Pin `models` (by name) as records come; `on_change` gets every record of any model."""
        self._on_change = on_change
        self._keepers = {name: _Keeper(name, model) for name, model in models.items()}
        self._tasks = [
            asyncio.create_task(keeper.run(), name=f"pin {keeper.name}")
            for keeper in self._keepers.values()
        ]
        self._tasks.append(asyncio.create_task(self._run(), name="models"))

    async def close(self) -> None:
        """Stop following; models stay as they are."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._leave()

    async def _run(self) -> None:
        known = True  # `start` has read it
        while True:
            try:
                if not known:
                    await self._read_again()
                await self._until_broken()
            except Exception as error:  # the frames go on: a control that stops must not be silent
                log.warning("cannot follow which models serve (%s): reading again", error)
            known = False
            await asyncio.sleep(FIRST_S)

    async def _read_again(self) -> None:
        await self._leave()
        latest = await self.start()
        for name in self._keepers:  # what changed meanwhile may be the end of a record, too
            self._apply((name, latest.get(name)))

    async def _until_broken(self) -> None:
        if self._topic is not None:
            async for change in self._topic.changes():
                self._apply(change)

    def _apply(self, change: Change) -> None:
        name, serving = change
        if (keeper := self._keepers.get(name)) is not None:
            keeper.want(serving)
        self._on_change(name, serving)

    async def _leave(self) -> None:
        topic, self._topic = self._topic, None
        if topic is not None:
            await topic.close()


class _Keeper:
    """Drives one model to the version that its last record names."""

    def __init__(self, name: str, model: Pinnable) -> None:
        self.name = name
        self._model = model
        self._wanted = model.pinned
        self._digest = ""
        self._changed = asyncio.Event()

    def want(self, serving: Serving | None) -> None:
        """Take a record; one that is being tried ends first, and is not tried again."""
        self._wanted = serving.now.version if serving else DEFAULT
        self._digest = serving.now.digest if serving else ""
        self._changed.set()

    async def run(self) -> None:
        """Pin, wait for the next record, pin; never ends."""
        delay_s = FIRST_S
        while True:
            if self._model.pinned == self._wanted or await self._pin():
                await self._changed.wait()
                delay_s = FIRST_S
            else:
                await self._changed_within(delay_s)
                delay_s = min(2 * delay_s, PIN_AGAIN_MAX_S)
            self._changed.clear()

    async def _pin(self) -> bool:
        before, wanted = self._model.pinned, self._wanted
        try:
            await self._model.pin(wanted)
        except Exception as error:  # whatever it is, the version that serves goes on serving
            why = str(error) if isinstance(error, EngineError) else type(error).__name__
            log.warning("model %s stays at version %s: %s", self.name, before or "default", why)
            return False
        ref = self._model.ref
        log.info("model %s: version %s serves, %s", self.name, ref.version, ref.digest)
        if wanted == self._wanted and self._digest not in ("", ref.digest):
            log.error(
                "model %s: version %s is served from another file than was loaded by `model load`:"
                " %s, not %s (another setting `precision`, or another repository)",
                *(self.name, ref.version, ref.digest, self._digest),
            )
        return True

    async def _changed_within(self, limit_s: float) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await self._changed.wait()
        except TimeoutError:
            return


def _nothing(name: str, serving: Serving | None) -> None:
    """Before `follow`, nobody is told."""
