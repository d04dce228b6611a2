"""The process behind `isolated`: `python -m engine.decode.child BACKEND`."""

from __future__ import annotations

import os
import signal
import sys
from typing import IO

import msgspec

from engine.decode.checks import dtype_of, in_short, samples_of
from engine.decode.pipes import ANSWER, REQUEST, read_exactly
from engine.decode.pydicom_backend import BACKENDS, PydicomBackend
from engine.errors import DecodeFailed
from engine.messages import FrameInfo, FrameMessage

DEADLINE_S = 4
BYTES_A_SECOND = 16 * 1024 * 1024  # a large frame may take longer


def serve(backend: PydicomBackend, requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer frames until the parent closes the pipe."""
    while head := requests.read(REQUEST.size):
        request = read_exactly(requests, REQUEST.unpack(head)[0])
        ok, payload = _decoded(backend, msgspec.msgpack.decode(request, type=FrameMessage))
        answers.write(ANSWER.pack(ok, len(payload)))
        answers.write(payload)
        answers.flush()


def _decoded(backend: PydicomBackend, message: FrameMessage) -> tuple[bool, bytes]:
    signal.alarm(_deadline_s(message.info))  # ends this process, even inside the codec
    try:
        return True, backend.decode(message).tobytes()
    except DecodeFailed as error:
        return False, str(error).encode()
    except Exception as error:  # codecs raise anything
        return False, f"{backend.name} failed: {in_short(error)}".encode()
    finally:
        signal.alarm(0)


def _deadline_s(info: FrameInfo) -> int:
    return DEADLINE_S + samples_of(info) * dtype_of(info).itemsize // BYTES_A_SECOND


def main() -> None:
    """Serve the backend named on the command line over the standard streams."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a codec prints must not pass for an answer
    (backend,) = (one for one in BACKENDS if one.name == sys.argv[1])
    serve(backend, sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
