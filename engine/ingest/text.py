"""Decode the text that routes match on (PS3.5 6.1, PS3.3 C.12.1.1.2), by known terms only.

pydicom takes any codec of Python for a character set, and goes on after an escape that it does not
know; from strangers neither is wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydicom import charset

_ESCAPE: Final = b"\x1b"
_AFTER_ESCAPE: Final = tuple(code[1:] for code in charset.CODES_TO_ENCODINGS)
_DELIMITERS: Final = {ord(mark) for mark in "\\\r\n\f\t"}  # they end an escape (PS3.5 6.1.2.5.3)


def decode_text(raw: bytes, character_sets: Sequence[str]) -> str:
    """Return `raw` by the values of SpecificCharacterSet; bytes that it lacks become U+FFFD.

    Text in ASCII needs no character set, and is read whatever it is said to be. Raise `ValueError`
    for a character set that DICOM does not have, or an escape that it does not know.
    """
    if raw.isascii() and _ESCAPE not in raw:
        return raw.decode("ascii")
    if unknown := [term for term in character_sets if term not in charset.python_encoding]:
        raise ValueError(f"{len(unknown)} unknown character sets")
    if not all(part.startswith(_AFTER_ESCAPE) for part in raw.split(_ESCAPE)[1:]):
        raise ValueError("an unknown escape")
    terms = [term or "ISO_IR 6" for term in character_sets]
    return charset.decode_bytes(raw, charset.convert_encodings(terms or None), _DELIMITERS)
