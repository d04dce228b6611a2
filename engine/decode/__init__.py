"""Decoding: the stored values of one frame, from its message alone."""

from engine.decode.backend import Backend
from engine.decode.registry import Availability, available, backend_for, decode, decoders_of
from engine.decode.warming import warm

__all__ = ["Availability", "Backend", "available", "backend_for", "decode", "decoders_of", "warm"]
