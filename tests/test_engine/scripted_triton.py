"""A gRPC server that speaks Triton's protocol and does what a test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from model_contract import MAX_BATCH
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from engine.infer import TritonModel

ABOUT = b'{"digest": "%s", "precision": "fp32", "runtime": "scripted"}'
WAIT_S = 10.0
Before = Callable[["ScriptedTriton", int], Awaitable[None]]


class ScriptedTriton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Serves `unet-lv`: the mask is the image over 128. Knobs are plain attributes.

    `before(self, number)` is awaited before a request is answered; requests count from 1, those of
    connecting included. Failures are given as `fail = (status, words)`.
    """

    def __init__(self) -> None:
        self.digest = "d" * 64
        self.max_batch = 8
        self.labels = "left-ventricle-cavity"
        self.trained_range: str | None = None
        self.told_digest = ""
        self.allow_override = True
        self.default_timeout_us = 20_000_000
        self.give_about = True
        self.side = 256
        self.confidence = 0.5
        self.priority_levels = 3
        self.instances = 1
        self.refuse_regions: tuple[grpc.StatusCode, str] | None = None
        self.fail: tuple[grpc.StatusCode, str] | None = None
        self.before: Before | None = None
        self.regions: dict[str, str] = {}
        self.registrations = 0
        self.unloads = 0
        self.requests: list[service_pb2.ModelInferRequest] = []
        self.answered = asyncio.Event()
        self._server: grpc.aio.Server | None = None
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def restart(self) -> None:
        """Lose every registration, as a new process does."""
        await self.stop()
        self.regions.clear()
        await self.start()

    async def ModelMetadata(self, request, context):
        if request.name != "unet-lv":
            await context.abort(grpc.StatusCode.NOT_FOUND, "Request for unknown model")
        meta = service_pb2.ModelMetadataResponse(name=request.name, versions=["1"])
        count = len(self.labels.split(",")) if self.labels else 1
        meta.inputs.add(name="image", datatype="UINT8", shape=[-1, 1, self.side, self.side])
        meta.outputs.add(name="mask", datatype="UINT8", shape=[-1, self.side, self.side])
        meta.outputs.add(name="confidence", datatype="FP32", shape=[-1, count])
        if self.give_about:
            meta.outputs.add(name="about", datatype="UINT8", shape=[-1, 256])
        return meta

    async def ModelConfig(self, request, context):
        config = model_config_pb2.ModelConfig(name=request.name, max_batch_size=self.max_batch)
        config.dynamic_batching.priority_levels = self.priority_levels
        config.instance_group.add(count=self.instances)
        policy = config.dynamic_batching.default_queue_policy
        policy.allow_timeout_override = self.allow_override
        policy.default_timeout_microseconds = self.default_timeout_us
        config.parameters["labels"].string_value = self.labels
        config.parameters["digest:1"].string_value = self.told_digest
        if self.trained_range is not None:
            config.parameters["trained_range"].string_value = self.trained_range
        return service_pb2.ModelConfigResponse(config=config)

    async def SystemSharedMemoryStatus(self, request, context):
        answer = service_pb2.SystemSharedMemoryStatusResponse()
        for name, key in self.regions.items():
            answer.regions[name].key = key
        return answer

    async def SystemSharedMemoryRegister(self, request, context):
        if self.refuse_regions:
            await context.abort(*self.refuse_regions)
        if request.name in self.regions:
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, "already in manager")
        self.regions[request.name] = request.key
        self.registrations += 1
        return service_pb2.SystemSharedMemoryRegisterResponse()

    async def SystemSharedMemoryUnregister(self, request, context):
        self.regions.pop(request.name, None)
        return service_pb2.SystemSharedMemoryUnregisterResponse()

    async def RepositoryModelUnload(self, request, context):
        self.unloads += 1
        return service_pb2.RepositoryModelUnloadResponse()

    async def RepositoryModelLoad(self, request, context):
        self.fail = None
        return service_pb2.RepositoryModelLoadResponse()

    async def ModelInfer(self, request, context):
        self.requests.append(request)
        if self.before is not None:
            await self.before(self, len(self.requests))
        if self.fail:
            await context.abort(*self.fail)
        count = request.inputs[0].shape[0]
        where = request.inputs[0].parameters
        if "shared_memory_region" in where:
            region = await self._map(where["shared_memory_region"].string_param, context)
            images = region[: count * self.side**2]
        else:
            images = np.frombuffer(request.raw_input_contents[0], np.uint8)
        masks = (images.reshape(count, self.side, self.side) > 128).astype(np.uint8)
        answer = self._answer(request, masks)
        self.answered.set()
        return answer

    async def _map(self, name: str, context) -> np.ndarray:
        if name not in self.regions:
            words = f"Unable to find shared memory region: '{name}'"
            await context.abort(grpc.StatusCode.NOT_FOUND, words)
        return np.memmap(Path("/dev/shm") / self.regions[name].removeprefix("/"), np.uint8, "r+")

    def _answer(self, request, masks: np.ndarray):
        count = len(masks)
        answer = service_pb2.ModelInferResponse(model_name="unet-lv", model_version="1")
        for output in request.outputs:
            if output.name == "mask":
                datatype, shape, raw = "UINT8", masks.shape, masks.tobytes()
                where = output.parameters
                if "shared_memory_region" in where:
                    key = self.regions[where["shared_memory_region"].string_param]
                    start = where["shared_memory_offset"].int64_param
                    region = np.memmap(Path("/dev/shm") / key.removeprefix("/"), np.uint8, "r+")
                    region[start : start + masks.size] = masks.ravel()
                    raw = b""
            elif output.name == "confidence":
                labels = len(self.labels.split(","))
                datatype, shape = "FP32", (count, labels)
                raw = np.full(shape, self.confidence, np.float32).tobytes()
            else:
                about = (ABOUT % self.digest.encode()).ljust(256)
                datatype, shape, raw = "UINT8", (count, 256), about * count
            answer.outputs.add(name=output.name, datatype=datatype, shape=shape)
            answer.raw_output_contents.append(raw)
        return answer


@asynccontextmanager
async def client(server: ScriptedTriton, **given: Any) -> AsyncIterator[TritonModel]:
    """Give a started client of the scripted server."""
    options = {"max_batch": MAX_BATCH, "slots": 2, "timeout_s": WAIT_S, **given}
    model = TritonModel(server.address, "unet-lv", **options)
    await model.start()
    yield model
    await model.close()
