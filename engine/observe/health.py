"""Whether a process lives, and whether it could do the next frame: Kubernetes' two questions.

Alive is only what a restart would mend: the event loop turns. A server that is away is no reason to
kill a process that waits for it. Ready is what the next frame needs.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from engine.errors import EngineError

Check = Callable[[], Awaitable[None]]

LIMIT_S = 2.0  # of one check; they run side by side
TURN_LIMIT_S = 5.0  # how long a turn of the loop may take
AGE_S = 1.0  # however often a probe asks, the servers are asked once in this time
STARTING = {"start": "not finished"}
OK = "ok"


class Health:
    """Answers from any thread; the checks run in the process's event loop.

    Before `attach` a process is alive and not ready.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._checks: Mapping[str, Check] = {}
        self._one_at_a_time = threading.Lock()
        self._found: dict[str, str] = STARTING
        self._found_s = float("-inf")

    def attach(self, loop: asyncio.AbstractEventLoop, checks: Mapping[str, Check]) -> None:
        """Let `checks` decide, by the names of what they reach; each raises where it fails."""
        self._checks = checks
        self._loop = loop

    def is_alive(self) -> bool:
        """Wait for the loop to turn once; False where it does not, or is closed."""
        if self._loop is None:
            return True
        turned = threading.Event()
        try:
            self._loop.call_soon_threadsafe(turned.set)
        except RuntimeError:  # it is closed
            return False
        return turned.wait(TURN_LIMIT_S)

    def readiness(self) -> dict[str, str]:
        """Return what each check found: "ok", or what is missing."""
        with self._one_at_a_time:
            if self._loop is not None and time.monotonic() - self._found_s >= AGE_S:
                self._found = self._asked(self._loop)
                self._found_s = time.monotonic()
            return self._found

    def _asked(self, loop: asyncio.AbstractEventLoop) -> dict[str, str]:
        asking = self._ask_all()
        try:
            future = asyncio.run_coroutine_threadsafe(asking, loop)
        except RuntimeError:
            asking.close()
            return {"loop": "closed"}
        try:
            return future.result(LIMIT_S + TURN_LIMIT_S)
        except Exception as error:
            future.cancel()
            return {"loop": f"does not turn ({type(error).__name__})"}

    async def _ask_all(self) -> dict[str, str]:
        found = await asyncio.gather(*(_ask(check) for check in self._checks.values()))
        return dict(zip(self._checks, found, strict=True))


async def _ask(check: Check) -> str:
    try:
        async with asyncio.timeout(LIMIT_S):
            await check()
    except TimeoutError:
        return f"no answer within {LIMIT_S:g} s"
    except EngineError as error:
        return str(error)
    except Exception as error:  # its text is not ours
        return type(error).__name__
    return OK


async def broker_answers(client: Any) -> None:
    """Ask Kafka's nodes for their metadata over an `AIOKafkaClient`, or None before there is one.

    The connections stay those of the client, so it comes in as the process does; a name that
    resolves, or a port that is open, would not show that.
    """
    if client is None or not await client.force_metadata_update():
        raise ConnectionError
