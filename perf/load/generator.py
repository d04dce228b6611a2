"""Sends frames when they are due, whatever the answers do, and matches the answers.

Latency counts from the *intended* time. A generator that falls behind, because the target's queue
is full or the machine has no core left for it, therefore adds to the latencies, and says so: `lag`
is how far sends were behind their due times.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import repeat

import msgspec

from engine.messages import FrameMessage
from perf.load.frames import ANY, Frames, Pick
from perf.load.recorder import Histogram, Summary, nanoseconds
from perf.load.target import Answer, Target
from perf.load.trip import Trip, begun, ended

LAG_LIMIT_MS = 5.0
LAG_SHARE = 0.1
BUSY = 0.9  # of a core: what it sends and reads goes through one interpreter
WAIT_S = 0.05


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a run of load gave.

    `latency_ms` from a frame's intended time to its answer; `lag_ms` from there to when it was
    sent. `rate_hz` are answers a second over `seconds`. `cpu_s` is the generator's own processor
    time. `kept` has the last answer to each frame of the source, by its place there, where asked.
    `stopped` where the run ended early because too many frames were under way. `lanes` has the
    latencies of each lane. `busy` is the share of a core that the generator used while it sent.
    `start_s` is `time.monotonic()`; `trips` are all frames, in the order of their answers, then
    those without.
    """

    sent: int
    answered: int
    seconds: float
    rate_hz: float
    latency_ms: Summary
    lag_ms: Summary
    statuses: dict[str, int]
    cpu_s: float
    kept: dict[int, bytes] = {}
    stopped: bool = False
    lanes: dict[str, Summary] = {}
    busy: float = 0.0
    start_s: float = 0.0
    trips: list[Trip] = []

    @property
    def lost(self) -> int:
        """Frames without an answer within the drain time."""
        return self.sent - self.answered

    @property
    def was_bottleneck(self) -> bool:
        """True where it sent too late for the latencies, or could hardly have sent more."""
        return self.was_late or self.busy > BUSY

    @property
    def was_late(self) -> bool:
        """True where the generator's own lag is part of what the latencies show."""
        limit_ms = max(LAG_LIMIT_MS, LAG_SHARE * self.latency_ms.p99)
        return self.sent > 0 and not self.lag_ms.p99 <= limit_ms


class _Book:
    """Which frames are under way, and what was answered; written by two threads."""

    def __init__(self, *, keep: bool) -> None:
        self.latency, self.lag = Histogram(), Histogram()
        self.statuses: Counter[str] = Counter()
        self.kept: dict[int, bytes] = {}
        self.lanes: defaultdict[str, Histogram] = defaultdict(Histogram)
        self.under_way: dict[str, tuple[Trip, int]] = {}
        self.trips: list[Trip] = []
        self.answers: list[float] = []
        self.changed = threading.Event()
        self._keep = keep

    def sent(self, frame: FrameMessage, place: int, due_s: float, kind: str) -> None:
        """Note a frame that is about to be sent."""
        self.under_way[frame.id] = begun(frame, due_s, kind), place
        self.lag.add(nanoseconds(time.monotonic() - due_s))

    def answered(self, answer: Answer) -> None:
        """Note an answer; a repeat, or one to somebody else's frame, is none."""
        found = self.under_way.pop(answer.frame_id, None)
        if found is None:
            return
        trip, place = found
        latency_ns = nanoseconds(answer.at_s - trip.due_s)
        self.latency.add(latency_ns)
        self.lanes[trip.lane].add(latency_ns)
        self.trips.append(ended(trip, answer))
        self.statuses[answer.status] += 1
        self.answers.append(answer.at_s)
        if self._keep:
            self.kept[place] = answer.record
        self.changed.set()

    def wait_below(self, limit: int, until_s: float) -> bool:
        """Wait until fewer than `limit` frames are under way; False when time runs out."""
        while len(self.under_way) >= limit:
            if time.monotonic() >= until_s:
                return False
            self.changed.wait(WAIT_S)
            self.changed.clear()
        return True

    def outcome(
        self, *, sent: int, start_s: float, stop_s: float, cpu_s: float, busy: float
    ) -> Outcome:
        """Sum up; the rate is that of the answers between `start_s` and `stop_s`."""
        inside = sum(start_s <= at_s < stop_s for at_s in self.answers)
        seconds = max(stop_s - start_s, 1e-9)
        return Outcome(
            sent=sent,
            answered=len(self.answers),
            seconds=seconds,
            rate_hz=inside / seconds,
            latency_ms=Summary.of(self.latency),
            lag_ms=Summary.of(self.lag),
            statuses=dict(self.statuses),
            cpu_s=cpu_s,
            kept=self.kept,
            lanes={lane: Summary.of(found) for lane, found in dict(self.lanes).items()},
            busy=busy,
            start_s=start_s,
            trips=[*self.trips, *(trip for trip, _ in list(self.under_way.values()))],
        )


