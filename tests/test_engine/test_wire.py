"""The wire codec: every bit comes back, only frames that gain by it pass, ingest to decode."""

from __future__ import annotations

import re
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zstandard
from dicom_objects import BIG_ENDIAN, EXPLICIT, IMPLICIT, RLE, build, encode
from frame_messages import frame, messages_of
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom import dcmread
from pydicom.data import get_testdata_file

from engine import wire
from engine.config import Settings
from engine.decode import decode
from engine.errors import DecodeFailed
from engine.ingest.frames import Origin, messages
from engine.ingest.validate import Instance, read_instance
from engine.messages import FrameInfo, FrameMessage

ROOT = Path(__file__).parents[2]
CAP = 64 * 1024 * 1024


class Kept(dict[str, bytes]):
    """A store in memory."""

    def put(self, key: str, data: bytes) -> str:
        self[key] = data
        return "stored"


def info_of(pixels: np.ndarray, **given: Any) -> FrameInfo:
    big = pixels.dtype.byteorder == ">"
    rows, columns = pixels.shape
    module = {"transfer_syntax_uid": BIG_ENDIAN if big else EXPLICIT, **given}
    return frame(b"", rows=rows, columns=columns, **module).info


def smooth(rows: int, columns: int, dtype: str = "<i2", seed: int = 0) -> np.ndarray:
    """Return a picture with the slopes and the noise of a scan."""
    y, x = np.mgrid[:rows, :columns]
    noise = np.random.default_rng(seed).normal(0, 6, (rows, columns))
    return (800 * np.sin(x / 40) * np.cos(y / 50) + noise).astype(dtype)


def there_and_back(pixels: np.ndarray, **given: Any) -> bytes:
    info = info_of(pixels, **given)
    return bytes(wire.unpack(info, wire.pack(info, pixels.tobytes())))


def instance_of(pixels: np.ndarray, frames: int = 1, syntax: str = EXPLICIT) -> Instance:
    rows, columns = pixels.shape
    ds = build(
        Rows=rows // frames,
        Columns=columns,
        NumberOfFrames=frames,
        PixelRepresentation=1,
        BitsStored=16,
        HighBit=15,
        PixelData=pixels.astype(">i2" if syntax == BIG_ENDIAN else "<i2").tobytes(),
    )
    return read_instance(encode(ds, syntax), syntax)


def sent(instance: Instance, store: Kept, **given: Any) -> list[FrameMessage]:
    origin = Origin.now("/dicom/CT01", "bulk", Settings())
    options = {"inline_limit": 1 << 20, "wire_codec": "auto", **given}
    return list(messages(instance, origin, store=store, **options))


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    data=st.data(),
    bits=st.integers(1, 16),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    dtype=st.sampled_from(["<u2", ">u2", "<i2", ">i2"]),
)
def test_every_bit_comes_back(
    data: st.DataObject, bits: int, shape: tuple[int, int], dtype: str
) -> None:
    least = -(1 << bits - 1) if dtype[1] == "i" else 0
    stored = st.integers(least, least + (1 << bits) - 1)
    pixels = data.draw(arrays(np.dtype(dtype), shape, elements=stored))
    assert there_and_back(pixels, bits_stored=bits) == pixels.tobytes()


def test_bits_above_high_bit_travel() -> None:
    pixels = np.random.default_rng(2).integers(0, 65536, (30, 31)).astype("<u2")
    assert there_and_back(pixels, bits_stored=12) == pixels.tobytes()


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_from_ingest_to_decode(syntax: str) -> None:
    pixels = smooth(3 * 130, 129)
    store = Kept()
    frames = sent(instance_of(pixels, 3, syntax), store)
    assert [one.codec for one in frames] == 3 * [wire.DELTA_ZSTD]
    assert sum(len(one.value) for one in frames) < 0.7 * pixels.nbytes
    assert not store
    read = [FrameMessage.from_kafka(value, headers) for _, value, headers in map(_wired, frames)]
    got = [decode(one, max_frame_bytes=CAP) for one in read]
    np.testing.assert_array_equal(np.concatenate(got), pixels)


