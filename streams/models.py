"""The models of a worker: which versions serve, and the candidates beside them."""

from __future__ import annotations

from functools import partial

import faust

from engine.batches import Segmented
from engine.config import Settings
from engine.control import Control, Shadow
from engine.infer import TritonModel
from engine.messages import FrameMessage
from engine.serving import SHADOW_TOPIC, Serving, ShadowComparison
from streams.sending import raw_topic, send_confirmed


class WorkerModels:
    """One client a model, each at the version that its record names from the first frame on."""

    def __init__(self, app: faust.App, settings: Settings, names: frozenset[str]) -> None:
        self._settings = settings
        self._names = names
        self._control = Control(settings)
        self._shadow_topic = raw_topic(app, SHADOW_TOPIC)
        self._shadows: dict[str, Shadow] = {}
        self.clients: dict[str, TritonModel] = {}

    async def start(self) -> None:
        """Learn which versions serve, waiting for the broker; then make the clients and follow.

        A version that is recorded and not loaded holds the frames, as a Triton that is away does:
        no other version may answer in its place.
        """
        serving = await self._control.start()
        for name in self._names:
            version = serving[name].now.version if name in serving else ""
            self.clients[name] = self._client(
                name,
                version,
                max_batch=self._settings.max_batch,
                slots=self._settings.infer_slots,
                turns=self._settings.stat_guard == "on",
            )
            self._shadows[name] = Shadow(partial(self._candidate, name), self._publish)
        self._control.follow(self.clients, self._on_change)
        for name, one in serving.items():
            self._on_change(name, one)

    def answered(self, message: FrameMessage, segmented: Segmented) -> None:
        """Show a frame and its answer to the candidate beside its model, where there is one."""
        self._shadows[segmented.model.name].offer(message, segmented)

    async def close(self) -> None:
        """Stop following, then give the shared memory back."""
        await self._control.close()
        for shadow in self._shadows.values():
            await shadow.close()
        for client in self.clients.values():
            await client.close()

    def _on_change(self, name: str, serving: Serving | None) -> None:
        if (shadow := self._shadows.get(name)) is not None:
            shadow.set(serving.shadow if serving else None)

    def _candidate(self, name: str, version: str) -> TritonModel:
        """It takes no turn and mends nothing: what serves must not wait for it, nor end with it."""
        return self._client(name, version, max_batch=1, slots=1, turns=False, mends=False)

    def _client(
        self,
        name: str,
        version: str,
        *,
        max_batch: int,
        slots: int,
        turns: bool,
        mends: bool = True,
    ) -> TritonModel:
        return TritonModel(
            self._settings.triton,
            name,
            version=version,
            max_batch=max_batch,
            slots=slots,
            timeout_s=self._settings.infer_timeout_s,
            turns=turns,
            mends=mends,
        )

    async def _publish(self, comparison: ShadowComparison, series: str) -> None:
        await send_confirmed(
            self._shadow_topic, series, comparison, self._settings.confirm_timeout_s
        )
