"""`/metrics`, `/healthz` and `/readyz` over HTTP, in a thread: a loop that is stuck still shows."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from engine.config import Settings
from engine.errors import ConfigError
from engine.observe.health import OK, Health
from engine.observe.instruments import Instruments

log = logging.getLogger(__name__)

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class _Handler(WSGIRequestHandler):
    timeout = 10  # seconds that a peer may be silent

    def address_string(self) -> str:
        """Return the address as it is: a look-up of its name may take seconds."""
        return str(self.client_address[0])

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a probe every few seconds would fill the log."""


class _Server(ThreadingMixIn, WSGIServer):
    """A thread a request: a peer that is slow must not keep a probe from its answer."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say in one line what a peer that went away leaves as a traceback."""
        log.debug("a request to the metrics endpoint was not answered")


class Endpoint:
    """Serves a process's metrics and health at `metrics_host`:`metrics_port`."""

    def __init__(self, settings: Settings, health: Health, instruments: Instruments) -> None:
        self._address = (settings.metrics_host, settings.metrics_port)
        self._health = health
        self._metrics = make_wsgi_app(instruments.registry)
        self._server: WSGIServer | None = None

    @property
    def port(self) -> int | None:
        """The port that it listens on, None where it does not."""
        return None if self._server is None else self._server.server_port

    def start(self) -> None:
        """Listen, and answer in a thread of its own.

        Raises `ConfigError` where it cannot: a process that nobody sees, or whose probes another
        one answers, is found out too late. It has taken no frame yet.
        """
        host, port = self._address
        try:
            self._server = make_server(host, port, self._answer, _Server, _Handler)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {host}:{port} for metrics and probes: {error.strerror};"
                " give each process of a host its own `metrics_port` (0: off)"
            ) from None
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        log.info("metrics and health at http://%s:%d", host, self.port)

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _answer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if environ["REQUEST_METHOD"] != "GET":
            return _said(start_response, "405 Method Not Allowed", {"only": "GET"})
        if path == "/metrics":
            body: Iterable[bytes] = self._metrics(environ, start_response)
            return body
        if path == "/healthz":
            alive = self._health.is_alive()
            return _said(start_response, _status(alive), {"alive": alive})
        if path == "/readyz":
            found = self._health.readiness()
            ready = all(one == OK for one in found.values())
            return _said(start_response, _status(ready), {"ready": ready, "checks": found})
        return _said(start_response, "404 Not Found", {"paths": "/metrics /healthz /readyz"})


def _status(well: bool) -> str:
    return "200 OK" if well else "503 Service Unavailable"


def _said(start_response: StartResponse, status: str, what: dict[str, Any]) -> list[bytes]:
    body = json.dumps(what).encode() + b"\n"
    start_response(
        status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    )
    return [body]
