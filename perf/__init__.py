"""Comparisons, load and objectives: what is measured, and against what. See `python -m perf`."""
