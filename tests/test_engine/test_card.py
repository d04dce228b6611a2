"""The model card: what is generated, what stays, and that the committed page can be generated."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.cli import main
from engine.errors import ConfigError
from engine.training import card, pictures
from engine.training.data import HELD_OUT
from engine.training.evaluate import Score, Scored

PAGE = Path(__file__).resolve().parents[2] / "docs" / "model-card.md"
PARTS = ("model", "split", "curves", "dice", "examples", "ejection", "widths", "builds")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A card with every mark, in a folder of its own."""
    path = tmp_path / "docs" / "model-card.md"
    path.parent.mkdir()
    marks = "\n".join(f"## {name}\n<!-- {name} -->\nold\n<!-- /{name} -->" for name in PARTS)
    path.write_text(f"Written by people.\n{marks}\nAlso by people.\n")
    return path


def evaluation() -> dict[str, Any]:
    """Return what `evaluate --out` writes of squares, each found two columns too wide."""
    slices = []
    for number, subject in enumerate(HELD_OUT):
        true = np.zeros((64, 64), np.uint8)
        true[20 : 24 + 4 * number, 20:30] = 1
        found = true.copy()
        found[20 : 24 + 4 * number, 30:32] = 1
        name = f"{subject}-IM-0001-0001.dcm.png"
        slices.append(Scored(name=name, subject=subject, found=found, true=true))
    score = Score(slices=tuple(slices), seconds=1.0)
    fraction = {"name": "phantom 65 %", "kind": "phantom", "true": 65.0, "found": 58.0}
    return {
        **score.as_json(model="lv", version="3", precision="int8"),
        "by_slice": [one.as_json() for one in slices],
        "ejection_fractions": [{**fraction, "error": -7.0, "slices": 12, "within": False}],
    }


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the pictures, seconds each, where the test is of words."""
    for name in ("curves", "subjects", "areas", "examples", "fractions"):
        monkeypatch.setattr(pictures, name, lambda *_: None)


HISTORY = {
    "plan": {"seed": 1, "width": 16, "levels": 5, "patch": 2},
    "parameters": 1_234_567,
    "threshold": 0.5,
    "notes": {"subjects": "A B C"},
    "epoch": 2,
    "history": [
        {"epoch": 1.0, "loss": 1.5},
        {"epoch": 2.0, "loss": 1.25, "dice": 0.875, "worst": 0.75, "pooled": 0.9},
    ],
}
WIDTHS = {
    "machine": "two cores",
    "command": "measured so",
    "points": [
        {"name": "width 8", "parameters": 9, "mean_dice": 0.8, "frames_per_second": 300.0},
        {
            **{"name": "width 16", "parameters": 10, "mean_dice": 0.9},
            **{"frames_per_second": 100.0, "served": True},
        },
    ],
}
BUILD = {
    **{"target": "openvino", "precision": "int8", "sha256": "ab" * 32},
    "check": {"subjects": ["A", "B"], "slices": 40},
    "dice": {"lost": 0.0012, "most_lost": 0.004, "alike": 0.9932},
}


def test_the_command_fills_every_part(page: Path, tmp_path: Path) -> None:
    files = {"history": HISTORY, "evaluation": evaluation(), "widths": WIDTHS, "build": BUILD}
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    weights = tmp_path / "lv" / "3" / "model.onnx"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    evaluated = str(tmp_path / "evaluation.json")
    words = ["--page", str(page), "--run", str(tmp_path), "--evaluation", evaluated]
    words += ["--widths", str(tmp_path / "widths.json"), "--weights", str(weights)]
    assert main(["model", "card", *words, "--builds", str(tmp_path / "build.json")]) == 0
    text = page.read_text()
    assert text.startswith("Written by people.")
    assert text.endswith("Also by people.\n")
    assert "\nold\n" not in text
    for told in (
        *("1,234,567 parameters", "`lv/3/model.onnx`", "held out, int8", "**no**", "| 0.8750 |"),
        *("**width 16**", "2 subjects, 40 slices", "+0.0012", "0.9932"),
    ):
        assert told in text
    linked = set(re.findall(r"\]\(model-card/(\w+\.png)\)", text))
    drawn = {path.name: path for path in (page.parent / "model-card").iterdir()}
    assert linked == set(drawn)
    for path in drawn.values():
        assert np.asarray(Image.open(path).convert("L")).std() > 5  # something is on it


@pytest.mark.usefixtures("undrawn")
def test_a_part_without_files_stays(page: Path) -> None:
    card.write(page, page.with_suffix(""), card.Inputs(runs={"run": HISTORY}))
    text = page.read_text()
    assert text.count("\nold\n") == len(PARTS) - 1
    again = text
    card.write(page, page.with_suffix(""), card.Inputs(runs={"run": HISTORY}))
    assert page.read_text() == again


@pytest.mark.usefixtures("undrawn")
def test_the_worst_slices_come_first(page: Path) -> None:
    worse = evaluation()
    worse["by_slice"][3]["dice"] = 0.01
    card.write(page, page.with_suffix(""), card.Inputs(evaluations=[worse]))
    rows = [line for line in page.read_text().splitlines() if line.startswith("| SC-HF-I-05-IM")]
    assert len(rows) == 1
    part = page.read_text().split("<!-- examples -->")[1]
    first = next(line for line in part.splitlines() if line.startswith("| SC-"))
    assert first == rows[0]


def test_what_was_trained_on_is_not_called_held_out() -> None:
    assert card.use_of(evaluation()) == "held out"
    seen = {**evaluation(), "trained_on": list(HELD_OUT[:2])}
    assert card.use_of(seen) == "5 subjects, 2 trained on"


@pytest.mark.usefixtures("undrawn")
def test_a_wrong_label_is_told(page: Path) -> None:
    rest = {"mislabelled": ["X"], "mean_dice": 0.91, "worst_dice": 0.85, "pooled_dice": 0.93}
    told = {**evaluation(), "without_mislabelled": rest}
    card.write(page, page.with_suffix(""), card.Inputs(evaluations=[told]))
    assert "Without X, whose labels lie beside the cavity: mean 0.9100" in page.read_text()


def test_grey_pictures_are_drawn_elsewhere(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = evaluation()
    grey = {row["name"]: np.full((64, 64), 90, np.uint8) for row in told["by_slice"]}
    for name in ("subjects", "areas", "fractions"):
        monkeypatch.setattr(pictures, name, lambda *_: None)
    monkeypatch.setattr(pictures, "EACH", 1)
    full = tmp_path / "out"
    card.write(page, page.with_suffix(""), card.Inputs(evaluations=[told], grey=grey), full)
    assert [path.name for path in full.iterdir()] == ["examples.png"]
    plain = np.asarray(Image.open(page.with_suffix("") / "examples.png").convert("L"))
    drawn = np.asarray(Image.open(full / "examples.png").convert("L"))
    assert (plain == 255).mean() > (drawn == 255).mean()


@pytest.mark.usefixtures("undrawn")
def test_what_cannot_be_used_is_named(
    page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page.write_text("no marks")
    with pytest.raises(ConfigError, match="<!-- curves -->"):
        card.write(page, page.with_suffix(""), card.Inputs(runs={"run": HISTORY}))
    absent = tmp_path / "nothing.json"
    assert main(["model", "card", "--page", str(page), "--widths", str(absent)]) == 2
    assert "nothing.json cannot be read as JSON" in capsys.readouterr().err
    runs = ["--run", str(tmp_path / "a" / "fold-1"), "--run", str(tmp_path / "b" / "fold-1")]
    assert main(["model", "card", "--page", str(page), *runs]) == 2
    assert "hide each other" in capsys.readouterr().err


def test_every_run_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where there are more runs than colours."""
    drawn: list[list[str]] = []

    def keep(figure: Any, _: Path) -> None:
        drawn.append([line.get_label() for line in figure.axes[0].lines])
        pictures.plt.close(figure)

    monkeypatch.setattr(pictures, "_save", keep)
    names = [f"run {number}" for number in range(len(pictures.COLOURS) + 2)]
    pictures.curves(dict.fromkeys(names, HISTORY["history"]), tmp_path / "curves.png")
    assert drawn == [names]


def test_the_committed_card_has_every_mark_and_picture() -> None:
    text = PAGE.read_text()
    for name in PARTS:
        assert card.put(text, name, [])
    for picture in re.findall(r"\]\((model-card/\w+\.png)\)", text):
        assert (PAGE.parent / picture).is_file()
