"""The SOP classes that the gateway takes part in."""

from __future__ import annotations

from typing import Final

from pynetdicom import AllStoragePresentationContexts

VERIFICATION: Final = "1.2.840.10008.1.1"
STORAGE: Final = tuple(str(one.abstract_syntax) for one in AllStoragePresentationContexts)
