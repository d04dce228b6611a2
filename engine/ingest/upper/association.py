"""One association as its acceptor sees it (PS3.8 9.2): a thread, blocking reads, no polling."""

from __future__ import annotations

import logging
import socket
import ssl
from contextlib import suppress
from typing import Final

from engine.errors import AssociationFault
from engine.ingest.upper import dimse, pdu
from engine.ingest.upper.dimse import Command, lies, read_command
from engine.ingest.upper.link import STAGED_BYTES, Link, gone
from engine.ingest.upper.pdu import Rejection, Request
from engine.ingest.upper.received import Received
from engine.ingest.upper.serving import Context, Exchange, Reply, Requestor, Serving

log = logging.getLogger(__name__)

NO_ROOM: Final = Reply(0xA700, "no memory for it: send it again later")
WITH_DATA: Final = frozenset({dimse.C_STORE, dimse.N_ACTION})


class Association:
    """Serves one connection: `run` in a thread of its own, `end` from any other."""

    def __init__(
        self, connection: socket.socket, serving: Serving, *, turn_away: bool = False
    ) -> None:
        self._connection, self._serving = connection, serving
        self._turn_away = turn_away
        self._ending = False
        self._link: Link | None = None
        self._requestor: Requestor | None = None
        self._contexts: dict[int, Context] = {}
        self._max_length = 0
        self._received = Received(serving.inflight, serving.max_object_bytes)
        self._raw = bytearray()  # of the command set, as far as it has come
        self._context: Context | None = None  # of the message under way
        self._command: Command | None = None

    def run(self) -> None:
        """Serve until the peer releases, aborts, errs or falls silent. Raises nothing."""
        try:
            self._link = Link(self._secured(), self._serving.pace)
            self._link.expect(self._serving.acse_timeout_s)
            if self._is_established(self._link):
                self._link.expect(None)
                self._serve(self._link)
        except AssociationFault as fault:
            self._abort(fault)
        except Exception as error:  # its text may quote what was received
            name = type(error).__name__
            self._abort(AssociationFault(f"unexpected {name}, a defect", source=2, reason=0))
        finally:
            self._received.clear()
            if self._requestor is not None:
                self._serving.left(self._requestor)
            with suppress(OSError):
                (self._link or self._connection).close()

    def end(self) -> None:
        """Let it end: at once where it waits for its peer, else after what it is answering."""
        self._ending = True
        with suppress(OSError):
            if self._link is None:
                self._connection.shutdown(socket.SHUT_RDWR)
            else:
                self._link.interrupt()

    def report(self, context: Context, command: bytes, data: bytes) -> None:
        """Send a request of our own; raise `AssociationFault` where the peer is gone."""
        link = self._link
        if link is None:
            raise gone("there is no association")
        for part, is_command in ((command, True), (data, False)):
            link.send(pdu.p_data(context.id, part, command=is_command, max_length=self._max_length))

    def _secured(self) -> socket.socket:
        context = self._serving.tls
        if context is None:
            return self._connection
        self._connection.settimeout(self._serving.acse_timeout_s)
        try:
            self._connection = context.wrap_socket(
                self._connection, server_side=True, do_handshake_on_connect=False
            )
            self._connection.do_handshake()
        except (OSError, ValueError) as error:
            why = getattr(error, "reason", None) or type(error).__name__
            raise gone(f"the TLS handshake failed ({why})") from None
        return self._connection

    def _is_established(self, link: Link) -> bool:
        """Negotiate (PS3.8 7.1); return False where the peer is rejected."""
        kind, length = pdu.HEAD.unpack(link.read(pdu.HEAD.size))
        if kind != pdu.ASSOCIATE_RQ:
            raise _unexpected(kind, "there is no association yet")
        if length > pdu.REQUEST_BYTES:
            raise pdu.invalid("an A-ASSOCIATE-RQ is longer than any can be")
        body = bytearray(length)
        link.read_into(memoryview(body))
        request = pdu.read_request(body)
        rejection = self._rejection(request)
        if rejection is not None:
            log.warning("refused an association: %s", rejection.why)
            link.send(pdu.associate_rj(rejection))
            _until_closed(link)
            return False
        results = [self._result(proposed) for proposed in request.contexts]
        link.send(pdu.associate_ac(request, results))
        self._max_length = request.max_length
        return True

    def _rejection(self, request: Request) -> Rejection | None:
        if not request.version & 1:
            return pdu.UNKNOWN_VERSION
        if request.application_context != pdu.APPLICATION_CONTEXT:
            return pdu.UNKNOWN_APPLICATION
        if self._turn_away:
            return pdu.TOO_MANY
        certificate = None
        if isinstance(self._connection, ssl.SSLSocket):
            certificate = self._connection.getpeercert(binary_form=True)
        address = self._connection.getpeername()[0]
        requestor = Requestor(request.calling, request.called, address, certificate)
        rejection = self._serving.admit(requestor)
        if rejection is None:
            self._requestor = requestor
        return rejection

    def _result(self, proposed: pdu.Proposed) -> tuple[int, int, str]:
        """Accept the context with the first of our transfer syntaxes that it proposes."""
        ours = self._serving.supported.get(proposed.abstract_syntax)
        if ours is None:
            return proposed.id, pdu.ABSTRACT_SYNTAX_UNKNOWN, ""
        theirs = frozenset(proposed.transfer_syntaxes)
        syntax = next((uid for uid in ours if uid in theirs), None)
        if syntax is None:
            return proposed.id, pdu.TRANSFER_SYNTAXES_UNKNOWN, ""
        self._contexts[proposed.id] = Context(proposed.id, proposed.abstract_syntax, syntax)
        return proposed.id, pdu.ACCEPTED, syntax

    def _serve(self, link: Link) -> None:
        while True:
            kind, length = pdu.HEAD.unpack(link.read(pdu.HEAD.size))
            if kind == pdu.P_DATA:
                self._fragments(link, length)
            elif kind == pdu.RELEASE_RQ and self._context is None:
                link.send(pdu.release_rp())
                _until_closed(link)
                return
            elif kind == pdu.ABORT:
                return
            else:
                raise _unexpected(kind, "in this state")

    def _fragments(self, link: Link, left: int) -> None:
        """Take the presentation data values of one P-DATA-TF (PS3.8 9.3.5)."""
        if left > pdu.PDU_BYTES:
            raise pdu.invalid("a P-DATA-TF is longer than was agreed")
        if left == 0:
            raise pdu.invalid("a P-DATA-TF is empty")
        if self._context is None:
            link.moving()
        while left:
            if left < pdu.PDV_HEAD.size:
                raise pdu.invalid("a P-DATA-TF ends inside a value's head")
            item, context_id, flags = pdu.PDV_HEAD.unpack(link.read(pdu.PDV_HEAD.size))
            if not 2 <= item <= left - 4:
                raise pdu.invalid("a presentation data value has a length that it cannot have")
            left -= item + 4
            self._fragment(link, context_id, flags, item - 2)

    def _fragment(self, link: Link, context_id: int, flags: int, size: int) -> None:
        context = self._contexts.get(context_id)
        if context is None or self._context not in (None, context):
            raise _out_of_place("a fragment is of a presentation context that is not its own")
        if bool(flags & pdu.COMMAND) != (self._command is None):
            raise _out_of_place("a fragment is of a command set where data must be, or of data")
        self._context = context
        if self._command is not None:
            self._received.take(link, size)
        elif self._take_command(link, size, last=bool(flags & pdu.LAST)):
            return  # its data set is still to come
        if flags & pdu.LAST:
            self._answer(link)

    def _take_command(self, link: Link, size: int, *, last: bool) -> bool:
        """Take a fragment of a command set; return whether a data set follows."""
        if len(self._raw) + size > dimse.COMMAND_BYTES:
            raise pdu.invalid("a command set is longer than any can be")
        while size:
            part = link.read(min(size, STAGED_BYTES))
            self._raw += part
            size -= len(part)
        if not last:
            return False
        command = self._command = read_command(self._raw)
        if command.field in WITH_DATA and not command.has_data:
            raise lies("a request lacks its data set")
        return command.has_data

    def _answer(self, link: Link) -> None:
        """Let the service have the message, and send its answer."""
        command, context, requestor = self._command, self._context, self._requestor
        if command is None or context is None or requestor is None:
            raise lies("a command set is missing")
        data = self._received.view
        reply = self._reply(Exchange(self, requestor, context, command, data))
        # an unknown thread may still read what was refused: a store that hangs, for one
        self._received.clear(keep=reply.status == dimse.SUCCESS)
        self._raw.clear()
        self._command = self._context = None
        if not command.field & dimse.RESPONSE:
            answer = dimse.response(command, reply.status, comment=reply.comment)
            link.send(pdu.p_data(context.id, answer, command=True, max_length=self._max_length))
        if reply.after is not None:
            reply.after()
        link.moving(False)

    def _reply(self, exchange: Exchange) -> Reply:
        service = self._serving.services.get(exchange.command.field)
        if service is not None and self._received.refused:
            return NO_ROOM
        if service is not None:
            return service(exchange)
        if exchange.command.field & dimse.RESPONSE:
            raise lies("an answer came to what was not asked")
        return Reply(dimse.UNRECOGNISED_OPERATION)

    def _abort(self, fault: AssociationFault) -> None:
        if self._ending:
            fault = AssociationFault("the gateway ends", source=2, reason=0)
        if self._requestor is not None or fault.source is not None:
            log.warning("ended an association: %s", fault)
        if fault.source is None or self._link is None:
            return
        with suppress(AssociationFault):
            self._link.send(pdu.abort(fault.source, fault.reason))


def _until_closed(link: Link) -> None:
    """Leave the closing to the peer, so that it reads our last words (PS3.8 9.2, Sta13)."""
    link.expect(2.0)
    with suppress(AssociationFault):
        while True:
            link.read(1)


def _unexpected(kind: int, where: str) -> AssociationFault:
    known = pdu.ASSOCIATE_RQ <= kind <= pdu.ABORT
    reason = pdu.UNEXPECTED_PDU if known else pdu.UNRECOGNISED_PDU
    what = f"a PDU of type {kind} came that must not, {where}" if known else "an unknown PDU came"
    return AssociationFault(what, source=pdu.SERVICE_PROVIDER, reason=reason)


def _out_of_place(what: str) -> AssociationFault:
    return AssociationFault(what, source=pdu.SERVICE_PROVIDER, reason=pdu.UNEXPECTED_PARAMETER)
