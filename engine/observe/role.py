"""All that one process shows, by its settings: made first, so that a slow start shows too."""

from __future__ import annotations

from engine.config import Settings
from engine.observe.endpoint import Endpoint
from engine.observe.health import Health
from engine.observe.instruments import Instruments
from engine.observe.spans import Spans, to_collector
from engine.observe.table import Role


class Shown:
    """Health, metrics and spans of a role; `instruments` and `spans` are None where they are off.

    Raises `ConfigError` where the settings ask for what is not installed.
    """

    def __init__(self, role: Role, settings: Settings) -> None:
        self.health = Health()
        self.instruments = Instruments(role) if settings.metrics_port else None
        self.spans: Spans | None = None
        if role != "series":  # what it does is not done for one frame
            self.spans = to_collector(settings, f"scanstream-{role}")
        self._endpoint: Endpoint | None = None
        if self.instruments is not None:
            self._endpoint = Endpoint(settings, self.health, self.instruments)

    def start(self) -> None:
        """Begin to answer over HTTP; raise `ConfigError` where it cannot listen."""
        if self._endpoint is not None:
            self._endpoint.start()

    def close(self) -> None:
        """Send the spans that wait, and stop answering."""
        if self.spans is not None:
            self.spans.close()
        if self._endpoint is not None:
            self._endpoint.close()