class _Spent:
    """This process's processor time since it was made."""

    def __init__(self) -> None:
        self._cpu_s, self._at_s = time.process_time(), time.monotonic()

    @property
    def cpu_s(self) -> float:
        """Seconds, of all threads."""
        return time.process_time() - self._cpu_s

    @property
    def busy(self) -> float:
        """The share of a core."""
        return self.cpu_s / max(time.monotonic() - self._at_s, 1e-9)


class Generator:
    """Loads one target with frames from one source; runs may follow each other."""

    def __init__(self, target: Target, frames: Frames) -> None:
        self._target = target
        self._frames = frames
        self._book = _Book(keep=False)
        target.start(lambda answer: self._book.answered(answer))

    def close(self) -> None:
        """Disconnect; raises `TargetFailed` where frames were refused."""
        self._target.close()

    def open_loop(
        self,
        schedule: Iterable[float],
        picks: Iterable[Pick] = repeat(ANY),
        *,
        budget_ms: float,
        drain_s: float = 10.0,
        keep: bool = False,
        most_under_way: int | None = None,
    ) -> Outcome:
        """Send a frame at each due time; then wait at most `drain_s` for the answers.

        `picks` says which frame each is. `budget_ms` is a frame's deadline after its due time
        where its pick has none. The schedule must end. The rate is that of the answers from the
        start of the run to the last answer. With `most_under_way` the run ends where so many
        frames have no answer yet: the rate is far too high.
        """
        book = self._book = _Book(keep=keep)
        spent, sent, stopped = _Spent(), 0, False
        start_s = time.monotonic() + WAIT_S
        for due_s, pick in zip(schedule, picks, strict=False):
            if stopped := most_under_way is not None and len(book.under_way) >= most_under_way:
                break
            self._send(book, start_s + due_s, budget_ms, pick)
            sent += 1
        busy = spent.busy
        book.wait_below(1, time.monotonic() + drain_s)
        stop_s = max(book.answers, default=start_s) + 1e-6
        outcome = book.outcome(
            sent=sent, start_s=start_s, stop_s=stop_s, cpu_s=spent.cpu_s, busy=busy
        )
        return msgspec.structs.replace(outcome, stopped=stopped)

    def backlog(
        self,
        *,
        outstanding: int,
        seconds: float,
        warm_s: float,
        budget_ms: float,
        drain_s: float = 30.0,
        keep: bool = False,
        pick: Pick = ANY,
    ) -> Outcome:
        """Keep `outstanding` frames under way for `warm_s` and then `seconds`: the offline rate.

        Closed loop, so its latencies say nothing; its rate is that of the answers in `seconds`.
        """
        book = self._book = _Book(keep=keep)
        spent, sent = _Spent(), 0
        start_s = time.monotonic() + warm_s
        stop_s = start_s + seconds
        while time.monotonic() < stop_s:
            if book.wait_below(outstanding, stop_s):
                # due now that there is room: the wait for it is the loop's own, and no lag
                self._send(book, time.monotonic(), budget_ms, pick)
                sent += 1
        cpu_s, busy = spent.cpu_s, spent.busy
        book.wait_below(1, time.monotonic() + drain_s)
        return book.outcome(sent=sent, start_s=start_s, stop_s=stop_s, cpu_s=cpu_s, busy=busy)

    def _send(self, book: _Book, due_s: float, budget_ms: float, pick: Pick) -> None:
        # made before it is due, so that the making is not part of the lag
        due_ns = time.time_ns() + round((due_s - time.monotonic()) * 1e9)
        place, frame = self._frames.next(due_ns, budget_ms, pick)
        if (wait_s := due_s - time.monotonic()) > 0:
            time.sleep(wait_s)
        book.sent(frame, place, due_s, pick.kind)
        self._target.send(frame)
