"""Hostile values of the wire codec (N6): refused in time, and before memory is taken for them."""

from __future__ import annotations

import struct
import sys
import time
import tracemalloc
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zstandard
from watching import little_memory

from engine import wire
from engine.decode import decode
from engine.errors import DecodeFailed
from engine.messages import FrameMessage

sys.path.append(str(Path(__file__).parent.parent / "test_engine"))
from frame_messages import frame

LIMIT = 256 * 1024 * 1024
MEMORY_BYTES = 16 * 1024 * 1024
ROWS, COLUMNS = 64, 96
HALF = COLUMNS // 2
PIXELS = (np.indices((ROWS, COLUMNS)).sum(axis=0) * 7).astype("<u2")


def message_of(value: bytes, **module) -> FrameMessage:
    size = {"rows": ROWS, "columns": COLUMNS, **module}
    return msgspec.structs.replace(frame(value, **size), codec=wire.DELTA_ZSTD)


def refused(value: bytes, *, match: str, **module) -> None:
    message = message_of(value, **module)
    start = time.monotonic()
    tracemalloc.start()
    try:
        with little_memory(MEMORY_BYTES), pytest.raises(DecodeFailed, match=match):
            decode(message, max_frame_bytes=LIMIT)
        assert tracemalloc.get_traced_memory()[1] < MEMORY_BYTES
    finally:
        tracemalloc.stop()
    assert time.monotonic() - start < 5


def value_of(low: bytes, high: bytes, *, version: int = 1) -> bytes:
    return struct.pack("<BLL", version, len(low), len(high)) + low + high


def zstd(content: bytes, **options) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True, **options).compress(content)


GOOD = wire.pack(message_of(b"").info, PIXELS.tobytes())
LOW, HIGH = zstd(bytes(ROWS * HALF)), zstd(bytes(3 * ROWS * HALF))


def test_the_good_one_is_read() -> None:
    got = decode(message_of(GOOD), max_frame_bytes=LIMIT)
    np.testing.assert_array_equal(got, PIXELS)
    assert not decode(message_of(value_of(LOW, HIGH)), max_frame_bytes=LIMIT).any()


def test_n6_eight_kb_that_inflate_to_256_mb() -> None:
    bomb = zstd(bytes(256 * 1024 * 1024), level=19)
    assert len(bomb) < 9 * 1024
    refused(value_of(bomb, HIGH), match="1 to 1 times 3072 bytes")
    refused(value_of(LOW, bomb), match="1 to 3 times 3072 bytes")


def test_n6_the_bomb_does_not_declare_its_size() -> None:
    context = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    silent = context.compress(bytes(64 * 1024 * 1024)) + context.flush()
    refused(value_of(silent, HIGH), match="1 to 1 times 3072 bytes")


def test_n6_the_bomb_declares_a_smaller_size() -> None:
    honest = zstd(bytes(64 * 1024 * 1024))
    assert honest[4] >> 6 == 2  # the size in four bytes, after one that says the window (RFC 8878)
    liar = honest[:6] + struct.pack("<L", ROWS * HALF) + honest[10:]
    assert zstandard.get_frame_parameters(liar).content_size == ROWS * HALF
    refused(value_of(liar, HIGH), match="damaged")


def test_n6_a_frame_of_256_mb_in_eight_kb() -> None:
    rows, columns = 16384, 8192
    refused(value_of(LOW, HIGH), match="at most", rows=rows, columns=columns)


def test_n6_half_a_plane_and_one_too_many() -> None:
    for size in (0, 1, ROWS * HALF + 1, 4 * ROWS * HALF):
        refused(value_of(LOW, zstd(bytes(size))), match="1 to 3 times 3072 bytes")
    refused(value_of(zstd(bytes(2 * ROWS * HALF)), HIGH), match="1 to 1 times 3072 bytes")


def test_n6_a_wrong_checksum() -> None:
    for at in (len(GOOD) - 1, 9 + struct.unpack_from("<L", GOOD, 1)[0] - 1):
        broken = bytearray(GOOD)
        broken[at] ^= 1
        refused(bytes(broken), match="checksum")


def test_n6_no_checksum() -> None:
    bare = zstandard.ZstdCompressor().compress(bytes(ROWS * HALF))
    refused(value_of(bare, HIGH), match="checksum")


def test_n6_an_unknown_version() -> None:
    refused(value_of(LOW, HIGH, version=2), match="version 2")


@pytest.mark.parametrize(
    "module",
    [
        {"bits_allocated": 8},
        {"samples_per_pixel": 3},
        {"transfer_syntax_uid": "1.2.840.10008.1.2.5"},
    ],
)
def test_n6_a_frame_that_the_codec_does_not_take(module) -> None:
    refused(GOOD, match="x-frame describes another", **module)


def test_n6_cut_anywhere_or_longer() -> None:
    for length in range(0, len(GOOD), max(1, len(GOOD) // 64)):
        with pytest.raises(DecodeFailed, match=r"delta-zstd\.v1"):
            decode(message_of(GOOD[:length]), max_frame_bytes=LIMIT)
    refused(GOOD + b"\0", match="not as long")
    refused(GOOD[:1] + struct.pack("<L", 2**32 - 1) + GOOD[5:], match=r"delta-zstd\.v1")


def test_n6_any_byte_wrong() -> None:
    """A damaged value is refused, or what zstd's checksum cannot tell comes out whole."""
    wrong = 0
    for at in range(len(GOOD)):
        broken = bytearray(GOOD)
        broken[at] ^= 0x55
        try:
            got = decode(message_of(bytes(broken)), max_frame_bytes=LIMIT)
        except DecodeFailed:
            continue
        wrong += not np.array_equal(got, PIXELS)
    assert wrong == 0
