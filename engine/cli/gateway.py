"""`scanstream gateway`: the DICOM gateway of one machine, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from engine.config import Settings
from engine.errors import LocalStackError
from engine.ingest.intake import Intake
from engine.ingest.publisher import Publisher
from engine.ingest.scp import Gateway
from engine.ingest.upper.listener import Listener, Places
from engine.ingest.upper.processes import Children, Seat
from engine.observe.gateway import GatewayNotes
from engine.observe.role import Shown
from engine.routes import Routes
from engine.store import open_store

HELP = "Accept DICOM objects (C-STORE, C-ECHO), store them, and publish their frames."
EXAMPLE = "scanstream gateway --port 11112 --broker 127.0.0.1:9092"
READY_FILE = "SCANSTREAM_READY_FILE"

log = logging.getLogger(__name__)


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
    seat = Seat.given()
    if seat is None and settings.gateway_processes > 1:
        serve_by_children(settings, [sys.executable, "-m", "engine.cli", "gateway"], stop)
    else:
        _serve(settings, seat, stop)
    return 0


def _serve(settings: Settings, seat: Seat | None, stop: threading.Event) -> None:
    """Be the gateway, or the one of its processes that `seat` says."""
    shown = Shown("gateway", settings)
    notes = GatewayNotes(shown.instruments, shown.spans)
    publisher = Publisher(settings, notes.confirmed)
    keywords = Routes.load(settings.routes).keywords
    store = open_store(settings)
    intake = Intake(settings, store, publisher, keywords=keywords, notes=notes)
    gateway = Gateway(settings, intake, share=1 if seat is None else seat.of)
    shown.start()
    publisher.start()
    begin(gateway, settings, seat, stop)
    notes.watch(lambda: gateway.associations, lambda: gateway.inflight.used)
    shown.health.attach(publisher.loop, {"broker": publisher.check})
    if seat is None:
        _say_ready(settings, gateway.port)
    stop.wait()
    gateway.drain()
    publisher.close()
    shown.close()


def begin(gateway: Gateway, settings: Settings, seat: Seat | None, stop: threading.Event) -> None:
    """Let it listen, or take what its parent hands it; raise `LocalStackError`."""
    if seat is not None:
        gateway.warm()
        seat.start(gateway.serve, stop.set)
        return
    try:
        gateway.start()
    except OSError as error:
        raise _taken(settings, error) from None


def serve_by_children(settings: Settings, command: list[str], stop: threading.Event) -> None:
    """Listen, and let as many processes serve as the settings say, until `stop`."""

    def environ(number: int) -> Mapping[str, str]:
        inherited = {name: text for name, text in os.environ.items() if name != READY_FILE}
        return {**inherited, **_of_child(settings, number).as_environ()}

    places = Places(settings.max_associations, settings.max_associations_of_address)
    children = Children(command, environ, settings.gateway_processes, places)
    try:
        listener = Listener(settings.host, settings.port, places, children.hand)
    except OSError as error:
        raise _taken(settings, error) from None
    try:
        children.start()
        listener.start()
        _say_ready(settings, listener.port)
        stop.wait()
    finally:
        listener.stop()
        children.stop()


def _of_child(settings: Settings, number: int) -> Settings:
    """Return the settings of one of the processes: each needs a metrics port of its own."""
    first = settings.metrics_port
    return replace(settings, metrics_port=first + number if first else 0)


def _taken(settings: Settings, error: OSError) -> LocalStackError:
    return LocalStackError(
        f"cannot listen on {settings.host}:{settings.port}: {error.strerror};"
        " choose another with --port"
    )


def _say_ready(settings: Settings, port: int) -> None:
    log.info("listening on %s:%d as %s", settings.host, port, settings.ae_title)
    ready = os.environ.get(READY_FILE)
    if ready:
        Path(ready).touch()
