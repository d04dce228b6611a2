"""`scanstream send`: what it tells, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dicom_objects import TEST_FILES, file_of
from gateway_process import GatewayProcess, free_port, read, small

from engine.cli import main

pytestmark = pytest.mark.kafka


def test_send_command_tells_what_was_refused(
    gateway: GatewayProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "in" / "good.dcm", tmp_path / "in" / "text.txt"
    good.parent.mkdir()
    good.write_bytes(file_of(small(1100)))
    address = f"127.0.0.1:{gateway.settings.port}"
    command = ["send", str(tmp_path / "in"), "--address", address, "--json", "--repeat", "3"]
    assert main([*command, "--rate", "50"]) == 0
    bad.write_text("not DICOM")
    assert main(command) == 1
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["sent"], first["accepted"], first["refused"]) == (3, 3, [])
    assert first["seconds"] >= 2 / 50
    assert second["accepted"] == 3
    assert {refusal["path"] for refusal in second["refused"]} == {str(bad)}


def test_send_command_publishes_to_kafka_as_the_gateway_does(
    topic_broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCANSTREAM_STORE", str(tmp_path / "store"))
    ds = small(1200)
    (tmp_path / "a.dcm").write_bytes(file_of(ds))
    assert main(["send", str(tmp_path / "a.dcm"), "--to", "kafka", "--address", topic_broker]) == 0
    (tmp_path / "b.dcm").write_text("not DICOM")
    assert main(["send", str(tmp_path / "b.dcm"), "--to", "kafka", "--address", topic_broker]) == 1
    (message,) = read(topic_broker, ds.SOPInstanceUID)
    assert message.value == ds.PixelData
    assert message.source == "/kafka/send"


@pytest.mark.parametrize("to", ["dicom", "kafka"])
def test_send_command_with_nothing_to_send(
    to: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "below").mkdir()
    assert main(["send", str(tmp_path), "--to", to, "--json"]) == 1
    out = capsys.readouterr()
    assert out.out == ""
    assert out.err == f"scanstream send: no files in {tmp_path}\n"


def test_send_command_without_a_gateway(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(TEST_FILES / "CT_small.dcm")
    assert main(["send", path, "--address", f"127.0.0.1:{free_port()}"]) == 1
    assert "is a gateway there?" in capsys.readouterr().err
    assert main(["send", path, "--address", "nowhere"]) == 2
    assert main(["send", path + ".absent"]) == 2
