"""What `load`, `rollback` and `shadow` share: a version is loaded, tried out, then recorded."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import hashlib
import json
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from engine.config import Settings
from engine.control import publish, read
from engine.errors import ConfigError, ModelUnavailable
from engine.infer import TritonModel
from engine.local.stack import MODELS
from engine.serving import Serving, Version, record_id

LOAD_LIMIT_S = 300.0
# A worker looks five times a second, and warms up a version before it pins it.
FIRST_PIN_S = 3.0
FILES = "model*.onnx"  # one of them is what a CPU serves, or what a plan was built from


def add_common(parser: argparse.ArgumentParser) -> None:
    """Describe the options of every command that changes what serves."""
    add = parser.add_argument
    add("name", metavar="NAME", help="the model")
    add("--triton", metavar="HOST:PORT", help="gRPC, of several with commas (setting `triton`)")
    add("--broker", metavar="HOST:PORT", help="(setting `broker`)")
    add("--repositories", type=Path, default=MODELS.parent, help="where the weights lie")
    add("--json", action="store_true", help="print one JSON object and nothing else")


def settings_of(args: argparse.Namespace) -> Settings:
    """Return the settings with the command's options, and keep aiokafka's log to itself."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # we say it in one line
    return Settings.load(broker=args.broker, triton=args.triton)


def number(text: str) -> str:
    """Return a version as Triton names it; raise `ConfigError`."""
    if not (text.isascii() and text.isdigit() and text[0] != "0" and len(text) <= 18):
        raise ConfigError(f"a version is a number from 1, as its folder is named; got {text}")
    return text


def report(args: argparse.Namespace, change: Change) -> int:
    """Print what was and what is."""
    if args.json:
        print(json.dumps(change.as_json()))
    else:
        before = change.before.now if change.before else None
        print(f"{args.name} before: {_told(before)}")
        print(f"{args.name} now:    {_told(change.now.now)}{_beside(change.now)}")
    return 0


@dataclass(frozen=True, slots=True)
class Change:
    """The record before, None where there was none, and now; `compared` tells whether the weights
    that Triton serves were compared with those in the repository."""

    before: Serving | None
    now: Serving
    compared: bool

    def as_json(self) -> dict[str, Any]:
        """Return both records as plain objects."""
        before = msgspec.to_builtins(self.before) if self.before else None
        return {
            "model": self.now.model,
            "before": before,
            "now": msgspec.to_builtins(self.now),
            "published": self.now != self.before,
            "digest_compared": self.compared,
        }


