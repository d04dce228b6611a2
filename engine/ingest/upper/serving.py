"""What all associations of a server share, and what its services are given."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from engine.ingest.upper.dimse import Command
from engine.ingest.upper.inflight import InFlight
from engine.ingest.upper.link import Pace
from engine.ingest.upper.pdu import Rejection

if TYPE_CHECKING:
    from engine.ingest.upper.association import Association


class Requestor(NamedTuple):
    """Who asks for an association: AE titles without padding, address, certificate in DER."""

    calling: str
    called: str
    address: str
    certificate: bytes | None


class Context(NamedTuple):
    """A presentation context that was accepted."""

    id: int
    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request with its data set, which is valid until the service returns."""

    association: Association
    requestor: Requestor
    context: Context
    command: Command
    data: memoryview


class Reply(NamedTuple):
    """The answer to a request. `comment` is free of the data set's values.

    `after` is called once the answer is sent, in the association's thread: it may send requests of
    its own with `Association.report`.
    """

    status: int
    comment: str = ""
    after: Callable[[], None] | None = None


Service = Callable[[Exchange], Reply]


def _everybody(_: Requestor) -> Rejection | None:
    return None


def _nothing(_: Requestor) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A server's terms.

    `supported` has the transfer syntaxes by abstract syntax, in order of preference; `services`
    are by command field. `admit` returns why a peer is not let in, or None; `left` is told of each
    one that was let in when its association ends.
    """

    supported: Mapping[str, Sequence[str]]
    services: Mapping[int, Service]
    inflight: InFlight
    max_object_bytes: int
    pace: Pace
    acse_timeout_s: float
    tls: ssl.SSLContext | None = None
    admit: Callable[[Requestor], Rejection | None] = field(default=_everybody)
    left: Callable[[Requestor], None] = field(default=_nothing)
