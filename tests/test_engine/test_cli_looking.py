"""The commands that let people look inside: `config show`, `model list`, `results --follow`."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from result_records import result
from rich.console import Console

from engine.cli import main
from engine.cli.config import MASK
from engine.cli.live import LATEST, LiveResults
from engine.config import SECRETS, Settings
from engine.local.broker import Broker
from engine.local.stack import MODELS
from engine.messages import RESULTS
from streams import topics

NOWHERE = "127.0.0.1:9"
CHECKOUT = MODELS.parents[1]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def shown(capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[object, str]]:
    assert main(["config", "show", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["settings"]
    return {one["name"]: (one["value"], one["source"]) for one in told}


def test_config_shows_every_setting_and_its_source(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "scanstream.toml").write_text('broker = "file:1"\nstat_ae_titles = ["ER", "ICU"]\n')
    monkeypatch.setenv("SCANSTREAM_PORT", "4242")
    found = shown(capsys)
    assert list(found) == [field.name for field in fields(Settings)]
    assert found["broker"] == ("file:1", "scanstream.toml")
    assert found["stat_ae_titles"] == (["ER", "ICU"], "scanstream.toml")
    assert found["port"] == (4242, "SCANSTREAM_PORT")
    assert found["store"] == ("var/store", "default")
    assert found["routes"] == (None, "default")
    assert main(["config", "show"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(found)
    assert any(line.split() == ["port", "4242", "SCANSTREAM_PORT"] for line in lines)


def test_config_never_shows_a_password(monkeypatch, capsys) -> None:
    monkeypatch.setenv("SCANSTREAM_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    monkeypatch.setenv("SCANSTREAM_SASL_USERNAME", "worker")
    monkeypatch.setenv("SCANSTREAM_SASL_PASSWORD", "swordfish")
    assert main(["config", "show"]) == 0
    assert "swordfish" not in capsys.readouterr().out
    assert shown(capsys)["sasl_password"] == (MASK, "SCANSTREAM_SASL_PASSWORD")
    secret = {one.name for one in fields(Settings) if "password" in one.name and one.type == "str"}
    assert secret <= SECRETS


def test_config_refuses_a_wrong_setting(monkeypatch, capsys) -> None:
    monkeypatch.setenv("SCANSTREAM_TRIES", "0")
    assert main(["config", "show"]) == 2
    assert "`tries`" in capsys.readouterr().err


def test_models_without_a_triton(monkeypatch, capsys) -> None:
    monkeypatch.setenv("SCANSTREAM_TRITON", NOWHERE)
    assert main(["model", "list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["triton"] == {"address": NOWHERE, "answers": False, "models": None}
    (served,) = [one for one in told["models"] if one["repository"] == MODELS.name]
    weights = (MODELS / "unet-lv" / served["version"] / "model.onnx").read_bytes()
    assert served["sha256"] == hashlib.sha256(weights).hexdigest()
    assert served["size"] == len(weights)
    assert served["labels"] == ["left-ventricle-cavity"]
    assert (served["backend"], served["state"]) == ("scanstream_openvino", "unknown")


def test_the_int8_build_is_listed_for_results_carry_its_digest(
    monkeypatch, tmp_path, capsys
) -> None:
    monkeypatch.setenv("SCANSTREAM_TRITON", NOWHERE)
    folder = tmp_path / "cpu" / "m" / "1"
    folder.mkdir(parents=True)
    (folder.parent / "config.pbtxt").write_text('name: "m"')
    (folder / "model.onnx").write_bytes(b"whole")
    words = ["model", "list", "--repositories", str(tmp_path)]
    for int8 in (b"", b"small"):
        if int8:
            (folder / "model.int8.onnx").write_bytes(int8)
        assert main([*words, "--json"]) == 0
        (told,) = json.loads(capsys.readouterr().out)["models"]
        assert told["sha256"] == hashlib.sha256(b"whole").hexdigest()
        assert told["int8_sha256"] == (hashlib.sha256(int8).hexdigest() if int8 else "")
    assert main(words) == 0
    assert told["int8_sha256"] in capsys.readouterr().out


def test_a_triton_that_was_named_must_answer(capsys) -> None:
    assert main(["model", "list", "--triton", NOWHERE]) == 1
    out = capsys.readouterr()
    assert out.out == ""
    assert f"no Triton answers at {NOWHERE}" in out.err


@pytest.mark.triton
def test_models_that_triton_has_loaded(triton, tmp_path, capsys) -> None:
    assert main(["model", "list", "--json", "--triton", triton]) == 0
    told = json.loads(capsys.readouterr().out)
    (served,) = [one for one in told["models"] if one["repository"] == MODELS.name]
    assert served["state"] == "READY"
    assert told["triton"]["answers"] is True
    loaded = {key: served[key] for key in ("name", "version", "backend", "state")}
    assert loaded in told["triton"]["models"]
    other = tmp_path / "gpu" / "unet-lv"
    (other / "1").mkdir(parents=True)
    (other / "config.pbtxt").write_text('name: "unet-lv" platform: "tensorrt_plan"')
    words = ["--repositories", str(tmp_path), "--triton", triton]
    assert main(["model", "list", *words]) == 0
    assert "gpu/unet-lv version 1, tensorrt_plan, 0 bytes, in Triton: NOT LOADED" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize("config", [None, "name: 3"])
def test_no_model_repository(config, tmp_path, capsys) -> None:
    if config is not None:
        (tmp_path / "cpu" / "m" / "1").mkdir(parents=True)
        (tmp_path / "cpu" / "m" / "config.pbtxt").write_text(config)
    assert main(["model", "list", "--repositories", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("scanstream model: ")


def drawn(seen: LiveResults) -> str:
    console = Console(width=160, file=io.StringIO())
    with console.capture() as captured:
        console.print(seen.render())
    return captured.get()


def test_the_live_table_holds_the_latest_and_the_totals() -> None:
    now_ns = [1_000_000_000_000]
    seen = LiveResults(lambda: 7, clock_ns=lambda: now_ns[0])
    assert "0 results (none yet); 7 repeats dropped; 0.0 results/s" in drawn(seen)
    for number in range(1, 101):
        status = "unrouted" if number % 4 == 0 else "ok"
        seen.add(result(number, status, now_ns[0]))
    text = drawn(seen)
    assert text.count("cine") == LATEST
    assert " 81 " in text
    assert " 80 " not in text
    assert "100 results (75 ok, 25 unrouted); 7 repeats dropped; 10.0 results/s" in text
    assert "latency p50 50.5 ms, p99 99.0 ms" in text
    now_ns[0] += 11_000_000_000
    assert "; 0.0 results/s" in drawn(seen)


def test_reading_an_old_topic_shows_no_rate() -> None:
    seen = LiveResults(lambda: 7, clock_ns=lambda: 10**15)
    seen.add(result(1, "ok", 10**12))
    assert "; 0.0 results/s" in drawn(seen)


@pytest.mark.parametrize("options", [[], ["--follow"], ["--json"]])
def test_results_without_a_broker_are_one_line_of_ours(options) -> None:
    words = [sys.executable, "-m", "engine.cli", "results", "--broker", NOWHERE, *options]
    environ = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"scanstream results: cannot read {RESULTS} at {NOWHERE}")


@pytest.mark.kafka
def test_follow_draws_on_a_terminal_and_prints_lines_elsewhere(tmp_path, start_or_skip) -> None:
    server = Broker(tmp_path)
    start_or_skip(server)
    try:
        asyncio.run(publish_repeated(Settings(broker=server.address), count=30))
        words = [sys.executable, "-m", "engine.cli", "results", "--follow"]
        words += ["--broker", server.address]
        terminal, theirs = pty.openpty()
        environ = {**os.environ, "PYTHONPATH": str(CHECKOUT), "COLUMNS": "120", "LINES": "40"}
        with subprocess.Popen(words, stdout=theirs, env=environ) as live:
            os.close(theirs)
            wait_for(terminal, b"30 results (30 ok); 30 repeats dropped")
            live.terminate()
        os.close(terminal)
        with subprocess.Popen(words, stdout=subprocess.PIPE, env=environ) as plain:
            assert plain.stdout is not None
            lines = [plain.stdout.readline().decode() for _ in range(31)]
            plain.terminate()
        assert lines[0].split() == ["frame", "route", "status", "area", "mm²", "sure", "ms"]
        assert all(line.split()[1:3] == ["cine", "ok"] for line in lines[1:])
    finally:
        server.stop()


async def publish_repeated(settings: Settings, count: int) -> None:
    await topics.ensure(settings)
    producer = AIOKafkaProducer(bootstrap_servers=settings.broker)
    await producer.start()
    for number in range(1, count + 1):
        value = msgspec.json.encode(result(number, "ok", time.time_ns()))
        for _ in range(2):
            await producer.send_and_wait(RESULTS, value)
    await producer.stop()


def wait_for(terminal: int, wanted: bytes) -> None:
    """Read a terminal until it has shown `wanted`; fail after a minute."""
    seen, deadline = b"", time.monotonic() + 60
    while wanted not in seen:
        ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
        assert ready, seen[-2000:]
        seen += os.read(terminal, 65536)
