"""Routes: what they match, and what they refuse to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError
from engine.messages import FrameInfo
from engine.routes import Routes


def info(keywords: dict[str, Any]) -> FrameInfo:
    return FrameInfo(
        sop_class_uid="1.2",
        sop_instance_uid="1.2",
        study_instance_uid="1.2",
        series_instance_uid="1.2",
        frame_number=1,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        rows=1,
        columns=1,
        bits_allocated=8,
        bits_stored=8,
        high_bit=7,
        photometric_interpretation="MONOCHROME2",
        keywords=keywords,
    )


@pytest.mark.parametrize(
    ("keywords", "route"),
    [
        ({"Modality": "MR", "CardiacNumberOfImages": 20.0}, "cine"),
        ({"Modality": "MR", "CardiacNumberOfImages": 1.0}, None),
        ({"Modality": "MR", "CardiacNumberOfImages": "twenty"}, None),
        ({"Modality": "MR"}, None),
        ({"Modality": "CT", "CardiacNumberOfImages": 20.0}, None),
        ({"Modality": ["CT", "MR"], "CardiacNumberOfImages": [20.0]}, "cine"),
        ({}, None),
    ],
)
def test_the_cine_route(keywords: dict[str, Any], route: str | None) -> None:
    found = Routes.load().of(info(keywords))
    assert (found.name if found else None) == route


def test_the_gateway_learns_which_keywords_to_send() -> None:
    assert Routes.load().keywords == {"Modality", "CardiacNumberOfImages"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[[route]]\nname="x"\nchain="c"\nmodel="m"\nmatch={PatientName="Doe"}', "identifies"),
        ('[[route]]\nname="x"\nchain="c"\nmodel="m"\nmatch={Colour="red"}', "no DICOM keyword"),
        ('[[route]]\nname="x"\nchain="c"\nmatch={}', "model"),
        ("route = 3", "array"),
        ("= 3", "setting `routes`"),
    ],
    ids=["identifying", "unknown", "no model", "not routes", "not TOML"],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        Routes.load(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        Routes.load(tmp_path / "none.toml")
