"""Codestreams declared to have 16 bits: exact in decoders that know nothing of it."""

from __future__ import annotations

import imagecodecs
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decode import decode
from engine.errors import DecodeFailed
from engine.preprocess.sixteen_bits import declare_sixteen_bits, stored_values
from tests.test_engine.lossless import HTJ2K, JPEG_2000, JPEG_LOSSLESS, compressed

CAPS = {"max_frame_bytes": 2**24}
DECODERS = {
    JPEG_2000: imagecodecs.jpeg2k_decode,
    HTJ2K: imagecodecs.htj2k_decode,
    JPEG_LOSSLESS: imagecodecs.ljpeg_decode,
}


@given(
    bits=st.integers(2, 16),
    signed=st.booleans(),
    seed=st.integers(0, 99),
    syntax=st.sampled_from(sorted(DECODERS)),
)
@settings(max_examples=60, deadline=None)
def test_every_depth_and_sign_comes_back(bits: int, signed: bool, seed: int, syntax: str) -> None:
    rng = np.random.default_rng(seed)
    size = 1 if bits <= 8 else 2
    pixels = rng.integers(0, 2**bits, (21, 34)) - signed * 2 ** (bits - 1)
    pixels = pixels.astype(f"{'ui'[signed]}{size}")
    if syntax == HTJ2K:
        bits = 8 * size  # imagecodecs' encoder knows no other depths
    if syntax == JPEG_LOSSLESS:
        if size == 1 or bits < 9:
            return  # its decoder here gives 16 bits only
        pixels = (pixels.view(np.uint16) & (2**bits - 1)).view(pixels.dtype)
    message = compressed(pixels, syntax, bits)
    declared = declare_sixteen_bits(message, **CAPS)
    assert declared is not None
    stream, added = declared
    decoded = DECODERS[syntax](stream)
    assert decoded.dtype == np.uint16
    got = stored_values(decoded, message.info, added)
    want = decode(message, **CAPS)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)


def test_what_cannot_be_exact_is_left_to_the_host() -> None:
    pixels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    whole = compressed(pixels, JPEG_2000, 16)
    lossy = imagecodecs.jpeg2k_encode(pixels, level=40, reversible=False, codecformat="j2k")
    at = whole.value.index(b"\xff\x52")
    override = b"\xff\x53\x00\x09\x00\x00\x01\x04\x04\x00\x01"  # COC: component 0, 9-7
    for value in (lossy, whole.value[:at] + override + whole.value[at:]):
        assert declare_sixteen_bits(msgspec.structs.replace(whole, value=value), **CAPS) is None
    native = msgspec.structs.replace(whole.info, transfer_syntax_uid="1.2.840.10008.1.2.1")
    assert declare_sixteen_bits(msgspec.structs.replace(whole, info=native), **CAPS) is None


@pytest.mark.parametrize("syntax", sorted(DECODERS))
def test_a_header_that_decode_refuses_is_refused(syntax: str) -> None:
    whole = compressed(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64), syntax, 16)
    for value in (b"", whole.value[:60], b"\xff" * 100, whole.value[:-8]):
        broken = msgspec.structs.replace(whole, value=value)
        with pytest.raises(DecodeFailed):
            declare_sixteen_bits(broken, **CAPS)
    tall = msgspec.structs.replace(whole, info=msgspec.structs.replace(whole.info, rows=65))
    with pytest.raises(DecodeFailed):
        declare_sixteen_bits(tall, **CAPS)
    with pytest.raises(DecodeFailed, match="max_frame_bytes"):
        declare_sixteen_bits(whole, max_frame_bytes=100)
