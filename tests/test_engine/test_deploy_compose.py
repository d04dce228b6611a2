"""deploy/triton/compose.yaml: pinned, on loopback, without more rights than it needs."""

from __future__ import annotations

from typing import Any

import pytest

from engine.local.stack import MODELS

FOLDER = MODELS.parents[1] / "deploy" / "triton"


@pytest.fixture
def compose() -> Any:
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((FOLDER / "compose.yaml").read_text())


def test_the_image_is_pinned(compose: Any) -> None:
    images = {one["image"] for one in compose["services"].values()}
    (image,) = images
    name, _, tag = image.partition(":")
    assert name == "nvcr.io/nvidia/tritonserver"
    month, _, kind = tag.partition("-")
    assert kind == "py3"
    assert float(month) >= 26.05  # --allow-client-shm came with it


def test_it_listens_on_loopback(compose: Any) -> None:
    ports = compose["services"]["triton"]["ports"]
    assert ports
    assert all(one.startswith("127.0.0.1:") for one in ports)


def test_it_has_few_rights_and_bounds(compose: Any) -> None:
    service = compose["services"]["triton"]
    assert not str(service["user"]).startswith("0")
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    limits = service["deploy"]["resources"]["limits"]
    assert {"cpus", "memory", "pids"} <= set(limits)
    assert service["healthcheck"]["test"][0] == "CMD"


def test_the_volume_is_the_servers_with_all_in_it(compose: Any) -> None:
    """Another TRITON_UID than last time must be able to take the lock and replace a plan."""
    owner, triton = compose["services"]["owner"], compose["services"]["triton"]
    assert owner["command"] == ["-R", triton["user"], "/models"]


def test_what_it_mounts_is_here(compose: Any) -> None:
    mounts = [one.split(":") for one in compose["services"]["triton"]["volumes"]]
    here = {there: FOLDER / source for source, there, *_ in mounts if source.startswith(".")}
    assert set(here) == {"/source", "/entry.sh"}
    assert all(path.exists() for path in here.values())
    assert [path.resolve() for path in here.values()] == [MODELS.parent, FOLDER / "entry.sh"]
    assert all(mode == ["ro"] for source, _, *mode in mounts if source.startswith("."))
