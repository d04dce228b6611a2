"""Settings: the only reader of the environment and of `scanstream.toml`.

A setting's value comes from, first found: a keyword given in code (a command's option), the
environment (`SCANSTREAM_` and the name in capitals), `scanstream.toml` (a flat table in the working
directory, or the file named by `SCANSTREAM_CONFIG`), the default below. Every setting is
documented in `docs/settings.md`; a test holds that.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from engine.config_checks import SECRETS, check
from engine.errors import ConfigError

__all__ = ["SECRETS", "Settings"]

PREFIX = "SCANSTREAM_"
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set. Bytes, milliseconds and seconds are in the names."""

    # where the servers are
    broker: str = "127.0.0.1:9092"
    triton: str = "127.0.0.1:8001"
    store: Path = Path("var/store")
    # the gateway
    host: str = "127.0.0.1"
    port: int = 11112
    ae_title: str = "SCANSTREAM"
    stat_ae_titles: tuple[str, ...] = ()
    max_associations: int = 16
    max_associations_of_address: int = 16
    gateway_processes: int = 1
    gateway_inflight_bytes: int = 1024 * MIB
    gateway_silence_s: float = 60.0
    gateway_least_rate: float = 1024.0
    max_object_bytes: int = 1024 * MIB
    inline_limit: int = 1 * MIB
    wire_codec: str = "auto"
    confirm_timeout_s: float = 20.0
    bulk_budget_ms: int = 60_000
    stat_budget_ms: int = 1_000
    # the topics
    partitions: int = 8
    replication: int = 1
    # how to come in at the broker
    security_protocol: str = "PLAINTEXT"
    ssl_ca: Path | None = None
    ssl_certificate: Path | None = None
    ssl_key: Path | None = None
    sasl_mechanism: str = "SCRAM-SHA-512"
    sasl_username: str = ""
    sasl_password: str = field(default="", repr=False)
    sasl_password_file: Path | None = None
    # the worker
    routes: Path | None = None
    group: str = "scanstream-worker"
    tries: int = 3
    inflight_bytes: int = 64 * MIB
    inflight_frames: int = 64
    max_frame_bytes: int = 256 * MIB
    compute_threads: int = 2
    preprocess: str = "direct"
    backoff_max_s: float = 5.0
    # batches and the model
    batching: str = "deadline"
    stat_guard: str = "on"
    max_batch: int = 8
    max_wait_ms: float = 10.0
    infer_slots: int = 3
    infer_timeout_s: float = 20.0
    model_threads: int = 2
    precision: str = "auto"
    # the measures of a series
    series_quiet_s: float = 10.0
    series_expiry_s: float = 24 * 3600.0
    alert_ejection_fraction: float = 40.0
    # what is seen of a process
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    otel_endpoint: str = ""
    otel_ratio: float = 1.0
    log_level: str = "INFO"

    def __post_init__(self) -> None:
        check(self)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **given: Any) -> Settings:
        """Read file and environment; `given` wins. Raise `ConfigError` naming the setting."""
        found = {name: value for name, (value, _) in _gather(environ, given).items()}
        types = get_type_hints(cls)
        return cls(**{name: _parse(name, types[name], value) for name, value in found.items()})

    @staticmethod
    def sources(environ: Mapping[str, str] | None = None, **given: Any) -> dict[str, str]:
        """Return where each setting's value comes from: a file, a variable, given, or default."""
        found = _gather(environ, given)
        return {name: found[name][1] if name in found else "default" for name in _names()}

    def as_environ(self) -> dict[str, str]:
        """Return the settings as environment variables, to hand to a child process."""
        texts = {name: getattr(self, name) for name in _names()}
        return {
            PREFIX + name.upper(): ",".join(value) if isinstance(value, tuple) else str(value)
            for name, value in texts.items()
            if value is not None
        }


def _names() -> list[str]:
    return [field.name for field in fields(Settings)]


def _gather(
    environ: Mapping[str, str] | None, given: Mapping[str, Any]
) -> dict[str, tuple[Any, str]]:
    """Return every value that is set somewhere, and where; the last source wins."""
    env = os.environ if environ is None else environ
    path = Path(env.get(f"{PREFIX}CONFIG", "scanstream.toml"))
    in_file = _from_file(path, named=f"{PREFIX}CONFIG" in env)
    found = {name: (value, str(path)) for name, value in in_file.items()}
    for name in _names():
        variable = PREFIX + name.upper()
        if variable in env:
            found[name] = (env[variable], variable)
    found |= {name: (value, "given") for name, value in given.items() if value is not None}
    unknown = sorted(set(found) - set(_names()))
    if unknown:
        raise ConfigError(f"unknown setting `{unknown[0]}`: docs/settings.md lists all of them")
    return found


def _from_file(path: Path, *, named: bool) -> dict[str, Any]:
    if not path.exists():
        if named:
            raise ConfigError(f"{PREFIX}CONFIG names {path}, which does not exist")
        return {}
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def _parse(name: str, kind: Any, value: Any) -> Any:
    """Turn text or a TOML value into the setting's type."""
    try:
        if kind in (int, float, str):
            return kind(value)
        if kind == tuple[str, ...]:
            parts = value.split(",") if isinstance(value, str) else value
            return tuple(str(part).strip() for part in parts if str(part).strip())
        return Path(value)
    except (TypeError, ValueError):
        wanted = getattr(kind, "__name__", "a path")
        raise ConfigError(f"setting `{name}`: {value!r} is not {wanted}") from None
