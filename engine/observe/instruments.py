"""The metrics of one role as Prometheus' client keeps them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from engine.observe.table import TABLE, Metric, Role

log = logging.getLogger(__name__)

P = ParamSpec("P")


def harmless(note: Callable[P, None]) -> Callable[P, None]:
    """Let a note that fails be logged and forgotten: what observes must not harm a frame."""

    @wraps(note)
    def noted(*args: P.args, **more: P.kwargs) -> None:
        try:
            note(*args, **more)
        except Exception as error:  # its text could quote what it was given
            log.error("%s was not noted: %s", note.__qualname__, type(error).__name__)

    return noted


class Instruments:
    """Counters, gauges and histograms of a role; any thread may note.

    A name or a number of labels that the table does not have is a `KeyError` or a `ValueError`.
    """

    def __init__(self, role: Role) -> None:
        # else each counter and histogram has a series more, which says when it was born
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # processor seconds, memory, open files
        self._metrics = {one.name: _make(one, self.registry) for one in TABLE[role]}
        self._children: dict[tuple[str, ...], Any] = {}

    def count(self, name: str, *labels: str, by: float = 1.0) -> None:
        """Add `by` to a counter."""
        self._of(name, labels).inc(by)

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Put a value into a histogram."""
        self._of(name, labels).observe(value)

    def watch(self, name: str, read: Callable[[], float], *labels: str) -> None:
        """Let a gauge be read at every scrape, in the endpoint's thread."""
        self._of(name, labels).set_function(read)

    def show_only(self, name: str, *labels: str) -> None:
        """Set a gauge's series to 1 and forget the others that share its first label."""
        if (name, *labels) in self._children:
            return
        for key in [key for key in self._children if key[:2] == (name, labels[0])]:
            self._metrics[name].remove(*key[1:])
            del self._children[key]
        self._of(name, labels).set(1)

    def begin(self, name: str, *labels: str) -> None:
        """Make a series exist before its first event, so that its rate has a beginning."""
        self._of(name, labels)

    def _of(self, name: str, labels: tuple[str, ...]) -> Any:
        """Return one series; the client's own look-up by labels costs more than what it finds."""
        key = (name, *labels)
        child = self._children.get(key)
        if child is None:
            metric = self._metrics[name]
            child = self._children[key] = metric.labels(*labels) if labels else metric
        return child


def _make(metric: Metric, registry: CollectorRegistry) -> Any:
    given = (metric.name, metric.says, metric.labels)
    if metric.kind == "histogram":
        return Histogram(*given, buckets=metric.buckets, registry=registry)
    kind = Counter if metric.kind == "counter" else Gauge
    return kind(*given, registry=registry)
