"""Decoding: the stored values of one frame, from its message alone."""

from engine.decode.registry import Availability, Backend, available, backend_for, decode

__all__ = ["Availability", "Backend", "available", "backend_for", "decode"]
