"""The series app: measures over `scanstream.results`, to `scanstream.series` and `.alerts`.

A Faust table holds what measuring needs of every frame, keyed by series and frame, so a repeat
changes nothing; after a restart or a rebalance the book is rebuilt from it. A result is
acknowledged once its row is confirmed in the table's changelog; Faust itself only queues that.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import Any, get_args

import faust
import msgspec
from faust.tables.table import Table

from engine.config import Settings
from engine.errors import BrokerUnavailable
from engine.messages import RESULTS, Result
from engine.observe.role import Shown
from engine.observe.series import SeriesNotes
from engine.postprocess.book import SeriesBook, SeriesKey, alerts_of, frame_alerts
from engine.postprocess.cine import cine_frame
from engine.series import ALERTS, SERIES, Alert, AlertKind, CineFrame
from streams.base import new_app, tell_ready
from streams.ready import broker_check, member_check
from streams.sending import confirmed, raw_topic, send_confirmed
from streams.topics import SERIES_TABLE, series_app

log = logging.getLogger(__name__)

TICK_S = 0.25
SEEK_AGAIN_S = 5.0


class Row(msgspec.Struct, frozen=True):
    """One row of the table: its key is `key` and `frame_id` as JSON."""

    frame: CineFrame
    changed_s: float


class ConfirmedTable(Table):  # type: ignore[misc]  # faust is untyped
    """A table that hands out the promise of its last change, so that it can be awaited."""

    last_change: asyncio.Future[Any]

    def send_changelog(self, *args: Any, **kwargs: Any) -> Any:
        """Queue a change, as Faust does, and keep its promise."""
        self.last_change = super().send_changelog(*args, **kwargs)
        return self.last_change


def make_app(settings: Settings, shown: Shown | None = None) -> faust.App:
    """Return the app that measures series; it is seen through `shown`."""
    app = new_app(series_app(settings), settings, Table=ConfirmedTable)
    table = app.Table(
        SERIES_TABLE, partitions=settings.partitions, key_type=bytes, value_type=bytes
    )
    shown = shown or Shown("series", settings)
    desk = SeriesDesk(app, table, settings, SeriesNotes(shown.instruments))
    app.on_partitions_assigned.connect(desk.on_assigned)
    app.on_partitions_revoked.connect(desk.on_revoked)
    table.on_recover(desk.on_recovered)

    @app.agent(raw_topic(app, RESULTS), name="series")  # type: ignore[untyped-decorator]
    async def measure(stream: Any) -> None:
        table_is_ours = member_check(lambda: desk.recovered, "the table is not recovered")
        shown.health.attach(
            asyncio.get_running_loop(), {"broker": broker_check(app), "group": table_is_ours}
        )
        async for event in stream.noack().events():
            await desk.take(event)

    @app.timer(TICK_S)  # type: ignore[untyped-decorator]
    async def publish() -> None:
        await desk.publish_due()

    @app.timer(SEEK_AGAIN_S)  # type: ignore[untyped-decorator]
    async def look_back() -> None:
        await desk.look_back()

    return app


class SeriesDesk:
    """Puts results into table and book, and publishes the measures that are due."""

    def __init__(
        self, app: faust.App, table: Any, settings: Settings, notes: SeriesNotes | None = None
    ) -> None:
        self._app = app
        self._table = table
        self._settings = settings
        self._timeout_s = settings.confirm_timeout_s
        self._series = raw_topic(app, SERIES)
        self._alerts = raw_topic(app, ALERTS)
        self._assigned: set[int] = set()
        self._ours: list[Any] = []  # the topic partitions of the results
        self._taken = 0
        self._taken_before = 0
        self._recovered = False
        self._next: dict[Any, int] = {}  # the offset that comes next, by topic partition
        self._sought_s: dict[Any, float] = {}
        self._book = SeriesBook(quiet_s=settings.series_quiet_s, expiry_s=settings.series_expiry_s)
        self._notes = notes or SeriesNotes()
        self._notes.watch(lambda: len(self._book), get_args(AlertKind))

    @property
    def recovered(self) -> bool:
        """True once the table is that of the partitions which this process has."""
        return self._recovered

    async def take(self, event: Any) -> None:
        """Keep one result; acknowledge it when the table's changelog is confirmed."""
        message = event.message
        self._taken += 1
        if not await self._is_next(message):
            return
        now_s = time.time()
        try:
            result = msgspec.json.decode(message.value or b"", type=Result)
        except msgspec.MsgspecError:
            where = f"{message.topic}/{message.partition}/{message.offset}"
            log.warning("skipped a record that is no result: %s", where)
        else:
            await self._keep(result, message.partition, now_s)
            self._notes.taken()
            await self._alert_patiently(frame_alerts(result))
        await self._expire(message.partition, now_s)
        if message.generation_id == self._app.consumer_generation_id:
            event.ack()
            self._next[message.tp] = message.offset + 1

    async def publish_due(self) -> None:
        """Publish the measures that are due, and their alerts; what fails stays due."""
        if not self._recovered:
            return
        try:
            for key, record in self._book.due(time.time()):
                lowest = self._settings.alert_ejection_fraction
                await self._alert(alerts_of(record, lowest_ejection_fraction=lowest))
                await send_confirmed(self._series, key.series, record, self._timeout_s)
                self._book.published(key, record.id)
                self._notes.published()
        except BrokerUnavailable as error:
            log.warning("measures wait: %s", error)

    async def on_assigned(self, app: Any, assigned: Any, **_: Any) -> None:
        """Note which partitions are ours, and say that this process is part of the group."""
        self._ours = [tp for tp in assigned if tp.topic == RESULTS]
        self._assigned = {tp.partition for tp in self._ours}
        tell_ready()

    async def on_revoked(self, app: Any, revoked: Any, **_: Any) -> None:
        """Forget everything: the table is recovered for the partitions that come next."""
        self._recovered = False
        self._next.clear()
        self._sought_s.clear()
        self._book.forget()

    async def on_recovered(self) -> None:
        """Rebuild the book from the table; a series that was published is published again."""
        self._book.forget()
        for name, value in self._table.items():
            key, frame_id = msgspec.json.decode(name, type=tuple[SeriesKey, str])
            row = msgspec.json.decode(value, type=Row)
            if key.partition in self._assigned:
                self._book.add(key, frame_id, row.frame, row.changed_s)
        self._recovered = True
        log.info("%d series recovered", len(self._book))

    async def look_back(self) -> None:
        """Read again what was passed over at the end of a partition, where nothing comes after it.

        To be called every `SEEK_AGAIN_S`; it looks only when nothing was taken in between.
        """
        quiet, self._taken_before = self._taken == self._taken_before, self._taken
        if not (quiet and self._recovered and self._ours):
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                for tp, end in (await self._app.consumer.highwaters(*self._ours)).items():
                    expected = await self._expected(tp)
                    if end > expected and self._taken == self._taken_before:
                        await self._read_again(tp, expected)
        except Exception as error:  # a timer that raises would end the app
            log.warning("cannot look back: %s", type(error).__name__)

    async def _is_next(self, message: Any) -> bool:
        """Return whether no record was passed over; else have Faust read it again.

        While a table recovers, faust-streaming 0.15.3 may fetch records and drop them; the hole
        that they leave would also keep their partition from ever committing again.
        """
        tp = message.tp
        expected = await self._expected(tp)
        if message.offset > expected:
            if time.monotonic() - self._sought_s.get(tp, -SEEK_AGAIN_S) >= SEEK_AGAIN_S:
                await self._read_again(tp, expected)
        elif message.offset == expected:
            self._sought_s.pop(tp, None)
        return bool(message.offset == expected)

    async def _expected(self, tp: Any) -> int:
        """Return the offset that comes next; at first what is committed, or the earliest."""
        if tp not in self._next:
            consumer = self._app.consumer
            earliest = (await consumer.earliest_offsets(tp))[tp]
            self._next.setdefault(tp, max(earliest, consumer._committed_offset.get(tp) or 0))
        return self._next[tp]

    async def _read_again(self, tp: Any, offset: int) -> None:
        """Have Faust go back to `offset`, or to what retention has left after it."""
        consumer = self._app.consumer
        self._sought_s[tp] = time.monotonic()
        self._next[tp] = at = max(offset, (await consumer.earliest_offsets(tp))[tp])
        log.warning("%s was read past offset %d; reading it again", tp, at)
        await consumer.seek(tp, at)

    async def _alert(self, alerts: Iterable[Alert]) -> None:
        for alert in alerts:
            await send_confirmed(self._alerts, alert.series_instance_uid, alert, self._timeout_s)
            self._notes.alerted(alert.kind)

    async def _alert_patiently(self, alerts: Iterable[Alert]) -> None:
        """Publish what a single frame raises; the frame is acknowledged only afterwards."""
        waiting = list(alerts)
        while waiting:
            try:
                await self._alert(waiting)
                return
            except BrokerUnavailable as error:
                log.warning("an alert waits: %s", error)
                await asyncio.sleep(self._settings.backoff_max_s)

    async def _keep(self, result: Result, partition: int, now_s: float) -> None:
        frame = cine_frame(result)
        if frame is None:
            return
        key = SeriesKey.of(result, partition)
        if self._book.add(key, result.frame.id, frame, now_s):
            name = msgspec.json.encode((key, result.frame.id))
            await self._write(partition, name, msgspec.json.encode(Row(frame, now_s)))

    async def _expire(self, partition: int, now_s: float) -> None:
        """Delete the rows of forgotten series; Faust deletes only where an event is at hand."""
        for key, frame_ids in self._book.expired(partition, now_s):
            await self._delete(msgspec.json.encode((key, frame_id)) for frame_id in frame_ids)

    async def _write(self, partition: int, name: bytes, value: bytes) -> None:
        """Set a row and wait until its change is confirmed, trying as long as it takes."""
        self._table[name] = value
        while True:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await confirmed(self._table.last_change)
                return
            except Exception as error:
                log.warning("the table's changelog waits: %s", type(error).__name__)
                await asyncio.sleep(self._settings.backoff_max_s)
                self._table.send_changelog(partition, name, value)

    async def _delete(self, names: Iterable[bytes]) -> None:
        for name in names:
            self._table.pop(name, None)
