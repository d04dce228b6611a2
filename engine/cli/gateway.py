"""`scanstream gateway`: the DICOM gateway of one machine, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import threading
from pathlib import Path

from engine.config import Settings
from engine.errors import LocalStackError
from engine.ingest.intake import Intake
from engine.ingest.publisher import Publisher
from engine.ingest.scp import Gateway
from engine.observe.gateway import GatewayNotes
from engine.observe.role import Shown
from engine.routes import Routes
from engine.store import open_store

HELP = "Accept DICOM objects (C-STORE, C-ECHO), store them, and publish their frames."
EXAMPLE = "scanstream gateway --port 11112 --broker 127.0.0.1:9092"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options; each is a setting."""
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", type=int, help="port to listen on")
    parser.add_argument("--ae-title", help="our AE title")
    parser.add_argument("--broker", help="address of the Kafka broker")
    parser.add_argument("--store", type=Path, help="folder of the object store")


def run(args: argparse.Namespace) -> int:
    """Serve until a signal; finish what is in flight; return 0."""
    settings = Settings.load(**vars(args))
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the publisher says it in one line
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    shown = Shown("gateway", settings)
    notes = GatewayNotes(shown.instruments, shown.spans)
    publisher = Publisher(settings, notes.confirmed)
    keywords = Routes.load(settings.routes).keywords
    store = open_store(settings)
    intake = Intake(settings, store, publisher, keywords=keywords, notes=notes)
    gateway = Gateway(settings, intake)
    shown.start()
    publisher.start()
    try:
        gateway.start()
    except OSError as error:
        raise LocalStackError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror};"
            " choose another with --port"
        ) from None
    notes.watch(lambda: gateway.associations)
    shown.health.attach(publisher.loop, {"broker": publisher.check})
    _say_ready(settings, gateway)
    stop.wait()
    gateway.drain()
    publisher.close()
    shown.close()
    return 0


def _say_ready(settings: Settings, gateway: Gateway) -> None:
    logging.getLogger(__name__).info(
        "listening on %s:%d as %s", settings.host, gateway.port, settings.ae_title
    )
    ready = os.environ.get("SCANSTREAM_READY_FILE")
    if ready:
        Path(ready).touch()