class Operator:
    """Changes what serves one model. Nothing is recorded before the version has answered."""

    def __init__(self, settings: Settings, name: str, repositories: Path) -> None:
        self._settings = settings
        self._name = name
        self._repositories = repositories
        self._addresses = settings.triton.split(",")

    async def record(self) -> Serving | None:
        """Return what serves, None where nothing does.

        Without a record, what Triton chooses is recorded first: else the workers would follow it to
        a higher version as soon as that is loaded, untried.
        """
        found = (await read(self._settings)).get(self._name)
        if found is not None:
            return found
        try:
            chosen = await self._try_out(self._addresses[0], "")
        except ModelUnavailable:  # not loaded, or away: then `bring` says so
            return None
        serving = await self.write(None, now=chosen)
        await asyncio.sleep(FIRST_PIN_S)
        return serving

    async def required(self) -> Serving:
        """Return what serves; raise `ModelUnavailable` where nothing does."""
        found = await self.record()
        if found is None:
            raise ModelUnavailable(f"Triton at {self._addresses[0]} serves no {self._name}")
        return found

    async def bring(self, version: str) -> tuple[Version, bool]:
        """Have every Triton serve the version, and try it out there.

        Returns its number and digest, and whether that was compared with the repository's files.
        Raises `ModelUnavailable` where it is not served, breaks the contract, or is of other files.
        """
        found = [await self._brought(address, version) for address in self._addresses]
        if len({one.digest for one in found}) > 1:
            raise ModelUnavailable(
                f"version {version} of {self._name} is not the same on {self._settings.triton}"
            )
        return found[0], self._compared(found[0])

    async def write(self, before: Serving | None, **fields: Any) -> Serving:
        """Publish `before` with other fields; nothing where they change nothing."""
        at_ns = time.time_ns()
        empty = {"now": None, "previous": None, "shadow": None}
        kept = {name: getattr(before, name) for name in empty} if before else empty
        if before is not None and kept | fields == kept:
            return before
        name = record_id(self._name, str(at_ns))
        serving = Serving(id=name, model=self._name, at_ns=at_ns, by=_user(), **(kept | fields))
        await publish(self._settings, serving)
        return serving

    async def _brought(self, address: str, version: str) -> Version:
        client = InferenceServerClient(address, channel_args=[("grpc.enable_http_proxy", 0)])
        try:
            if not await self._is_ready(client, version):
                await client.load_model(self._name, client_timeout=LOAD_LIMIT_S)
            if not await self._is_ready(client, version):
                raise ModelUnavailable(await self._why_not(client, version))
        except InferenceServerException as error:
            raise ModelUnavailable(
                f"Triton at {address} does not load {self._name}: {_one_line(error)}"
            ) from error
        finally:
            await client.close()
        return await self._try_out(address, version)

    async def _is_ready(self, client: Any, version: str) -> bool:
        limit_s = self._settings.infer_timeout_s  # a Triton that is frozen must not hold us up
        return bool(await client.is_model_ready(self._name, version, client_timeout=limit_s))

    async def _why_not(self, client: Any, version: str) -> str:
        index = await client.get_model_repository_index(client_timeout=LOAD_LIMIT_S)
        said = [
            f"{one.state} {one.reason}".strip()
            for one in index.models
            if (one.name, one.version) == (self._name, version)
        ]
        why = said[0] if said else "its repository has no such folder"
        return f"version {version} of {self._name} is not served: {why}"

    async def _try_out(self, address: str, version: str) -> Version:
        """Read its contract; have it compute a blank picture, and as many as a batch may have."""
        model = TritonModel(
            address,
            self._name,
            version=version,
            max_batch=self._settings.max_batch,
            slots=1,
            timeout_s=self._settings.infer_timeout_s,
            shared_memory=False,
            mends=False,  # a version that kills its process must not end those that serve
        )
        try:
            await model.start()
            blank = np.zeros(model.input_shape, np.uint8)
            await model.infer([blank] * self._settings.max_batch)
            return Version(version=model.ref.version, digest=model.ref.digest)
        finally:
            await model.close()

    def _compared(self, served: Version) -> bool:
        """Compare with the files of the repositories on this machine, where they have any."""
        folders = self._repositories.glob(f"*/{self._name}/{served.version}")
        files = [path for folder in folders for path in folder.glob(FILES)]
        digests = {_sha256(path) for path in files if path.is_file()}
        if digests and served.digest not in digests:
            raise ModelUnavailable(
                f"Triton serves version {served.version} of {self._name} from other weights"
                f" ({served.digest}) than lie in {self._repositories}: a changed file needs the"
                " next version number"
            )
        return bool(digests)


def replacing(before: Serving, now: Version) -> dict[str, Any]:
    """Return the fields that change as `now` takes over; it is no candidate any more."""
    shadow = before.shadow
    kept = None if shadow is not None and shadow.version == now.version else shadow
    return {"now": now, "previous": before.now, "shadow": kept}


def changed(args: argparse.Namespace, change: Callable[[Operator], Awaitable[Change]]) -> int:
    """Run one change and print it."""
    operator = Operator(settings_of(args), args.name, args.repositories)

    async def work() -> Change:
        return await change(operator)

    return report(args, asyncio.run(work()))


def _one_line(error: InferenceServerException) -> str:
    return " ".join(str(error.message()).split())[:300]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        return ""


def _told(version: Version | None) -> str:
    return f"version {version.version}, sha256 {version.digest}" if version else "no record"


def _beside(serving: Serving) -> str:
    shadow = serving.shadow
    return f"; shadow: version {shadow.version} on {shadow.share:g} of the frames" if shadow else ""
