"""Decoders of our own, compiled by Numba: they read and write inside their arrays only.

They take bytes that anybody may have sent. So every index is checked, or proved by the room that
the caller leaves behind the data (`PADDING`), every loop ends by a bound known before it begins,
and what is wrong comes back as a code, not as an exception.
"""
