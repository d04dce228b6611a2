"""Reading results as a downstream consumer does."""

from engine.results.reader import Reader

__all__ = ["Reader"]
