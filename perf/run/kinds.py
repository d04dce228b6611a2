"""The frames of each kind of scanner, as the gateway publishes them.

Cine is the phantom's heart. The other kinds have the size, the depth and the transfer syntax that
their scanners usually send, and the phantom's pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np

from engine.keys import object_key
from engine.messages import Claim, FrameMessage
from engine.store import ObjectStore
from perf.baselines import decode as codecs
from perf.load.frames import cine

Array = np.ndarray[Any, np.dtype[Any]]
LOSSLESS = codecs.JPEG + "70"
FILM = 8, 7  # 4096 x 3584: tiles of the phantom's 512 x 512


def samples(kinds: Iterable[str]) -> dict[str, list[FrameMessage]]:
    """Return a few frames of each kind, whatever their size with their values in them."""
    made: dict[str, Callable[[], list[FrameMessage]]] = {
        "cine": lambda: [one.message for one in cine()],
        "ct": lambda: _made("CT", LOSSLESS, codecs.frames()),
        "ultrasound": lambda: _made("US", codecs.BASELINE, codecs.frames(depth=8)),
        "mammography": lambda: _made("MG", LOSSLESS, [np.tile(codecs.frames()[0], FILM)]),
    }
    return {kind: made[kind]() for kind in kinds}


def claimed(frames: Iterable[FrameMessage], store: ObjectStore, limit: int) -> list[FrameMessage]:
    """Return the frames with values above `limit` bytes in the store, where workers find them."""
    return [_claimed(one, store) if len(one.value) > limit else one for one in frames]


def _claimed(frame: FrameMessage, store: ObjectStore) -> FrameMessage:
    sha256 = hashlib.sha256(frame.value).hexdigest()
    key = object_key(f"perf/{sha256}")
    store.put(key, frame.value)
    claim = Claim(key=key, length=len(frame.value), sha256=sha256)
    return msgspec.structs.replace(frame, value=b"", claim=claim)


def _made(modality: str, syntax: str, pictures: Iterable[Array]) -> list[FrameMessage]:
    found = [codecs.message(picture, syntax) for picture in pictures]
    return [
        msgspec.structs.replace(
            one,
            info=msgspec.structs.replace(
                one.info, modality=modality, keywords={"Modality": modality}
            ),
        )
        for one in found
    ]
