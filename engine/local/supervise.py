"""Keep a running stack running: what dies is started again, with growing patience."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from engine.errors import LocalStackError
from engine.local.processes import Server

FIRST_DELAY_S = 0.5
LAST_DELAY_S = 30.0
STEADY_S = 60.0  # alive for this long: the next death is a new story


@dataclass
class _State:
    """What is known of one server. Times are seconds on the caller's clock."""

    delay_s: float = FIRST_DELAY_S
    due_s: float | None = None  # when to start it again; None while it runs
    since_s: float = 0.0


class Supervisor:
    """Restarts servers that died. Time is passed in; `say` gets one line for each event.

    `vital` is a server whose death nothing survives: a broker that keeps its topics in memory.
    """

    def __init__(
        self,
        servers: Iterable[Server],
        say: Callable[[str], None],
        *,
        vital: Server | None,
    ) -> None:
        self._servers = list(servers)
        self._say = say
        self._vital = vital
        self._states = {server.name: _State() for server in self._servers}

    def check(self, now_s: float) -> None:
        """Look at each server once, and restart those whose time has come; a restart blocks.

        Raise `LocalStackError` when the vital server is dead: nothing can go on without it.
        """
        if self._vital is not None and not self._vital.alive:
            raise LocalStackError(
                f"{self._vital.name} ended with code {self._vital.exit_code}, and all topics were "
                "in its memory: this run is over. Start again, and send again what has no result"
            )
        for server in self._servers:
            state = self._states[server.name]
            if server.alive:
                if now_s - state.since_s > STEADY_S:
                    state.delay_s = FIRST_DELAY_S
            elif state.due_s is None:
                state.due_s = now_s + state.delay_s
                self._say(
                    f"{server.name} ended with code {server.exit_code}; "
                    f"starting it again in {state.delay_s:g} s"
                )
            elif now_s >= state.due_s:
                self._restart(server, state, now_s)

    def _restart(self, server: Server, state: _State, now_s: float) -> None:
        state.delay_s = min(2 * state.delay_s, LAST_DELAY_S)
        try:
            server.restart()
        except LocalStackError as error:
            state.due_s = now_s + state.delay_s
            self._say(f"{error}\n{server.name}: next try in {state.delay_s:g} s")
        else:
            state.due_s, state.since_s = None, now_s
            self._say(f"{server.name} is back")
