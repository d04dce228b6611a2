"""Where accepted objects and large frames lie: durable, addressed by hashes that we make."""

from engine.store.local import LocalStore, ObjectStore, Put

__all__ = ["LocalStore", "ObjectStore", "Put"]
