"""What settings may be, and which go together: checked once, when they are made."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from engine.errors import ConfigError

if TYPE_CHECKING:
    from engine.config import Settings

# Never shown by `repr`, in logs, or by a command.
SECRETS = frozenset({"sasl_password"})

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:]+\]|[\w.-]+):\d{1,5}")
_CHOICES = {
    "precision": ("auto", "fp32", "bf16", "int8"),
    "wire_codec": ("auto", "none"),
    "preprocess": ("direct", "dali"),
    "batching": ("deadline", "fixed"),
    "stat_guard": ("on", "off"),
    "log_level": ("DEBUG", "INFO", "WARNING", "ERROR"),
    "security_protocol": ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    "sasl_mechanism": ("SCRAM-SHA-256", "SCRAM-SHA-512"),
}
_AT_LEAST_ONE = (
    "max_associations",
    "max_associations_of_address",
    "gateway_processes",
    "gateway_inflight_bytes",
    "gateway_silence_s",
    "max_object_bytes",
    "inline_limit",
    "partitions",
    "replication",
    "tries",
    "inflight_bytes",
    "inflight_frames",
    "max_frame_bytes",
    "compute_threads",
    "max_batch",
    "infer_slots",
    "model_threads",
)


def check(settings: Settings) -> None:
    """Raise `ConfigError`, naming the setting, for what cannot be or does not go together."""
    _check_numbers(settings)
    _check_texts(settings)
    _check_security(settings)


def _check_numbers(settings: Settings) -> None:
    for name in _AT_LEAST_ONE:
        if getattr(settings, name) < 1:
            raise ConfigError(f"setting `{name}` must be at least 1")
    if not 1 <= settings.port <= 65535:
        raise ConfigError("setting `port` must be between 1 and 65535")
    if not 0 <= settings.metrics_port <= 65535:
        raise ConfigError("setting `metrics_port` must be between 1 and 65535, or 0 for off")
    if not 0.0 <= settings.otel_ratio <= 1.0:
        raise ConfigError("setting `otel_ratio` must be between 0 and 1")


def _check_texts(settings: Settings) -> None:
    for name in ("broker", "triton"):
        if not all(map(_ADDRESS.fullmatch, getattr(settings, name).split(","))):
            raise ConfigError(f"setting `{name}` must be HOST:PORT (of several, with commas)")
    for name, choices in _CHOICES.items():
        if getattr(settings, name) not in choices:
            raise ConfigError(f"setting `{name}` must be one of: {', '.join(choices)}")
    if settings.otel_endpoint and not settings.otel_endpoint.startswith(("http://", "https://")):
        raise ConfigError("setting `otel_endpoint` must begin with http:// or https://")
    if not 1 <= len(settings.ae_title.strip()) <= 16:
        raise ConfigError("setting `ae_title` must have 1 to 16 characters (PS3.5 6.2, AE)")


def _check_security(settings: Settings) -> None:
    """Refuse combinations that Kafka's client would ignore, or fail on later and less clearly."""
    protocol = settings.security_protocol
    _needs_protocol(settings, "SSL", ("ssl_ca", "ssl_certificate", "ssl_key"))
    _needs_protocol(settings, "SASL", ("sasl_username", "sasl_password", "sasl_password_file"))
    if (settings.ssl_certificate is None) != (settings.ssl_key is None):
        raise ConfigError("settings `ssl_certificate` and `ssl_key` belong together: set both")
    if settings.sasl_password and settings.sasl_password_file:
        raise ConfigError("settings `sasl_password` and `sasl_password_file`: set one of them")
    if "SASL" in protocol:
        if not settings.sasl_username:
            raise ConfigError(f"setting `sasl_username` is missing for {protocol}")
        if not (settings.sasl_password or settings.sasl_password_file):
            raise ConfigError(
                f"setting `sasl_password_file` (or `sasl_password`) is missing for {protocol}"
            )


def _needs_protocol(settings: Settings, part: str, names: tuple[str, ...]) -> None:
    if part in settings.security_protocol.split("_"):
        return
    for name in names:
        if getattr(settings, name):
            raise ConfigError(
                f"setting `{name}` has no effect with `security_protocol`"
                f" {settings.security_protocol}: choose one with {part}, or unset it"
            )
