"""The bounds within which every hostile object is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from pydicom import config
from watching import little_memory

from engine.quiet import silence_dicom_libraries

MIB = 1024 * 1024


@pytest.fixture
def quiet_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway's process is quiet; and pydicom must let the tests build what is wrong."""
    for mode in ("reading_validation_mode", "writing_validation_mode"):
        monkeypatch.setattr(config.settings, mode, config.IGNORE)
    silence_dicom_libraries()


@pytest.fixture
def quick_and_small() -> Iterator[None]:
    """Every refusal takes less than 5 s of a processor, and 256 MiB over rest."""
    started = time.thread_time()
    with little_memory(256 * MIB):
        yield
    assert time.thread_time() - started < 5
