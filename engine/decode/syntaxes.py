"""The transfer syntaxes of compressed pixels, in the groups that share a codec (PS3.5 8.2, A.4)."""

from __future__ import annotations

RLE = "1.2.840.10008.1.2.5"
JPEG = "1.2.840.10008.1.2.4."

JPEG_BASELINE = JPEG + "50"
JPEG_EXTENDED = JPEG + "51"
JPEG_LOSSY = frozenset({JPEG_BASELINE, JPEG_EXTENDED})
JPEG_LOSSLESS = frozenset({JPEG + "57", JPEG + "70"})
JPEG_LS = frozenset({JPEG + "80", JPEG + "81"})
JPEG_2000 = frozenset({JPEG + "90", JPEG + "91"})
HTJ2K = frozenset({JPEG + "201", JPEG + "202", JPEG + "203"})