def _wired(message: FrameMessage) -> tuple[bytes, bytes, Any]:
    return message.to_kafka()


def test_a_claim_checks_value_is_as_in_the_object() -> None:
    pixels, store = smooth(128, 128), Kept()
    (one,) = sent(instance_of(pixels), store, inline_limit=1000)
    assert (one.codec, one.value) == ("none", b"")
    assert list(store.values()) == [pixels.tobytes()]


def test_setting_none_sends_frames_as_they_are() -> None:
    pixels = smooth(128, 128)
    (one,) = sent(instance_of(pixels), Kept(), wire_codec="none")
    assert (one.codec, one.value) == ("none", pixels.tobytes())


@pytest.mark.parametrize(
    "name",
    ["CT_small.dcm", "MR_small.dcm", "MR_small_bigendian.dcm", "emri_small_big_endian.dcm"],
)
def test_files_of_pydicom(name: str) -> None:
    for message in messages_of(dcmread(get_testdata_file(name))):
        packed = wire.pack(message.info, message.value)
        assert len(packed) < len(message.value)
        coded = msgspec.structs.replace(message, codec=wire.DELTA_ZSTD, value=packed)
        assert wire.opened(coded).value == message.value
        assert wire.opened(message) is message


def test_frames_that_gain_nothing_travel_as_they_are() -> None:
    pixels = smooth(100, 100)
    value = pixels.tobytes()
    assert wire.encode(info_of(pixels), value).codec == wire.DELTA_ZSTD
    noise = np.random.default_rng(3).integers(0, 65536, (100, 100)).astype("<u2")
    for info, bytes_of in (
        (info_of(noise), noise.tobytes()),  # does not shrink
        (info_of(pixels[:40]), value[: 40 * 200]),  # small
        (info_of(pixels), value + b"\0"),  # not the length that the header promises
        (info_of(pixels[:, :50], bits_allocated=32), value),
        (info_of(pixels, bits_allocated=8, bits_stored=8), value[:10_000] * 2),
        (info_of(pixels, samples_per_pixel=3), 3 * value),
        (info_of(pixels, transfer_syntax_uid=RLE), value),
    ):
        assert wire.encode(info, bytes_of) == ("none", bytes_of)


def test_threads_do_not_share_contexts() -> None:
    pictures = [smooth(200, 201, seed=seed) for seed in range(16)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(there_and_back, pictures)) == [one.tobytes() for one in pictures]


def test_a_header_that_lies_allocates_nothing() -> None:
    """Room is kept from frame to frame, and made once both zstd frames declare what they need."""
    pixels = smooth(40, 40)
    value = wire.pack(info_of(pixels), pixels.tobytes())
    lie = msgspec.structs.replace(info_of(pixels), rows=5792, columns=5792)

    def room() -> int:
        with pytest.raises(DecodeFailed, match="does not declare"):
            wire.unpack(lie, value)
        return wire._contexts.planes.size

    with ThreadPoolExecutor(1) as fresh:
        assert fresh.submit(room).result() == 0


def test_an_unknown_codec_is_refused() -> None:
    message = msgspec.structs.replace(frame(bytes(8), rows=2, columns=2), codec="delta-zstd.v9")
    with pytest.raises(DecodeFailed, match="x-codec"):
        decode(message, max_frame_bytes=CAP)


def test_the_documented_reader_reads_it() -> None:
    text = (ROOT / "docs/topics.md").read_text()
    (code,) = re.findall(r"```python\n(low, high.*?)```", text, re.DOTALL)
    pixels = smooth(33, 41, "<u2")
    value = wire.pack(info_of(pixels), pixels.tobytes())
    (length,) = struct.unpack_from("<L", value, 1)
    size = {"rows": 33, "columns": 41, "half": 21, "length": length}
    names: dict[str, Any] = {"np": np, "zstandard": zstandard, "value": value, **size}
    exec(code, names)
    np.testing.assert_array_equal(names["pixels"], pixels)
