"""A faust.App with settings that do not lose records.

Every setting below that differs from Faust's default cures a trap of faust-streaming 0.15.3; the
reasons are in `docs/decisions/0002-ordered-release.md`.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import faust

from engine.config import Settings
from engine.security import Security
from streams.consumer import App
from streams.topics import max_message_bytes

READY_FILE = "SCANSTREAM_READY_FILE"


def new_app(name: str, settings: Settings, **more: Any) -> faust.App:
    """Return an app whose id and consumer group is `name`; `more` goes to Faust."""
    largest = max_message_bytes(settings)
    # Faust wants a folder, though no table is on disk. Not in the store: making that here would
    # let a store that is not mounted pass for an empty one.
    datadir = tempfile.mkdtemp(prefix="scanstream-")
    atexit.register(shutil.rmtree, datadir, ignore_errors=True)
    return App(
        name,
        broker=f"kafka://{settings.broker}",
        broker_credentials=credentials(settings),
        autodiscover=False,
        store="memory://",
        datadir=datadir,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        stream_buffer_maxsize=settings.inflight_frames,
        broker_max_poll_records=settings.inflight_frames,
        broker_commit_interval=0.5,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.0,
        broker_rebalance_timeout=6.0,
        broker_request_timeout=10.0,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=2 * largest,
        producer_max_request_size=largest,
        producer_request_timeout=10.0,
        producer_acks=-1,
        **more,
    )


def tell_ready() -> None:
    """Tell whoever started this process that it is part of its group."""
    if ready := os.environ.get(READY_FILE):
        Path(ready).touch()


def credentials(settings: Settings) -> faust.auth.Credentials | None:
    """Return what Faust needs to come in at the broker, None for PLAINTEXT."""
    security = Security.of(settings)
    if security.mechanism is not None:
        return faust.SASLCredentials(
            username=security.username,
            password=security.password,
            mechanism=security.mechanism,
            ssl_context=security.context,
        )
    return faust.SSLCredentials(security.context) if security.context is not None else None
