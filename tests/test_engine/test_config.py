"""Settings: where values come from, what is refused, and that each one is documented."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from engine.config import Settings
from engine.errors import ConfigError

DOCS = Path(__file__).resolve().parents[2] / "docs"
NAMES = [field.name for field in fields(Settings)]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_setting_is_documented(name: str) -> None:
    assert f"| `{name}` |" in (DOCS / "settings.md").read_text()


def test_the_order_of_sources(tmp_path: Path) -> None:
    (tmp_path / "scanstream.toml").write_text('broker = "file:1"\ntriton = "file:1"\nport = 4242\n')
    env = {"SCANSTREAM_BROKER": "env:1", "SCANSTREAM_TRITON": "env:1"}
    found = Settings.load(env, broker="given:1")
    assert (found.broker, found.triton, found.port) == ("given:1", "env:1", 4242)


def test_settings_survive_the_way_to_a_child_process() -> None:
    settings = Settings(stat_ae_titles=("ER", "ICU"), store=Path("x"), max_wait_ms=2.5)
    assert Settings.load(settings.as_environ()) == settings


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"SCANSTREAM_BROKER": "::bad::"}, "broker"),
        ({"SCANSTREAM_TRITON": "triton"}, "triton"),
        ({"SCANSTREAM_PORT": "many"}, "port"),
        ({"SCANSTREAM_PORT": "70000"}, "port"),
        ({"SCANSTREAM_TRIES": "0"}, "tries"),
        ({"SCANSTREAM_PRECISION": "fp8"}, "precision"),
        ({"SCANSTREAM_PREPROCESS": "opencv"}, "preprocess"),
        ({"SCANSTREAM_AE_TITLE": "x" * 17}, "ae_title"),
        ({"SCANSTREAM_LOG_LEVEL": "loud"}, "log_level"),
    ],
)
def test_a_wrong_value_names_its_setting(environ: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError, match=f"`{named}`"):
        Settings.load(environ)


def test_an_unknown_setting_in_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scanstream.toml").write_text('borker = "x:1"\n')
    with pytest.raises(ConfigError, match="borker"):
        Settings.load({})


def test_a_file_that_is_not_there_or_not_toml(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        Settings.load({"SCANSTREAM_CONFIG": str(tmp_path / "none.toml")})
    (tmp_path / "scanstream.toml").write_text("= nothing")
    with pytest.raises(ConfigError, match="not valid TOML"):
        Settings.load({})
