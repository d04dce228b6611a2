"""Patience at the start: Faust survives a broker that goes away, but not one that is away first."""

from __future__ import annotations

import asyncio
import logging

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from engine.config import Settings
from engine.security import client_options

log = logging.getLogger(__name__)

FIRST_DELAY_S = 0.2


def wait_for_broker(settings: Settings) -> None:
    """Return once the broker lets this process in; waits without limit, at growing intervals.

    Raises `ConfigError` when a certificate or password cannot be read.
    """
    loop = asyncio.new_event_loop()  # asyncio.run would leave Faust without a current loop
    try:
        loop.run_until_complete(_reach(settings))
    finally:
        loop.close()


async def _reach(settings: Settings) -> None:
    delay_s = FIRST_DELAY_S
    while True:
        admin = AIOKafkaAdminClient(**client_options(settings))
        try:
            await admin.start()
            return
        except (KafkaError, OSError) as error:
            name = type(error).__name__
            log.warning("broker %s: %s; next try in %.1f s", settings.broker, name, delay_s)
        finally:
            await admin.close()
        await asyncio.sleep(delay_s)
        delay_s = min(2 * delay_s, settings.backoff_max_s)
