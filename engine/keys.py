"""The keys of the object store."""

from __future__ import annotations

import hashlib


def object_key(identity: str) -> str:
    """Return the key of what `identity` names: its SHA-256, 64 lower-case hexadecimal digits.

    Keys are never made of UIDs as they are, for those come from outside and may hold a path.
    """
    return hashlib.sha256(identity.encode()).hexdigest()
