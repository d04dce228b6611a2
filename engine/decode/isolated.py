"""A decoder that may crash or loop, in a process of its own.

A codec that aborts would take the worker and all its frames with it, again and again, since the
frame is delivered again. Here it costs its frame. Which codecs need it is measured: see `codecs`.
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

from engine.decode.backend import Backend
from engine.decode.checks import dtype_of, shape_of
from engine.decode.pipes import ANSWER, REQUEST, Slate, read_exactly
from engine.errors import DecodeFailed
from engine.messages import FrameMessage

_ROOT = Path(__file__).resolve().parent.parent.parent
_KEPT_BYTES = 64 * 1024 * 1024  # a child that served a larger frame gives its memory back
# The C library would hand each frame's memory back to the kernel, and take it again page by page:
# 3 ms a frame for GDCM, which copies it many times. Read at the start of a process only.
_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(_KEPT_BYTES),
    "MALLOC_TRIM_THRESHOLD_": str(2 * _KEPT_BYTES),
}


class IsolatedBackend:
    """Runs another backend in child processes, one for each thread that decodes at a time."""

    def __init__(self, backend: Backend) -> None:
        self.name = backend.name
        self.syntaxes = backend.syntaxes
        self.most_samples = backend.most_samples
        self.inner = backend
        self._idle: queue.SimpleQueue[_Child] = queue.SimpleQueue()
        atexit.register(self.close)

    def missing(self, syntax: str) -> str | None:
        """Return what to install before `syntax` can be decoded, or None."""
        return self.inner.missing(syntax)

    def decode(self, message: FrameMessage) -> np.ndarray:
        """Return stored values; `DecodeFailed` also where the child crashes or loops."""
        info = message.info
        pixels = np.empty(shape_of(info), dtype_of(info))
        child = self._take()
        try:
            words = child.ask(message, pixels)
        except (OSError, EOFError):
            raise DecodeFailed(f"{self.name} {child.end()} on the frame") from None
        if max(len(message.value), pixels.nbytes) > _KEPT_BYTES:
            child.end()
        else:
            self._idle.put(child)
        if words:
            raise DecodeFailed(words)
        return pixels

    def warm(self) -> None:
        """Start a child, so that the first frame does not wait for it."""
        self._idle.put(self._take())

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
    """One process that answers one frame at a time over its standard streams and the slate."""

    def __init__(self, name: str) -> None:
        path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.slate = Slate(os.memfd_create("frame"))
        descriptor = self.slate.descriptor
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine.decode.child", name, str(descriptor)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # codecs write there what they like
            env={**os.environ, **_MALLOC, "PYTHONPATH": path},
            pass_fds=(descriptor,),
            start_new_session=True,  # Ctrl-C drains the worker, and must not fail its frames
        )

    def ask(self, message: FrameMessage, pixels: np.ndarray) -> str:
        """Send one frame and fill `pixels`; return why not, or nothing.

        Raises `OSError` or `EOFError` if the child dies.
        """
        to_child, from_child = self.process.stdin, self.process.stdout
        if to_child is None or from_child is None:
            raise EOFError
        value, size = message.value, max(len(message.value), pixels.nbytes)
        room = self.slate.of(size)
        room[: len(value)] = value
        rest = msgspec.msgpack.encode(msgspec.structs.replace(message, value=b""))
        to_child.write(REQUEST.pack(size, len(value), len(rest)) + rest)
        to_child.flush()
        ok, length = ANSWER.unpack(read_exactly(from_child, ANSWER.size))
        if not ok:
            return read_exactly(from_child, length).decode()
        if length != pixels.nbytes:
            return f"decoded to {length} bytes, not {pixels.nbytes}"
        pixels.reshape(-1)[:] = np.frombuffer(room, pixels.dtype, pixels.size)
        return ""

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
        self.slate.close()
        os.close(self.slate.descriptor)
        code = self.process.wait()
        if code == -signal.SIGALRM:
            return "did not end in time"
        return "crashed" if code < 0 else f"ended with exit code {code}"
