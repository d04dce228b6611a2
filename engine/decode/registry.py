"""Which backend serves which transfer syntax, and what is missing where none does."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from engine.decode.checks import check_decoded, check_pixel_module, in_short
from engine.decode.isolated import IsolatedBackend
from engine.decode.native import NativeBackend
from engine.decode.pydicom_backend import BACKENDS as PYDICOM_BACKENDS
from engine.errors import DecodeFailed, FrameError
from engine.messages import FrameMessage


class Backend(Protocol):
    """One decoder. Add one by writing a module like `native.py` and naming it in `BACKENDS`."""

    @property
    def name(self) -> str:
        """What `scanstream inspect` calls it."""

    @property
    def syntaxes(self) -> frozenset[str]:
        """Transfer syntax UIDs that it serves."""

    def missing(self, syntax: str) -> str | None:
        """Return what to install before `syntax` can be decoded, or None if it can be now."""

    def decode(self, message: FrameMessage) -> np.ndarray:
        """Return stored values; raise `DecodeFailed` or whatever the codec raises."""


class Availability(NamedTuple):
    """`backend` serves the syntax if `missing` is None; else that says what to install."""

    backend: str
    missing: str | None


# The first backend in the list that lacks nothing serves the syntax: faster ones go in front.
BACKENDS: tuple[Backend, ...] = (
    NativeBackend(),
    *(IsolatedBackend(one) if one.name == "gdcm" else one for one in PYDICOM_BACKENDS),
)


def available() -> dict[str, Availability]:
    """Return, for every transfer syntax UID known here, who serves it and what is missing."""
    found: dict[str, Availability] = {}
    for backend in BACKENDS:
        for syntax in backend.syntaxes:
            if syntax not in found or found[syntax].missing is not None:
                found[syntax] = Availability(backend.name, backend.missing(syntax))
    return dict(sorted(found.items()))


def backend_for(syntax: str) -> Backend:
    """Return the backend that serves `syntax`; raise `DecodeFailed` saying what is missing."""
    lacking = []
    for backend in BACKENDS:
        if syntax not in backend.syntaxes:
            continue
        missing = backend.missing(syntax)
        if missing is None:
            return backend
        lacking.append(missing)
    if lacking:
        raise DecodeFailed(f"no decoder for transfer syntax {syntax}: {'; or '.join(lacking)}")
    raise DecodeFailed(f"transfer syntax {syntax} is not supported")


def decode(message: FrameMessage, *, max_frame_bytes: int) -> np.ndarray:
    """Return the stored values of one frame, before any rescale, colour or lookup transform.

    The array is `(rows, columns)`, or `(rows, columns, samples)` with samples interleaved whatever
    the planar configuration; its dtype follows BitsAllocated and PixelRepresentation (bits become
    uint8) in this machine's byte order; it may be a read-only view of `message.value`. Values have
    no bits set above HighBit but the sign's (PS3.5 8.1.1); YBR_FULL_422 is expanded.

    Raises `DecodeFailed`: the header cannot be right, a frame over `max_frame_bytes`, bytes that
    disagree with the header (checked before anything is allocated), no decoder, a decoder's error.
    """
    if message.codec != "none":
        raise DecodeFailed("the header x-codec names a codec that this version does not know")
    check_pixel_module(message.info, max_frame_bytes=max_frame_bytes)
    backend = backend_for(message.info.transfer_syntax_uid)
    try:
        pixels = backend.decode(message)
    except FrameError:
        raise
    except Exception as error:  # codecs raise anything
        raise DecodeFailed(f"{backend.name} failed: {in_short(error)}") from error
    check_decoded(pixels, message.info)
    return pixels
