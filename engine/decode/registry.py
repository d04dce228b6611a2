"""Which backend serves which transfer syntax, and what is missing where none does."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine import wire
from engine.decode import codecs
from engine.decode.backend import Backend
from engine.decode.checks import check_decoded, check_pixel_module, in_short
from engine.decode.isolated import IsolatedBackend
from engine.decode.native import NativeBackend
from engine.decode.numba_backend import BACKENDS as NUMBA_BACKENDS
from engine.errors import DecodeFailed, FrameError
from engine.messages import FrameMessage


class Availability(NamedTuple):
    """`backend` serves the syntax if `missing` is None; else that says what to install."""

    backend: str
    missing: str | None


# The first backend in the list that lacks nothing serves the syntax: the fastest measured one that
# is bit-exact goes in front (docs/decoders.md). The others are what it is checked against.
BACKENDS: tuple[Backend, ...] = (
    NativeBackend(),
    *NUMBA_BACKENDS,
    *(IsolatedBackend(one) if one.name in codecs.CRASHING else one for one in codecs.BACKENDS),
)


def available() -> dict[str, Availability]:
    """Return, for every transfer syntax UID known here, who serves it and what is missing.

    Where none can, it is the preferred one and what that needs.
    """
    found: dict[str, Availability] = {}
    for backend in BACKENDS:
        for syntax in backend.syntaxes:
            one = Availability(backend.name, backend.missing(syntax))
            if syntax not in found or (found[syntax].missing and one.missing is None):
                found[syntax] = one
    return dict(sorted(found.items()))


def decoders_of(syntax: str, samples_per_pixel: int = 1) -> list[Backend]:
    """Return the backends that can decode `syntax` here, the one that serves it first."""
    return [
        one
        for one in BACKENDS
        if _serves(one, syntax, samples_per_pixel) and one.missing(syntax) is None
    ]


def _serves(backend: Backend, syntax: str, samples_per_pixel: int) -> bool:
    return syntax in backend.syntaxes and samples_per_pixel <= backend.most_samples


def backend_for(syntax: str, samples_per_pixel: int = 1) -> Backend:
    """Return the backend that serves `syntax`; raise `DecodeFailed` saying what is missing."""
    lacking = []
    for backend in BACKENDS:
        if not _serves(backend, syntax, samples_per_pixel):
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

    Raises `DecodeFailed`: the header cannot be right, a frame over `max_frame_bytes`, a damaged or
    unknown wire codec, bytes that disagree with the header (checked before anything is allocated),
    no decoder, a decoder's error.
    """
    check_pixel_module(message.info, max_frame_bytes=max_frame_bytes)
    message = wire.opened(message)
    backend = backend_for(message.info.transfer_syntax_uid, message.info.samples_per_pixel)
    try:
        pixels = backend.decode(message)
    except FrameError:
        raise
    except Exception as error:  # codecs raise anything
        raise DecodeFailed(f"{backend.name} failed: {in_short(error)}") from error
    check_decoded(pixels, message.info)
    return pixels
