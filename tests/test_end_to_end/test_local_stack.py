"""The whole embedded stack comes up, says where it is, and goes without a trace."""

from __future__ import annotations
