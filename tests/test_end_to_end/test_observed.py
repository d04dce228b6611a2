"""The stack as Prometheus, Kubernetes' probes and OpenTelemetry see it."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from collector import Collector, Sent, collecting
from watching import until

from engine.config import Settings
from engine.demo.run import frame_ids
from engine.local.stack import LocalStack
from engine.messages import RESULTS, Result
from engine.metrics import STAGES
from engine.phantom import Phantom, dicom_objects
from engine.results import Reader
from engine.send import send_dicom

pytestmark = [pytest.mark.kafka, pytest.mark.triton]

LIMIT_S = 60.0
DASHBOARD = Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "scanstream.json"
ROLES = ("gateway", "series", "bulk")
SERVERS = (*ROLES, "triton")  # in the order of their ports


def free_ports(count: int) -> int:
    """Return the first of `count` free ports in a row."""
    for first in range(21_000, 32_000, count):
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no free ports in a row")


@dataclass
class Seen:
    """A stack, its ports by role, and what collects its traces."""

    stack: LocalStack
    first: int
    collector: Collector

    def get(self, role: str, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.first + SERVERS.index(role)}{path}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metrics(self, role: str) -> dict[str, float]:
        lines = self.get(role, "/metrics")[1].splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def is_ready(self, role: str) -> bool:
        return self.get(role, "/readyz")[0] == 200


@pytest.fixture(scope="module")
def seen(
    tmp_path_factory: pytest.TempPathFactory, start_or_skip: Callable[[LocalStack], None]
) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("observed")
    first = free_ports(len(SERVERS))
    with collecting() as collector:
        made = LocalStack(
            folder,
            Settings(
                store=folder / "store",
                series_quiet_s=1.0,
                metrics_port=first,
                otel_endpoint=collector.address,
            ),
        )
        start_or_skip(made)
        yield Seen(made, first, collector)
        made.stop()


@pytest.fixture(scope="module")
def results(seen: Seen) -> list[Result]:
    """Send a small study; return its results."""
    objects = list(dicom_objects(Phantom(seed=71, slices=3, phases=2)))
    settings = seen.stack.settings
    assert send_dicom(objects, settings.host, settings.port).ok
    wanted = frame_ids(objects)

    async def read() -> list[Result]:
        found = {}
        async with (
            asyncio.timeout(LIMIT_S),
            Reader(settings, RESULTS, Result, follow=True) as reader,
        ):
            async for result in reader:
                found[result.frame.id] = result
                if set(found) == wanted:
                    break
        return list(found.values())

    return asyncio.run(read())


def test_every_role_lives_and_is_ready(seen: Seen) -> None:
    for role in ROLES:
        assert seen.get(role, "/healthz")[0] == 200
        until(lambda role=role: seen.is_ready(role), LIMIT_S)
    assert json.loads(seen.get("bulk", "/readyz")[1])["checks"] == {
        "broker": "ok",
        "group": "ok",
        "triton": "ok",
    }


def test_the_frames_are_counted_at_both_ends(seen: Seen, results: list[Result]) -> None:
    count = len(results)
    done = 'scanstream_frames_total{lane="bulk",status="ok"}'
    until(lambda: seen.metrics("bulk")[done] >= count, LIMIT_S)
    gateway, worker = seen.metrics("gateway"), seen.metrics("bulk")
    assert gateway['scanstream_gateway_objects_total{lane="bulk"}'] == count
    assert gateway['scanstream_gateway_frames_total{lane="bulk"}'] == count
    assert gateway["scanstream_gateway_bytes_total"] > count * 1000
    assert worker['scanstream_frame_latency_seconds_count{lane="bulk"}'] == count
    assert worker["scanstream_inflight_frames"] == 0
    assert worker['scanstream_oldest_unacknowledged_seconds{lane="bulk"}'] == 0
    spent_s = sum(
        worker[f'scanstream_stage_seconds_sum{{lane="bulk",stage="{stage}"}}'] for stage in STAGES
    )
    assert spent_s == pytest.approx(
        worker['scanstream_frame_latency_seconds_sum{lane="bulk"}'], rel=0.01
    )
    (model,) = {one.model.name for one in results if one.model}
    assert worker[f'scanstream_batch_size_sum{{model="{model}"}}'] == count
    assert worker[f'scanstream_triton_state{{model="{model}",state="closed"}}'] == 1
    until(lambda: seen.metrics("series")["scanstream_series_results_total"] >= count, LIMIT_S)
    until(lambda: seen.metrics("series")["scanstream_series_published_total"] >= 1, LIMIT_S)


def test_triton_shows_what_the_dashboard_asks_it(seen: Seen, results: list[Result]) -> None:
    found = seen.metrics("triton")
    assert sum(value for name, value in found.items() if name.startswith("nv_inference_count")) >= (
        len(results)
    )
    names = {name.partition("{")[0] for name in found}
    assert set(re.findall(r"\bnv_\w+", DASHBOARD.read_text())) <= names


def test_every_frame_is_a_trace_from_the_gateway_to_its_result(
    seen: Seen, results: list[Result]
) -> None:
    count = len(results)

    def named(name: str) -> dict[str, Sent]:
        return {span.id: span for span in list(seen.collector.spans) if span.name == name}

    # the gateway's and the worker's come on their own, within their exporters' 5 s
    until(lambda: min(len(named("accept")), len(named("release"))) == count, LIMIT_S)
    until(lambda: sum(len(one.links) for one in named("batch").values()) == count, LIMIT_S)
    by_parent = {span.parent: span for span in named("frame").values()}
    for result in results:
        _, trace, accept, _ = result.traceparent.split("-")
        assert named("accept")[accept].trace == trace
        frame = by_parent[accept]
        assert (frame.trace, frame.service) == (trace, "scanstream-worker")
        assert frame.start_ns == result.accepted_ns
        assert frame.end_ns == result.published_ns
        stages = {span.name: span for span in seen.collector.spans if span.parent == frame.id}
        assert set(stages) == set(result.stages_ms)
        for name, span in stages.items():
            took_ms = (span.end_ns - span.start_ns) / 1e6
            assert took_ms == pytest.approx(result.stages_ms[name], abs=0.01)
            assert frame.start_ns - 1e6 <= span.start_ns <= span.end_ns <= frame.end_ns + 1e6
    linked = [link for batch in named("batch").values() for link in batch.links]
    assert sorted(linked) == sorted(named("frame"))


def test_nothing_that_is_seen_names_a_patient_or_an_object(
    seen: Seen, results: list[Result]
) -> None:
    texts = [seen.get(role, "/metrics")[1] for role in ROLES]
    texts += [span.text for span in seen.collector.spans]
    shown = "\n".join(texts)
    for result in results:
        frame = result.frame
        for uid in (frame.sop_instance_uid, frame.series_instance_uid, frame.study_instance_uid):
            assert uid not in shown


def test_triton_away_makes_the_worker_unready_and_kills_nobody(
    seen: Seen, results: list[Result]
) -> None:
    """The last test: the stack ends without its Triton."""
    assert seen.is_ready("bulk")
    seen.stack.triton.kill()
    until(lambda: not seen.is_ready("bulk"), LIMIT_S)
    checks = json.loads(seen.get("bulk", "/readyz")[1])["checks"]
    assert (checks["broker"], checks["group"]) == ("ok", "ok")
    assert checks["triton"] != "ok"
    assert [seen.get(role, "/healthz")[0] for role in ROLES] == [200] * 3
    assert seen.is_ready("gateway")
    assert seen.is_ready("series")
    worker = seen.metrics("bulk")
    assert sum(value for name, value in worker.items() if 'state="closed"' in name) == 0
    seen.stack.broker.kill()
    until(lambda: not seen.is_ready("gateway"), LIMIT_S)
    until(lambda: not seen.is_ready("series"), LIMIT_S)
    assert [seen.get(role, "/healthz")[0] for role in ROLES] == [200] * 3
    for server in seen.stack.servers:
        server.kill()  # without a broker, Faust's own end waits for one until it is killed
