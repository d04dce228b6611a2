"""When a server that failed is tried again; the test is the clock."""

from __future__ import annotations

import asyncio

import pytest
from model_contract import pictures
from scripted_triton import client

from engine.errors import ModelUnavailable
from engine.infer.breaker import FIRST_WAIT_S, MAX_WAIT_S, Breaker


def test_the_wait_doubles_up_to_a_limit_and_begins_anew() -> None:
    breaker, now_s, waits = Breaker(), 0.0, []
    assert breaker.wait_s(now_s) == 0
    for _ in range(40):
        breaker.probe()
        assert breaker.state == "half-open"
        breaker.failed(now_s)
        assert breaker.state == "open"
        waits.append(breaker.wait_s(now_s))
        now_s += waits[-1]
        assert breaker.wait_s(now_s) == 0
    assert waits[:3] == pytest.approx([FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S])
    assert [max(waits), waits[-1]] == pytest.approx([MAX_WAIT_S, MAX_WAIT_S])
    breaker.worked()
    breaker.lost()
    assert (breaker.state, breaker.wait_s(now_s)) == ("open", 0)
    breaker.failed(now_s)
    assert breaker.wait_s(now_s) == pytest.approx(FIRST_WAIT_S)


def test_what_was_never_closed_cannot_be_lost() -> None:
    breaker = Breaker()
    breaker.failed(5.0)
    breaker.lost()
    assert breaker.wait_s(5.0) > 0


async def test_callers_of_a_dead_server_share_one_probe_and_its_states_show(server) -> None:
    async with client(server, timeout_s=2) as model:
        assert model.state == "closed"
        await server.stop()
        seen = set()
        for _ in range(3):
            calls = [asyncio.create_task(model.infer(pictures(1))) for _ in range(5)]
            await asyncio.wait(calls, timeout=0.01)
            seen.add(model.state)
            for outcome in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(outcome, ModelUnavailable)
            seen.add(model.state)
        assert seen <= {"open", "half-open"}
        assert model.state == "open"
        assert model._link._breaker._failures <= 3
