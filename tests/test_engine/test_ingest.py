"""Reading an object: its frames' bytes and headers are those of the file, whatever its form."""

from __future__ import annotations

import struct
import zlib

import msgspec
import pytest
from dicom_objects import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    TEST_FILES,
    build,
    encode,
    file_of,
    fragments,
)
from frame_messages import frame
from pydicom import dcmread
from pydicom.encaps import encapsulate_extended, generate_frames

from engine.config import Settings
from engine.decode import decode
from engine.errors import RejectedInstance
from engine.ingest.frames import Origin, messages
from engine.ingest.validate import Instance, Limits, read_file, read_instance
from engine.messages import FrameMessage

BYTES = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
READABLE = (
    "CT_small.dcm",
    "MR_small.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "JPEG-lossy.dcm",
    "SC_rgb_rle_2frame.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "SC_ybr_full_422_uncompressed.dcm",
    "examples_ybr_color.dcm",
    "rtdose.dcm",
    "rtdose_expb.dcm",
    "rtdose_rle.dcm",
)


@pytest.mark.parametrize("name", READABLE)
def test_frames_are_the_bytes_in_the_file(name: str) -> None:
    path = TEST_FILES / name
    ds = dcmread(path)
    instance = read_file(path.read_bytes())
    got = [bytes(pixels) for _, pixels in instance]

    if ds.file_meta.TransferSyntaxUID.is_compressed:
        wanted = list(generate_frames(ds.PixelData, number_of_frames=len(instance)))
    else:
        size = len(got[0])
        wanted = [ds.PixelData[n * size : (n + 1) * size] for n in range(len(instance))]
        assert len(ds.PixelData) - size * len(instance) <= 1
    assert got == wanted
    info = instance.first
    assert (info.rows, info.columns, info.bits_stored) == (ds.Rows, ds.Columns, ds.BitsStored)
    assert info.transfer_syntax_uid == ds.file_meta.TransferSyntaxUID


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_header_is_the_same_in_every_encoding(syntax: str) -> None:
    ds = build(
        PixelSpacing=[0.5, 0.25],
        RescaleSlope="2.5",
        WindowCenter=["40", "50"],
        WindowWidth=["400", "500"],
        TriggerTime=12.5,
        CardiacNumberOfImages=20,
        ImageType=["ORIGINAL", "PRIMARY"],
    )
    keywords = frozenset({"ImageType", "CardiacNumberOfImages", "EchoTime"})
    info = read_instance(encode(ds, syntax), syntax, keywords=keywords).first
    assert info.pixel_spacing == (0.5, 0.25)
    assert info.rescale_slope == 2.5
    assert (info.window_center, info.window_width) == (40.0, 400.0)
    assert (info.trigger_time, info.cardiac_number_of_images) == (12.5, 20)
    assert info.keywords == {"ImageType": ["ORIGINAL", "PRIMARY"], "CardiacNumberOfImages": 20.0}


def test_header_is_found_after_sequences_of_undefined_length() -> None:
    inner = build(PixelData=None)
    ds = build(ReferencedImageSequence=[inner, inner], ReferencedStudySequence=[])
    for keyword in ("ReferencedImageSequence", "ReferencedStudySequence"):
        ds[keyword].is_undefined_length = True
    for item in ds.ReferencedImageSequence:
        item.is_undefined_length_sequence_item = True
    assert read_instance(encode(ds), EXPLICIT).first.rows == 4


def test_deflated_object_gives_explicit_little_endian_frames() -> None:
    deflater = zlib.compressobj(wbits=-15)
    data = deflater.compress(encode(build())) + deflater.flush()
    ((info, pixels),) = read_instance(data, DEFLATED)
    assert info.transfer_syntax_uid == EXPLICIT
    assert bytes(pixels) == bytes(range(48))


def test_one_bit_frames_are_the_bytes_that_they_touch() -> None:
    ds = build(
        NumberOfFrames=3,
        Rows=1,
        Columns=5,
        BitsAllocated=1,
        BitsStored=1,
        HighBit=0,
        PixelData=bytes([0b11100001, 0b00101010]),
    )
    frames = [bytes(pixels) for _, pixels in read_instance(encode(ds), EXPLICIT)]
    assert frames == [bytes([0b11100001]), bytes([0b11100001, 0b00101010]), bytes([0b00101010])]


@pytest.mark.parametrize(
    ("module", "size"),
    [
        ({"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}, 64),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL_422", **BYTES}, 192),
    ],
)
def test_what_decoding_would_refuse_for_its_size_is_not_accepted(
    module: dict[str, object], size: int
) -> None:
    ds = build(Rows=8, Columns=8, PlanarConfiguration=0, PixelData=bytes(128), **module)
    caps = {"max_frame_bytes": size}
    for info, pixels in read_instance(encode(ds), EXPLICIT, limits=Limits(**caps)):
        assert decode(frame(bytes(pixels), **msgspec.structs.asdict(info)), **caps).nbytes == size
    with pytest.raises(RejectedInstance, match="max_frame_bytes") as refused:
        read_instance(encode(ds), EXPLICIT, limits=Limits(max_frame_bytes=size - 1))
    assert refused.value.status == 0xA700


SOI = b"\xff\xd8"
PARTS = (SOI + b"aaaa", b"bbbbbb", SOI + b"cc")


@pytest.mark.parametrize("table", ["none", "basic"])
def test_fragments_are_joined_by_frame(table: str) -> None:
    offsets = struct.pack("<LL", 0, 28) if table == "basic" else b""
    ds = build(NumberOfFrames=2, PixelData=fragments(*PARTS, table=offsets))
    frames = [bytes(pixels) for _, pixels in read_instance(encode(ds, JPEG), JPEG)]
    assert frames == [PARTS[0] + PARTS[1], PARTS[2]]


def test_extended_offset_table() -> None:
    ds = build(NumberOfFrames=2)
    data, offsets, lengths = encapsulate_extended([PARTS[0], PARTS[2]])
    ds.PixelData, ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = data, offsets, lengths
    frames = [bytes(pixels) for _, pixels in read_instance(encode(ds, JPEG), JPEG)]
    assert frames == [PARTS[0], PARTS[2]]


class _Kept:
    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, data: bytes) -> str:
        self.objects[key] = data
        return "stored"


def _all(instance: Instance, store: _Kept, limit: int) -> list[FrameMessage]:
    origin = Origin.now("/dicom/CT01", "stat", Settings(stat_budget_ms=500))
    return list(messages(instance, origin, store=store, inline_limit=limit))


def test_messages_survive_the_wire() -> None:
    store = _Kept()
    (message,) = _all(read_file(file_of(build())), store, 48)
    _, value, headers = message.to_kafka()
    assert FrameMessage.from_kafka(value, headers) == message
    assert message.deadline_ms == message.accepted_ns // 1_000_000 + 500
    assert (message.lane, message.value, store.objects) == ("stat", bytes(range(48)), {})


def test_large_frame_travels_as_a_claim_check() -> None:
    store = _Kept()
    (message,) = _all(read_file(file_of(build())), store, 47)
    assert message.claim is not None
    assert message.value == b""
    assert message.claim.length == 48
    assert store.objects == {message.claim.key: bytes(range(48))}


def test_a_header_that_no_topic_takes_is_refused() -> None:
    read = read_file(file_of(build()))
    words = {f"Keyword{number}": "x" * 16_000 for number in range(4)}
    large = msgspec.structs.replace(read.infos[0], keywords=words)
    with pytest.raises(RejectedInstance, match="record's header"):
        _all(Instance([large], read.frames), _Kept(), 48)
