"""What DALI does that is worked around, and what having it costs a process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from typing import Any

import numpy as np
import pytest
from nvidia.dali import Pipeline, fn, types
from preprocess_frames import values

import kernels
from engine.config import Settings
from engine.errors import ConfigError
from engine.local import checks
from engine.preprocess import require
from tests.test_engine.lossless import JPEG_2000, compressed
from tests.test_kernels.frames import picture


class TestTraps:
    """What DALI 2.4 does that this package works around; a later one may do without."""

    @staticmethod
    def run(definition: Callable[[Any], Any], batches: list[Any]) -> list[np.ndarray]:
        pipeline = Pipeline(
            batch_size=8, num_threads=1, device_id=None, exec_async=False, exec_pipelined=False
        )
        with pipeline:
            pipeline.set_outputs(definition(fn.external_source(name="frames")))
        pipeline.build()
        found = []
        for batch in batches:
            pipeline.feed_input("frames", batch)
            found.append(np.array(pipeline.run()[0][0]))
        return found

    def test_its_resize_is_not_the_one_that_the_model_was_trained_with(self) -> None:
        grey = picture((512, 512), dtype=np.uint8, top=255)
        (got,) = self.run(lambda x: fn.resize(x, size=(256, 256)), [[grey[..., None]]])
        want = kernels.resample(grey, shape=(256, 256))
        assert np.mean(got[..., 0] != want) > 0.05

    def test_it_decodes_no_signed_jpeg_2000_and_the_pipeline_is_lost(self) -> None:
        signed = compressed(values(12, True), JPEG_2000, 12).value
        unsigned = compressed(values(12, False), JPEG_2000, 12).value

        def decoded(stream: Any) -> Any:
            return fn.decoders.image(stream, output_type=types.ANY_DATA, dtype=types.UINT16)

        batches = [[np.frombuffer(one, np.uint8)] for one in (unsigned, signed, unsigned)]
        assert len(self.run(decoded, batches[:1])) == 1
        with pytest.raises(RuntimeError, match="no longer valid"):
            self.run(decoded, batches[:2])

    def test_it_takes_big_endian_values_for_little_endian_ones(self) -> None:
        (got,) = self.run(lambda x: x, [[np.array([1], ">u2")]])
        assert got.tolist() == [256]


class TestProcess:
    def test_it_is_imported_only_when_it_is_chosen(self) -> None:
        code = "import sys, streams.app, engine.pipeline; print('nvidia.dali' in sys.modules)"
        assert _python(code) == "False"

    def test_a_process_that_used_it_ends_cleanly(self) -> None:
        assert _python(_ONE_FRAME) == "(256, 256)"

    def test_without_it_the_setting_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "nvidia.dali", None)
        with pytest.raises(ConfigError, match=r"`preprocess`.*pip install"):
            require("dali")
        require("direct")

    @pytest.mark.parametrize(("chosen", "state"), [("dali", "missing"), ("direct", "absent")])
    def test_the_doctor_says_so_too(
        self, monkeypatch: pytest.MonkeyPatch, chosen: str, state: str
    ) -> None:
        settings = Settings(preprocess=chosen)
        assert checks._dali(settings).state == "ok"
        monkeypatch.setattr(checks.importlib, "metadata", NoPackages)
        found = checks._dali(settings)
        assert (found.state, chosen in found.found) == (state, True)
        assert "nvidia-dali" in found.cure


class NoPackages:
    """importlib.metadata where nothing is installed."""

    PackageNotFoundError = PackageNotFoundError

    @staticmethod
    def version(name: str) -> str:
        raise PackageNotFoundError(name)


_ONE_FRAME = """
import warnings
warnings.simplefilter("error")
from concurrent.futures import ThreadPoolExecutor
import numpy as np

from engine.messages import FrameInfo
from engine.preprocess.graph import Graph, Sample

info = FrameInfo(
    sop_class_uid="1", sop_instance_uid="1", study_instance_uid="1", series_instance_uid="1",
    frame_number=1, transfer_syntax_uid="1", rows=8, columns=9, bits_allocated=16, bits_stored=16,
    high_bit=15, photometric_interpretation="MONOCHROME2",
)
pool = ThreadPoolExecutor(2)
graph = Graph(threads=2, max_batch=2, device="cpu", each=pool.map)
(one,) = pool.submit(graph.run, [Sample(np.zeros((8, 9), np.uint16), info, "cine")]).result()
print(one.picture.shape)
"""


def _python(code: str) -> str:
    """Run code with warnings as errors; return what it prints. It must end well and in silence."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()
