"""The endpoint: what it answers, and that neither it nor a probe can hold anything up."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from watching import until

from engine.config import Settings
from engine.errors import ConfigError, ModelUnavailable
from engine.observe import health as health_module
from engine.observe.endpoint import Endpoint
from engine.observe.health import Health, broker_answers
from engine.observe.instruments import Instruments
from engine.observe.role import Shown


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Loop:
    """An event loop in a thread, that the test may block."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.free = threading.Event()

    def block(self) -> None:
        blocked = threading.Event()
        self.loop.call_soon_threadsafe(lambda: (blocked.set(), self.free.wait(20)))
        assert blocked.wait(5)

    def end(self) -> None:
        self.free.set()
        if not self.loop.is_closed():
            asyncio.run_coroutine_threadsafe(_others_end(), self.loop).result(5)
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()
            self.loop.close()


async def _others_end() -> None:
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.end()


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def endpoint(health: Health) -> Iterator[Endpoint]:
    made = Endpoint(Settings(metrics_port=free_port()), health, Instruments("worker"))
    made.start()
    yield made
    made.close()


Ask = Callable[..., tuple[int, str]]


@pytest.fixture
def ask(endpoint: Endpoint) -> Ask:
    """Return what asks the endpoint for a path and gives status and body."""

    def get(path: str, method: str = "GET") -> tuple[int, str]:
        url = f"http://127.0.0.1:{endpoint.port}{path}"
        try:
            with urllib.request.urlopen(
                urllib.request.Request(url, method=method), timeout=20
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return get


def test_metrics_are_prometheus_text(ask: Ask) -> None:
    status, body = ask("/metrics")
    assert status == 200
    assert "# TYPE scanstream_frames_total counter" in body
    assert "process_cpu_seconds_total" in body


def test_other_paths_and_methods(ask: Ask) -> None:
    assert ask("/")[0] == 404
    assert ask("/metrics", "POST")[0] == 405


def test_before_its_loop_runs_a_process_lives_and_is_not_ready(ask: Ask) -> None:
    assert ask("/healthz") == (200, '{"alive": true}\n')
    status, body = ask("/readyz")
    assert status == 503
    assert json.loads(body) == {"ready": False, "checks": {"start": "not finished"}}


def test_ready_is_what_the_checks_say(
    ask: Ask, health: Health, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "AGE_S", 0.0)
    away: list[Exception] = [ModelUnavailable("Triton does not answer"), ValueError("Doe^Jane")]

    async def triton() -> None:
        if away:
            raise away[0]

    async def broker() -> None:
        assert threading.current_thread() is not threading.main_thread()

    health.attach(loop.loop, {"broker": broker, "triton": triton})
    status, body = ask("/readyz")
    assert status == 503
    checks = json.loads(body)["checks"]
    assert checks == {"broker": "ok", "triton": "Triton does not answer"}
    away.pop(0)
    assert json.loads(ask("/readyz")[1])["checks"]["triton"] == "ValueError"
    away.clear()
    assert ask("/readyz")[0] == 200
    assert ask("/healthz")[0] == 200


def test_a_check_that_hangs_is_given_up(
    ask: Ask, health: Health, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "LIMIT_S", 0.05)
    cancelled = threading.Event()

    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    health.attach(loop.loop, {"broker": hangs})
    status, body = ask("/readyz")
    assert status == 503
    assert json.loads(body)["checks"] == {"broker": "no answer within 0.05 s"}
    assert cancelled.is_set()


def test_many_probes_ask_once(ask: Ask, health: Health, loop: Loop) -> None:
    asked = []

    async def broker() -> None:
        asked.append(1)

    health.attach(loop.loop, {"broker": broker})
    assert [ask("/readyz")[0] for _ in range(5)] == [200] * 5
    assert len(asked) < 5


def test_a_loop_that_is_stuck_is_not_alive(
    ask: Ask, health: Health, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "TURN_LIMIT_S", 0.2)
    monkeypatch.setattr(health_module, "LIMIT_S", 0.2)
    health.attach(loop.loop, {})
    assert ask("/healthz")[0] == 200
    loop.block()
    assert ask("/healthz") == (503, '{"alive": false}\n')
    assert ask("/readyz")[0] == 503
    assert ask("/metrics")[0] == 200, "what it did until then can still be read"
    loop.end()
    assert ask("/healthz")[0] == 503, "a loop that is closed turns no more"


def test_a_silent_peer_keeps_nobody_waiting(ask: Ask, endpoint: Endpoint) -> None:
    with socket.create_connection(("127.0.0.1", endpoint.port or 0)) as silent:
        silent.send(b"GET /hea")
        assert ask("/healthz")[0] == 200


def test_a_port_that_is_taken_is_refused_with_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        shown = Shown("worker", Settings(metrics_port=taken.getsockname()[1]))
        with pytest.raises(ConfigError, match="Address already in use; give each process"):
            shown.start()
    shown.close()


def test_off_by_default() -> None:
    shown = Shown("gateway", Settings())
    assert (shown.instruments, shown.spans) == (None, None)
    before = threading.active_count()
    shown.start()
    assert threading.active_count() == before
    shown.close()


async def test_a_broker_without_a_client_does_not_answer() -> None:
    with pytest.raises(ConnectionError):
        await broker_answers(None)


def test_it_ends_with_the_process(health: Health) -> None:
    endpoint = Endpoint(Settings(metrics_port=free_port()), health, Instruments("series"))
    endpoint.start()
    assert endpoint.port is not None
    endpoint.close()
    until(lambda: not any(one.name == "metrics" for one in threading.enumerate()), 5)
