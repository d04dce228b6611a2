"""How our Kafka clients come in at the broker: TLS, mutual TLS, SASL/SCRAM, from the settings."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.config import Settings
from engine.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Security:
    """What a Kafka client needs besides the address; `protocol` and `mechanism` are Kafka's words.

    `context` is None without TLS; `mechanism`, `username` and `password` are None without SASL.
    """

    protocol: str
    context: ssl.SSLContext | None
    mechanism: str | None
    username: str | None
    password: str | None = field(repr=False)

    @classmethod
    def of(cls, settings: Settings) -> Security:
        """Read certificates and password; raise `ConfigError` naming a setting that is no use."""
        context = _context(settings) if settings.security_protocol.endswith("SSL") else None
        if not settings.security_protocol.startswith("SASL"):
            return cls(settings.security_protocol, context, None, None, None)
        return cls(
            settings.security_protocol,
            context,
            settings.sasl_mechanism,
            settings.sasl_username,
            settings.sasl_password or _password(settings.sasl_password_file),
        )


def client_options(settings: Settings) -> dict[str, Any]:
    """Return the keywords of every aiokafka client: the address, and how to come in there.

    Raise `ConfigError` naming the setting when a certificate or password cannot be read.
    """
    security = Security.of(settings)
    return {
        "bootstrap_servers": settings.broker,
        "security_protocol": security.protocol,
        "ssl_context": security.context,
        "sasl_mechanism": security.mechanism or "PLAIN",  # aiokafka's default, unused then
        "sasl_plain_username": security.username,
        "sasl_plain_password": security.password,
    }


def _context(settings: Settings) -> ssl.SSLContext:
    """Return a context that checks the broker's certificate and its name, TLS 1.2 or later."""
    try:
        context = ssl.create_default_context(cafile=settings.ssl_ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(_unreadable("ssl_ca", settings.ssl_ca, error)) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.ssl_certificate is not None:
        try:
            # An encrypted key would ask on the terminal: the callback makes it an error instead.
            context.load_cert_chain(settings.ssl_certificate, settings.ssl_key, lambda: "")
        except (OSError, ssl.SSLError) as error:
            names = "ssl_certificate` or `ssl_key"
            raise ConfigError(_unreadable(names, settings.ssl_certificate, error)) from None
    return context


def _password(path: Path | None) -> str:
    try:
        text = path.read_text().strip() if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(_unreadable("sasl_password_file", path, error)) from None
    if not text:
        raise ConfigError(f"setting `sasl_password_file`: {path} is empty")
    return text


def _unreadable(names: str, path: Path | None, error: Exception) -> str:
    why = getattr(error, "strerror", None) or type(error).__name__
    return f"setting `{names}`: {path} cannot be used: {why}"
