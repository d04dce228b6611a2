"""Dead letters as they stand: the last of each frame, and whether a result has come since."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from engine.config import Settings
from engine.messages import DEAD_LETTER, RESULTS, DeadLetter
from engine.reconcile.records import Tick, scan


class _Frame(msgspec.Struct):
    id: str


class _Answer(msgspec.Struct):
    """The part of a result that is asked for here."""

    frame: _Frame
    published_ns: int
    run: str = ""


@dataclass(slots=True)
class Letter:
    """A dead letter, and whether a later result of its frame has superseded it."""

    letter: DeadLetter
    answered: bool = False


async def letters(settings: Settings, tick: Tick = lambda _: None) -> list[Letter]:
    """Return the last letter of each frame, in the order of their failing.

    Memory grows with the dead letters, not with the results. Raises `BrokerUnavailable`.
    """
    decode = msgspec.json.Decoder(DeadLetter).decode
    found: dict[str, Letter] = {}
    async for record in scan(settings, DEAD_LETTER, tick):
        one = decode(record.value or b"")
        known = found.get(one.id)
        if known is None or known.letter.failed_ns <= one.failed_ns:
            found[one.id] = Letter(one)
    if found:
        await _note_answers(settings, found.values(), tick)
    return sorted(found.values(), key=lambda one: one.letter.failed_ns)


async def _note_answers(settings: Settings, found: Iterable[Letter], tick: Tick) -> None:
    by_frame = {one.letter.frame.id: one for one in found if one.letter.frame is not None}
    decode = msgspec.json.Decoder(_Answer).decode
    async for record in scan(settings, RESULTS, tick):
        answer = decode(record.value or b"")
        one = by_frame.get(answer.frame.id)
        if one is not None and not answer.run and answer.published_ns > one.letter.failed_ns:
            one.answered = True
