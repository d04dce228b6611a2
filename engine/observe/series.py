"""What the series app notes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from engine.observe.instruments import Instruments, harmless


class SeriesNotes:
    """Metrics of the series app, or nothing where they are off."""

    def __init__(self, instruments: Instruments | None = None) -> None:
        self._instruments = instruments

    @harmless
    def taken(self) -> None:
        """Note a result that was read, whether or not there is something in it to measure."""
        if self._instruments is not None:
            self._instruments.count("scanstream_series_results_total")

    @harmless
    def published(self) -> None:
        """Note the measures of a series that the broker has confirmed."""
        if self._instruments is not None:
            self._instruments.count("scanstream_series_published_total")

    @harmless
    def alerted(self, kind: str) -> None:
        """Note an alert that the broker has confirmed."""
        if self._instruments is not None:
            self._instruments.count("scanstream_series_alerts_total", kind)

    def watch(self, remembered: Callable[[], int], kinds: Iterable[str]) -> None:
        """Let the series that are remembered be counted at every scrape; begin each alert kind."""
        if self._instruments is not None:
            for kind in kinds:
                self._instruments.begin("scanstream_series_alerts_total", kind)
            self._instruments.watch("scanstream_series_open", remembered)
