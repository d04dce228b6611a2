"""The documents keep their word: commands, options, settings and tables are those of the code."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import msgspec
import numpy as np
import pytest
from pynetdicom import AllStoragePresentationContexts
from result_records import result

from engine.cli import COMMANDS, main, parser_of
from engine.config import Settings
from engine.decode import available
from engine.ingest import header, intake, scp
from engine.ingest.syntaxes import SYNTAXES
from engine.messages import Finding
from engine.postprocess.masks import encode_mask
from perf.__main__ import parser as perf_parser

CHECKOUT = Path(__file__).resolve().parents[2]
DOCS = CHECKOUT / "docs"
PAGES = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
COMMAND_PAGES = [DOCS / "commands.md", *sorted(DOCS.glob("quickstart-*.md"))]
# not ours: DCMTK's programs, and what every shell has
FOREIGN = frozenset({"cp", "echoscu", "storescu", "head"})


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), flags=re.DOTALL)


def rows(page: Path, heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading, its head left out."""
    section = page.read_text().split(f"## {heading}\n", 1)[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines[2:]]


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Yield page and words of every line of every shell block; NAME=VALUE in front is dropped."""
    for page in PAGES:
        for line in "".join(blocks(page, "sh")).splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            if words:
                yield page.name, words


def sub_commands(name: str) -> list[str]:
    """Return the actions of a command that has some, such as `list` of `model`."""
    choices = [action.choices for action in parser_of(name)._actions if action.choices]
    return [action for found in choices if isinstance(found, dict) for action in found]


@pytest.mark.parametrize(
    ("page", "words"),
    list(command_lines()),
    ids=lambda value: " ".join(value)[:60].replace("/", "."),
)
def test_every_command_in_the_documents_exists(page: str, words: list[str]) -> None:
    program, *rest = words[0].removeprefix(".venv/bin/"), *words[1:]
    if program == "scanstream":
        parser_of(rest[0]).parse_args(rest[1:])
    elif program == "make":
        targets = re.findall(r"^([a-z]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
        assert rest[0] in targets
    elif program == "python":
        assert rest[0] == "-m"
        if rest[1] == "perf":
            perf_parser().parse_args(rest[2:])
        else:
            assert rest[1] == "streams"
            assert f'"{rest[2]}"' in (CHECKOUT / "streams" / "__main__.py").read_text()
    else:
        assert program in FOREIGN, f"{page}: {program}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name: str) -> None:
    text = "\n".join(page.read_text() for page in COMMAND_PAGES)
    for words in [f"{name} {action}" for action in sub_commands(name)] or [name]:
        assert f"`scanstream {words}" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_an_example_that_parses(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.startswith("example: ")
    words = shlex.split(last.removeprefix("example: "))
    at = words.index("scanstream")
    assert words[at + 1] == name
    parser_of(name).parse_args(words[at + 2 :])


def test_the_list_of_commands_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)
    assert "example: scanstream " in out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_in_the_documents_exist(page: Path) -> None:
    names = {field.name for field in fields(Settings)}
    variables = {name.lower() for name in re.findall(r"SCANSTREAM_([A-Z_]+)", page.read_text())}
    assert variables <= names | {"config", "ready_file"}
    for block in blocks(page, "toml"):
        assert set(re.findall(r"^(\w+) = ", block, re.MULTILINE)) <= names | {
            "name", "match", "chain", "model", "features",  # a route's
        }  # fmt: skip


def test_the_overview_links_every_page() -> None:
    linked = set(re.findall(r"\]\(([^)#]+)", (DOCS / "index.md").read_text()))
    pages = {page.name for page in DOCS.glob("*.md")} - {"index.md"}
    schemas = {f"schemas/{page.name}" for page in (DOCS / "schemas").glob("*.json")}
    assert pages | schemas <= linked
    assert "docs/index.md" in (CHECKOUT / "README.md").read_text()


def test_json_in_the_documents_is_json() -> None:
    for page in PAGES:
        for block in blocks(page, "json"):
            json.loads(block)


def test_the_developers_mask_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = np.random.default_rng(0).random((5, 7)) < 0.5
    finding = Finding(
        label="lv", pixels=int(inside.sum()), area_mm2=None, centroid=(0, 0), confidence=1.0
    )
    one = result(1, "ok", 0)
    told = msgspec.structs.replace(one, findings=[finding], masks=[encode_mask(inside, "lv")])
    (tmp_path / "out" / "demo").mkdir(parents=True)
    (tmp_path / "out" / "demo" / "results.jsonl").write_bytes(msgspec.json.encode(told) + b"\n")
    monkeypatch.chdir(tmp_path)
    (block,) = blocks(DOCS / "quickstart-developer.md", "python")
    names: dict[str, np.ndarray] = {}
    exec(block, names)
    np.testing.assert_array_equal(names["inside"], inside)


CONFORMANCE = DOCS / "conformance.md"


def test_transfer_syntaxes_are_those_negotiated_and_decoded() -> None:
    told = [(row[0], row[2]) for row in rows(CONFORMANCE, "Transfer syntaxes")]
    assert told == [(uid, available()[uid].backend) for uid in SYNTAXES]  # the order is negotiated


def test_sop_classes_are_those_negotiated() -> None:
    told = [row[0] for row in rows(CONFORMANCE, "SOP classes")]
    negotiated = [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
    assert sorted(told) == sorted(negotiated)


def test_statuses_are_those_answered() -> None:
    told = [int(row[0], 16) for row in rows(CONFORMANCE, "Statuses of C-STORE")]
    assert told == [
        intake.SUCCESS,
        intake.OUT_OF_RESOURCES,
        intake.MISMATCH,
        intake.CANNOT_UNDERSTAND,
    ]
    assert set(told[1:]) == set(intake.REASONS)


def test_what_an_object_must_be_is_what_is_checked() -> None:
    text = CONFORMANCE.read_text()
    assert all(name in text for name in header._SAMPLES_OF)
    assert f"{scp.PDU_BYTES:,} bytes" in text
    assert f"{scp.ACSE_TIMEOUT_S} s for the association" in text
    assert f"{Settings().gateway_silence_s:g} s without traffic" in text
