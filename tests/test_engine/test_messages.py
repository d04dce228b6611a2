"""The records: their wire form, and the schemas published for them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadMessage
from engine.messages import Claim, FrameInfo, FrameMessage, result_id
from engine.schemas import write_schemas

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schemas"


def message(**changes: object) -> FrameMessage:
    info = FrameInfo(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.4",
        sop_instance_uid="2.25.1",
        study_instance_uid="2.25.2",
        series_instance_uid="2.25.3",
        frame_number=7,
        number_of_frames=9,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        rows=2,
        columns=2,
        bits_allocated=16,
        bits_stored=12,
        high_bit=11,
        photometric_interpretation="MONOCHROME2",
        pixel_spacing=(1.4, 1.4),
        keywords={"Modality": "MR", "ImageType": ["ORIGINAL", "PRIMARY"]},
    )
    made = FrameMessage(
        info=info,
        value=b"\x00\x01\x02\x03\x04\x05\x06\x07",
        source="dicom:SCANNER",
        time="2026-01-01T00:00:00Z",
        traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01",
        accepted_ns=1,
        deadline_ms=2,
    )
    return msgspec.structs.replace(made, **changes)


@pytest.mark.parametrize(
    "one",
    [
        message(),
        message(lane="stat"),
        message(value=b"", claim=Claim(key="ab", length=8, sha256="cd")),
    ],
    ids=["inline", "stat", "claim"],
)
def test_a_frame_survives_the_wire(one: FrameMessage) -> None:
    key, value, headers = one.to_kafka()
    assert key == b"2.25.3"
    assert dict(headers)["ce_id"] == b"2.25.1/7"
    assert FrameMessage.from_kafka(value, headers) == one
    assert FrameMessage.from_kafka(value, dict(headers)) == one


@pytest.mark.parametrize("name", [name for name, _ in message().to_kafka()[2]])
def test_every_header_is_needed_or_checked(name: str) -> None:
    """What is missing is named; only those that the value repeats may be absent."""
    _, value, headers = message().to_kafka()
    left = [(other, raw) for other, raw in headers if other != name]
    if name in ("ce_specversion", "ce_subject", "content-type"):
        FrameMessage.from_kafka(value, left)
    else:
        with pytest.raises(BadMessage, match=name):
            FrameMessage.from_kafka(value, left)


def test_an_id_that_disagrees_with_the_frame_is_refused() -> None:
    _, value, headers = message().to_kafka()
    wrong = [(name, b"2.25.1/8" if name == "ce_id" else raw) for name, raw in headers]
    with pytest.raises(BadMessage, match="ce_id"):
        FrameMessage.from_kafka(value, wrong)


@given(
    value=st.none() | st.binary(max_size=64),
    headers=st.dictionaries(
        st.sampled_from([name for name, _ in message().to_kafka()[2]] + ["x-claim", "other"]),
        st.binary(max_size=64),
    ),
)
def test_n7_any_record_is_read_or_refused(value: bytes | None, headers: dict[str, bytes]) -> None:
    genuine = dict(message().to_kafka()[2])
    with pytest.raises(BadMessage):
        FrameMessage.from_kafka(value, headers)
    with contextlib.suppress(BadMessage):  # any other exception would fail the test
        FrameMessage.from_kafka(value, genuine | headers)


DEEP = b'{"keywords": {"x": ' + b"[" * 20_000 + b"]" * 20_000 + b"}}"
HUGE = msgspec.json.encode(message().info)[:-1] + b', "instance_number": 1' + b"0" * 30 + b"}"


@pytest.mark.parametrize("name", ["x-frame", "x-claim", "x-lane", "x-deadline-ms", "ce_id"])
def test_n7_a_header_whose_value_is_null_is_as_good_as_missing(name: str) -> None:
    claimed = message(value=b"", claim=Claim(key="ab", length=8, sha256="cd"))
    _, value, headers = claimed.to_kafka()
    nulled = [(other, None if other == name else raw) for other, raw in headers]
    with pytest.raises(BadMessage, match=name):
        FrameMessage.from_kafka(value, nulled)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("x-frame", DEEP),
        ("x-frame", b"[" * 20_000),
        ("x-claim", DEEP),
        ("x-frame", HUGE),
        ("x-deadline-ms", b"9" * 20),
        ("x-deadline-ms", b"9" * 19),
        ("x-accepted-ns", b"9" * 10_000),
        ("x-deadline-ms", b"-1"),
        ("x-deadline-ms", "\u0661".encode()),
    ],
    ids=[
        "deep x-frame",
        "deep x-frame without end",
        "deep x-claim",
        "instance_number of 10**30",
        "20 digits",
        "19 digits, over 63 bits",
        "10,000 digits",
        "negative",
        "a digit of another script",
    ],
)
def test_n7_numbers_and_nesting_without_bound_are_refused(name: str, raw: bytes) -> None:
    _, value, headers = message().to_kafka()
    wrong = {**dict(headers), name: raw}
    with pytest.raises(BadMessage, match=name) as caught:
        FrameMessage.from_kafka(value, wrong)
    assert "99999" not in str(caught.value)
    assert "00000" not in str(caught.value)


def test_ids_depend_on_frame_route_and_run() -> None:
    ids = {result_id("a/1", "cine"), result_id("a/1", "cine", "run"), result_id("a/1", "other")}
    assert len(ids | {result_id("a/2", "cine")}) == 4
    assert result_id("a/1", "cine") == result_id("a/1", "cine")


def test_the_published_schemas_are_those_of_the_records(tmp_path: Path) -> None:
    """After a change: `python -m engine.schemas`."""
    write_schemas(tmp_path)
    made = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert made == {file.name: file.read_text() for file in SCHEMAS.iterdir()}
