"""What holds of every hostile object at the gateway."""

from __future__ import annotations

import pytest
from dicom_objects import EXPLICIT

from engine.errors import RejectedInstance
from engine.ingest.validate import read_instance


def refused(data: bytes, syntax: str = EXPLICIT, *, match: str = ".", status: int = 0xC000) -> None:
    """Hold that the object is refused with this status, by a text that quotes no value of it."""
    with pytest.raises(RejectedInstance, match=match) as caught:
        list(read_instance(data, syntax))
    assert caught.value.status == status
    assert "SECRET" not in str(caught.value)
