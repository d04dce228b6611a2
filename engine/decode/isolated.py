"""A decoder that may crash or loop, in a process of its own.

GDCM aborts the process on some damaged JPEG frames (an assertion in a destructor), which would take
the worker and all its frames with it, again and again, since the frame is delivered again. Here it
costs its frame. The codecs of the other plug-ins have survived the same damage, and run in process.
"""

from __future__ import annotations

import atexit
import os
import queue
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np

from engine.decode.checks import dtype_of, samples_of, shape_of
from engine.decode.pipes import ANSWER, REQUEST, read_exactly
from engine.decode.pydicom_backend import PydicomBackend
from engine.errors import DecodeFailed
from engine.messages import FrameMessage

_ROOT = Path(__file__).resolve().parent.parent.parent


class IsolatedBackend:
    """Runs another backend in child processes, one for each thread that decodes at a time."""

    def __init__(self, backend: PydicomBackend) -> None:
        self.name = backend.name
        self.syntaxes = backend.syntaxes
        self._backend = backend
        self._idle: queue.SimpleQueue[_Child] = queue.SimpleQueue()
        atexit.register(self.close)

    def missing(self, syntax: str) -> str | None:
        """Return what to install before `syntax` can be decoded, or None."""
        return self._backend.missing(syntax)

    def decode(self, message: FrameMessage) -> np.ndarray:
        """Return stored values, read-only; `DecodeFailed` also where the child crashes or loops."""
        child = self._take()
        try:
            ok, payload = child.ask(msgspec.msgpack.encode(message))
        except (OSError, EOFError):
            raise DecodeFailed(f"{self.name} {child.end()} on the frame") from None
        self._idle.put(child)
        if not ok:
            raise DecodeFailed(payload.decode())
        info = message.info
        if len(payload) != samples_of(info) * dtype_of(info).itemsize:
            raise DecodeFailed(f"{self.name} decoded to {len(payload)} bytes")
        return np.frombuffer(payload, dtype_of(info)).reshape(shape_of(info))

    def close(self) -> None:
        """End the idle children. A child also ends by itself when this process does."""
        while True:
            try:
                self._idle.get_nowait().end()
            except queue.Empty:
                return

    def _take(self) -> _Child:
        while True:
            try:
                child = self._idle.get_nowait()
            except queue.Empty:
                return _Child(self.name)
            if child.process.poll() is None:
                return child
            child.end()


class _Child:
    """One process that answers one frame at a time over its standard streams."""

    def __init__(self, name: str) -> None:
        path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine.decode.child", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # codecs write there what they like
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C drains the worker, and must not fail its frames
        )

    def ask(self, request: bytes) -> tuple[bool, bytes]:
        """Send one frame and wait for its answer; raise `OSError` or `EOFError` if it dies."""
        to_child, from_child = self.process.stdin, self.process.stdout
        if to_child is None or from_child is None:
            raise EOFError
        to_child.write(REQUEST.pack(len(request)))
        to_child.write(request)
        to_child.flush()
        ok, length = ANSWER.unpack(read_exactly(from_child, ANSWER.size))
        return ok, read_exactly(from_child, length)

    def end(self) -> str:
        """Kill the process if it still runs; return how it ended, in words."""
        code = self.process.poll()
        if code is None:
            self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):
            try:
                if stream is not None:
                    stream.close()
            except OSError:
                continue  # what could not be flushed has nobody to read it
        code = self.process.wait()
        if code == -signal.SIGALRM:
            return "did not end in time"
        return "crashed" if code < 0 else f"ended with exit code {code}"
