"""The pictures of one run; each function returns None where the record has not what it shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from perf.report.markup import Markup, tag
from perf.report.noise import PERCENTILES, at_share, shown
from perf.report.plot import LEFT, RIGHT, WIDTH, Plot, picture
from perf.report.scale import Scale
from perf.report.words import number, of, plural
from perf.run.record import Bucket, Limit, RunRecord

BARS = 44
STAGE_ROW, STAGE_NAMES, TOP_ROW = 26.0, 120.0, 6.0


class Bar(NamedTuple):
    """Frames with a latency above `low_ms`, up to `high_ms`."""

    low_ms: float
    high_ms: float
    frames: int


def bars(buckets: Sequence[Bucket], most: int = BARS) -> list[Bar]:
    """Merge buckets into at most `most` bars of equal width on a logarithmic axis."""
    if not buckets:
        return []
    low = max(buckets[0].upper_bound_ms * 0.998, 1e-6)
    high = max(buckets[-1].upper_bound_ms, low * 1.01)
    step = math.log(high / low) / most
    counts = [0] * most
    for one in buckets:
        place = math.ceil(math.log(max(one.upper_bound_ms, low) / low) / step - 1e-9) - 1
        counts[min(most - 1, max(0, place))] += one.count
    edges = [low * math.exp(step * n) for n in range(most + 1)]
    return [Bar(*edge, count) for edge, count in zip(pairwise(edges), counts, strict=True)]


def histogram(record: RunRecord) -> Markup | None:
    """Return the latencies as bars, with the percentiles and what the objectives ask for."""
    found = bars(record.histogram_ms)
    if not found:
        return None
    total = sum(one.frames for one in found)
    marks = [(at_share(record.histogram_ms, total, p / 100), f"p{p:g}", "at") for p in shown(total)]
    limits = sorted({one.limit_ms for one in record.limits})
    marks += [(limit, f"limit {number(limit)} ms", "limit") for limit in limits]
    ends = [found[0].low_ms, found[-1].high_ms, *limits]
    plot = Plot(
        Scale.logarithmic(ends),
        Scale.linear([100 * one.frames / total for one in found]),
        labels=("latency from the intended time, ms", "share of the frames, %"),
        marks=sorted(marks),
    )
    for one in found:
        if one.frames:
            plot.bar(one.low_ms, one.high_ms, 100 * one.frames / total, "first")
    return plot.picture(
        "histogram",
        "How long frames took",
        f"Histogram of {plural(total, 'frame')}, from "
        f"{number(found[0].low_ms)} to {number(found[-1].high_ms)} ms.",
    )


def percentiles(record: RunRecord) -> Markup | None:
    """Return latency over the percentile, on the axis of HDR histograms: log of 1 / (1 - share)."""
    buckets = record.histogram_ms
    total = sum(one.count for one in buckets)
    if total < 2:
        return None
    points, below = [], 0
    for one in buckets:  # the frames up to a bound; the last frame of all is at 1 - 1 / total
        below += one.count
        points.append((total / max(total - below, 1), one.upper_bound_ms))
    limits = [(1 / (1 - one.percentile / 100), one) for one in _asked(record)]
    last = max([total, *(x for x, _ in limits)])
    ticks = [(1.0, "0"), *((100 / (100 - p), f"{p:g}") for p in PERCENTILES if p < 100 - 99 / last)]
    heights = [points[-1][1], *(one.limit_ms for _, one in limits)]
    plot = Plot(
        Scale(1.0, float(last), log=True),
        Scale.linear(heights),
        labels=("percentile", "latency, ms"),
        x_ticks=ticks,
        marks=[(x, _named(one), "limit") for x, one in sorted(limits, key=lambda pair: pair[0])],
    )
    plot.stairs(points, "first")
    for x, asked in limits:
        plot.line([(x, asked.limit_ms)], "limit", dots=True)
    described = f"The slowest of {total:,} frames took {number(points[-1][1])} ms."
    return plot.picture("percentiles", "Latency by percentile", described)


def _asked(record: RunRecord) -> list[Limit]:
    """Return an objective for each limit at a percentile: a burn rate repeats that of another."""
    found = {(one.percentile, one.limit_ms): one for one in reversed(record.limits)}
    return [one for one in reversed(found.values()) if one.percentile < 100]


def _named(one: Limit) -> str:
    limit = f"{number(one.limit_ms)} ms"
    return one.name if limit in one.name else f"{one.name}: {limit}"


def timeline(record: RunRecord) -> Markup | None:
    """Return the latencies second by second with the events, and below them the rates."""
    seconds = record.timeline
    if len(seconds) < 2:
        return None
    across = Scale(0.0, max(one.at_s for one in seconds) + 1)
    events = sorted(record.events, key=lambda event: event.at_s)
    marks = [(event.at_s, str(n), "event") for n, event in enumerate(events, 1)]
    latency = [
        (name, [(one.at_s + 0.5, value) for one in seconds if (value := getattr(one, name))])
        for name in ("p50", "p99")
    ]
    rates = [
        (name, [(one.at_s + 0.5, float(getattr(one, name))) for one in seconds])
        for name in ("sent", "answered")
    ]
    kinds = ("first", "second")
    above = Plot(
        across, Scale.logarithmic([y for _, line in latency for _, y in line]),
        labels=("seconds from the start", "latency, ms"), marks=marks,
        legend=list(zip(("p50", "p99"), kinds, strict=True)),
    )  # fmt: skip
    under = Plot(
        across, Scale.linear([y for _, line in rates for _, y in line]),
        labels=("seconds from the start", "frames a second"), marks=marks,
        legend=list(zip(("due", "answered"), kinds, strict=True)),
    )  # fmt: skip
    for plot, lines in ((above, latency), (under, rates)):
        for (_, points), kind in zip(lines, kinds, strict=True):
            plot.line(points, kind)
    told = f"{plural(len(seconds), 'second')}, {plural(len(events), 'event')}; the table has them."
    return Markup(
        above.picture("timeline", "Latency of the frames due in each second", told)
        + under.picture("rates", "Frames due and answered in each second", told)
    )


def throughput(record: RunRecord) -> Markup | None:
    """Return latency over the rate asked for, one point a run that was not cut short."""
    whole = [one for one in sorted(record.points, key=lambda one: one.rate_hz) if not one.stopped]
    lines = [
        [(one.rate_hz, value) for one in whole if (value := getattr(one, name))]
        for name in ("p50", "p99")
    ]
    if not any(lines):
        return None
    limits: dict[float, list[str]] = {}
    for one in _asked(record):
        limits.setdefault(one.limit_ms, []).append(_named(one))
    kinds = ("first", "second")
    word = "found" if record.points[-1].held else "not held"
    plot = Plot(
        Scale.linear([one.rate_hz for one in record.points]),
        Scale.logarithmic([*(y for line in lines for _, y in line), *limits]),
        labels=("frames a second asked for", "latency, ms"),
        marks=[(record.rate_hz, f"{word} {number(record.rate_hz)} /s", "at")],
        legend=list(zip(("p50", "p99"), kinds, strict=True)),
    )  # fmt: skip
    for limit, names in limits.items():
        plot.level(limit, ", ".join(names), "limit")
    for line, kind in zip(lines, kinds, strict=True):
        plot.line(line, kind, dots=True)
    told = f"{plural(len(whole), 'run')}; {len(record.points) - len(whole)} more were cut short."
    return plot.picture("throughput", "Latency by rate", told)


def waterfall(record: RunRecord) -> Markup | None:
    """Return the mean latency as stages, each beginning where the one before ends."""
    steps = [(name, stage.mean) for name, stage in record.stages_ms.items()]
    return _cascade("waterfall", "Where the mean latency goes, stage by stage", steps)


def processor(record: RunRecord) -> Markup | None:
    """Return the processor time a frame, process by process."""
    steps = list(record.cpu_ms.items())
    return _cascade("processor", "Processor time a frame, by process", steps)


def _cascade(name: str, title: str, steps: Sequence[tuple[str, float]]) -> Markup | None:
    """Draw bars one below the other that add up to the last; each with its figure beside it."""
    total = sum(ms for _, ms in steps)
    if total <= 0:
        return None
    room = WIDTH - LEFT - RIGHT - STAGE_NAMES - 90
    left = LEFT + STAGE_NAMES - 40
    low = min(0.0, min(ms for _, ms in steps))
    body, done = [], 0.0
    for row, (label, ms) in enumerate([*steps, ("total", total)]):
        kind, start = ("second", 0.0) if row == len(steps) else ("first", done)
        y = TOP_ROW + row * STAGE_ROW
        near, far = sorted((start, start + ms))
        x, wide = left + room * (near - low) / (total - low), room * (far - near) / (total - low)
        wide = max(wide, 1.0) if ms else 0.0
        text = f"{of(ms, 'ms')}, {100 * ms / total:.0f} %"
        body += [
            tag("text", _short(label), x=left - 8, y=y + 13, text_anchor="end", class_="mark"),
            tag("rect", x=x, y=y, width=wide, height=STAGE_ROW - 8, class_=f"bar {kind}"),
            tag("text", text, x=x + wide + 6, y=y + 13, class_="mark"),
        ]
        done += ms
    told = f"{len(steps)} parts add up to {of(total, 'ms')}; the table has them."
    return picture(name, title, told, TOP_ROW + STAGE_ROW * (len(steps) + 1), *body)


def _short(label: str, most: int = 20) -> str:
    return label if len(label) <= most else label[: most - 1] + "…"
