"""The README's promises: its consumer runs, its commands exist, its settings are real."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from engine.cli import COMMANDS
from engine.config import Settings
from engine.local.stack import LocalStack
from engine.messages import Result
from engine.phantom import Phantom, dicom_objects


def blocks(checkout: Path, language: str) -> list[str]:
    text = (checkout / "README.md").read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.kafka
@pytest.mark.triton
def test_the_consumer_prints_every_result_once(
    stack: LocalStack,
    send: Callable[[list[Any]], set[str]],
    results_of: Callable[[set[str]], list[Result]],
    checkout: Path,
    tmp_path: Path,
) -> None:
    objects = list(dicom_objects(Phantom(seed=31, slices=3, phases=2)))
    frames = send(objects)
    send(objects)  # a scanner that repeats itself: the same ids again
    results_of(frames)
    script = tmp_path / "consumer.py"
    (consumer,) = blocks(checkout, "python")
    script.write_text(consumer)
    environment = os.environ | {"SCANSTREAM_BROKER": stack.settings.broker}
    with subprocess.Popen(
        [sys.executable, str(script)], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen += [line.split()[0]] if line.split()[0] in frames else []
            if len(seen) == len(frames):
                break
        process.terminate()
    assert sorted(seen) == sorted(frames)


def test_every_command_in_the_readme_exists(checkout: Path) -> None:
    named = set(re.findall(r"scanstream ([a-z-]+)", "\n".join(blocks(checkout, "sh"))))
    assert named
    assert named <= set(COMMANDS)


def test_every_setting_in_the_readme_exists(checkout: Path) -> None:
    text = (checkout / "README.md").read_text()
    named = {name.lower() for name in re.findall(r"SCANSTREAM_([A-Z_]+)", text)}
    assert named <= {field.name for field in fields(Settings)} | {"config"}


def test_every_link_in_the_documents_leads_somewhere(checkout: Path) -> None:
    documents = [*checkout.glob("*.md"), *(checkout / "docs").rglob("*.md")]
    for document in documents:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
