"""The transfer syntaxes that the gateway accepts, and how each is recognised (PS3.5 chapter 10)."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from engine.errors import RejectedInstance
from engine.ingest.walk import Encoding

Family = Literal["native", "rle", "jpeg", "jpeg2000"]


class Syntax(NamedTuple):
    """A transfer syntax: how the data set and how the pixels are encoded."""

    uid: str
    encoding: Encoding
    family: Family
    deflated: bool = False


EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"

_LITTLE = Encoding(explicit=True, little=True)
_JPEG = (50, 51, 57, 70, 80, 81)
_JPEG_2000 = (90, 91, 201, 202, 203)

SYNTAXES: Final[dict[str, Syntax]] = {
    syntax.uid: syntax
    for syntax in (
        Syntax("1.2.840.10008.1.2", Encoding(explicit=False, little=True), "native"),
        Syntax(EXPLICIT_LITTLE, _LITTLE, "native"),
        Syntax("1.2.840.10008.1.2.1.99", _LITTLE, "native", deflated=True),
        Syntax("1.2.840.10008.1.2.2", Encoding(explicit=True, little=False), "native"),
        Syntax("1.2.840.10008.1.2.5", _LITTLE, "rle"),
        *(Syntax(f"1.2.840.10008.1.2.4.{n}", _LITTLE, "jpeg") for n in _JPEG),
        *(Syntax(f"1.2.840.10008.1.2.4.{n}", _LITTLE, "jpeg2000") for n in _JPEG_2000),
    )
}

# the first bytes of a frame: SOI; SOC, or the signature box that some writers leave in place
MAGIC: Final[dict[Family, tuple[bytes, ...]]] = {
    "jpeg": (b"\xff\xd8",),
    "jpeg2000": (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"),
}


def syntax_of(uid: str) -> Syntax:
    """Return the transfer syntax; raise `RejectedInstance` for one that is not accepted."""
    if uid not in SYNTAXES:
        raise RejectedInstance("the transfer syntax is unknown or not accepted")
    return SYNTAXES[uid]
