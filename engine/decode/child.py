"""The process behind `isolated`: `python -m engine.decode.child BACKEND DESCRIPTOR`."""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path
from typing import IO

import msgspec
import numpy as np

from engine.decode import codecs
from engine.decode.backend import Backend
from engine.decode.checks import check_decoded, dtype_of, in_short, samples_of
from engine.decode.pipes import ANSWER, REQUEST, Slate, read_exactly
from engine.errors import DecodeFailed
from engine.messages import FrameInfo, FrameMessage

DEADLINE_S = 4
BYTES_A_SECOND = 16 * 1024 * 1024  # a large frame may take longer
MEMORY_BYTES = 3 * 1024**3


def serve(backend: Backend, slate: Slate, requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer frames until the parent closes the pipe."""
    while head := requests.read(REQUEST.size):
        size, length, rest = REQUEST.unpack(head)
        message = msgspec.msgpack.decode(read_exactly(requests, rest), type=FrameMessage)
        room = slate.of(size)
        ok, words = True, b""
        try:
            pixels = _decoded(backend, msgspec.structs.replace(message, value=room[:length]))
            np.frombuffer(room, pixels.dtype, pixels.size)[:] = pixels.reshape(-1)
        except DecodeFailed as error:
            ok, words = False, str(error).encode()
        except Exception as error:  # codecs raise anything
            ok, words = False, f"{backend.name} failed: {in_short(error)}".encode()
        answers.write(ANSWER.pack(ok, pixels.nbytes if ok else len(words)) + words)
        answers.flush()


def _decoded(backend: Backend, message: FrameMessage) -> np.ndarray:
    signal.alarm(_deadline_s(message.info))  # ends this process, even inside the codec
    try:
        pixels = backend.decode(message)
    finally:
        signal.alarm(0)
    check_decoded(pixels, message.info)
    return pixels


def _deadline_s(info: FrameInfo) -> int:
    return DEADLINE_S + samples_of(info) * dtype_of(info).itemsize // BYTES_A_SECOND


def main() -> None:
    """Serve the backend named on the command line over the standard streams and the slate."""
    name, descriptor = sys.argv[1], int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    Path("/proc/self/oom_score_adj").write_text("500")  # this one first, before its parent
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a codec prints must not pass for an answer
    (backend,) = (one for one in codecs.BACKENDS if one.name == name)
    serve(backend, Slate(descriptor), sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
