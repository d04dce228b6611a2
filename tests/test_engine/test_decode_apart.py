"""Decoders in a process of their own, compiled ahead, and what the doctor says of them."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from frame_messages import message_of

from engine.cli import doctor
from engine.decode import decoders_of, imagecodecs_backend, warm
from engine.decode.isolated import IsolatedBackend
from engine.decode.pydicom_backend import PydicomBackend
from engine.errors import DecodeFailed

JPEG = "1.2.840.10008.1.2.4."


def isolated() -> IsolatedBackend:
    (backend,) = (one for one in decoders_of(f"{JPEG}201") if isinstance(one, IsolatedBackend))
    return backend


def test_an_isolated_decoder_grows_its_slate_and_tells_its_errors() -> None:
    rng = np.random.default_rng(7)
    for side in (16, 400, 64):
        pixels = rng.integers(0, 4096, (side, side)).astype(np.uint16)
        value = imagecodecs.htj2k_encode(pixels, reversible=True)
        message = message_of(value, pixels, f"{JPEG}201", 16)
        got = isolated().decode(message)
        np.testing.assert_array_equal(got, pixels)
        assert got.flags.writeable
    with pytest.raises(DecodeFailed, match="not a JPEG 2000 codestream"):
        isolated().decode(message_of(b"\x00" * 64, pixels, f"{JPEG}201", 16))


def test_a_child_that_served_a_large_frame_is_let_go(monkeypatch) -> None:
    pixels = np.zeros((64, 64), np.uint16)
    value = imagecodecs.htj2k_encode(pixels, reversible=True)
    backend = isolated()
    backend.close()
    monkeypatch.setattr("engine.decode.isolated._KEPT_BYTES", 4096)
    backend.decode(message_of(value, pixels, f"{JPEG}201", 16))
    assert backend._idle.empty()


def test_warm_decodes_what_is_compiled() -> None:
    warm()


def test_the_doctor_says_which_transfer_syntaxes_lack_what(monkeypatch) -> None:
    assert doctor.decoders().state == "ok"
    monkeypatch.setattr(imagecodecs_backend, "imagecodecs", None)
    assert doctor.decoders().state == "ok"  # pydicom's plug-ins serve
    monkeypatch.setattr(PydicomBackend, "missing", lambda self, syntax: f"install {self.package}")
    found = doctor.decoders()
    assert found.state == "absent"
    assert f"{JPEG}90" in found.found
    assert f"{JPEG}80" not in found.found  # ours
    assert found.cure == "install the package imagecodecs"
