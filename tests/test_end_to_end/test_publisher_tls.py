"""A broker's connection that is refused late, and never says goodbye, closes without a trace."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka_certificates import Authority

from engine.config import Settings
from engine.ingest.loop import ClosableLoop
from engine.ingest.publisher import Publisher

NOT_KAFKA = b"\x00\x00\x00\x02ab"  # too short for any answer of Kafka's protocol


class Impostor:
    """Speaks TLS, answers nonsense, and keeps every connection open and silent after that."""

    def __init__(self, authority: Authority) -> None:
        signed = authority.sign("localhost")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(signed.certificate, signed.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[ssl.SSLSocket] = []
        self.answered = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            plain, _ = self._listener.accept()
            if self._listener.fileno() < 0 or not plain.recv(1, socket.MSG_PEEK):
                plain.close()
                return
            try:
                secured = self._context.wrap_socket(plain, server_side=True)
                self._open.append(secured)
                secured.recv(4096)
                secured.sendall(NOT_KAFKA)
            except OSError:  # cut in the middle
                plain.close()
            self.answered.set()

    def close(self) -> None:
        host, port = self.address.split(":")
        socket.create_connection((host, int(port))).close()  # says nothing: ends the loop
        self._thread.join()
        self._listener.close()
        for one in self._open:
            one.close()


@pytest.fixture
def impostor(tmp_path: Path) -> Iterator[tuple[Impostor, Settings]]:
    authority = Authority(tmp_path, "test-ca")
    server = Impostor(authority)
    settings = Settings(
        broker=server.address, security_protocol="SSL", ssl_ca=authority.file, confirm_timeout_s=2.0
    )
    yield server, settings
    server.close()


def test_a_publisher_closes_while_tls_says_goodbye(impostor: tuple[Impostor, Settings]) -> None:
    server, settings = impostor
    publisher = Publisher(settings)
    publisher.start()
    assert server.answered.wait(10)
    assert publisher.wait_connected(0.5) is False
    publisher.close()  # warnings are errors: a connection left open would fail the test


@pytest.mark.parametrize("turns", range(12))
def test_a_connection_that_is_still_being_made_is_cut(
    impostor: tuple[Impostor, Settings], turns: int
) -> None:
    """The loop is closed `turns` turns into connecting; a socket left open would be a warning."""
    server, settings = impostor
    assert settings.ssl_ca is not None
    trust = ssl.create_default_context(cafile=str(settings.ssl_ca))
    host, port = server.address.split(":")
    loop = ClosableLoop()

    async def connect() -> None:
        await loop.create_connection(
            asyncio.Protocol, host, int(port), ssl=trust, server_hostname="localhost"
        )

    async def some_turns() -> None:
        making = loop.create_task(connect())
        for _ in range(turns):
            await asyncio.sleep(0)
        making.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await making

    loop.run_until_complete(some_turns())
    loop.cut_and_close()
    gc.collect()
