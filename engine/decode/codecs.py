"""The codecs that were not written here, fastest first for each transfer syntax."""

from __future__ import annotations

from engine.decode.backend import Backend
from engine.decode.imagecodecs_backend import BACKENDS as IMAGECODECS_BACKENDS
from engine.decode.pydicom_backend import BACKENDS as PYDICOM_BACKENDS

BACKENDS: tuple[Backend, ...] = (*IMAGECODECS_BACKENDS, *PYDICOM_BACKENDS)

# Those that have ended their process on a damaged frame: by an abort (GDCM 3.2.6, an assertion in
# a destructor), a segmentation fault or a loop (OpenJPH 0.26.3), a panic that is no `Exception` and
# so passes all handlers (pylibjpeg-rle 2.2.0).
CRASHING = frozenset({"gdcm", "openjph", "pylibjpeg-rle"})
