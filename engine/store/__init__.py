"""Where accepted objects and large frames lie: durable, addressed by hashes that we make."""

from engine.config import Settings
from engine.store.local import LocalStore, ObjectStore, Put

__all__ = ["LocalStore", "ObjectStore", "Put", "open_store"]


def open_store(settings: Settings) -> ObjectStore:
    """Return the store that the settings name."""
    return LocalStore(settings.store)
