"""What a report says about a run, as tables of words; HTML and Markdown both write these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perf.load.recorder import Summary
from perf.report.charts import bars
from perf.report.noise import CONFIDENCE, interval, shown
from perf.report.words import MISSING, about, number, of, plural
from perf.run.record import RunRecord, Verdict

NO_FIGURE = "-"
BOTTLENECK = "generator was the bottleneck"
NAMES_OF_SUMMARY = ("count", "mean", "p50", "p90", "p99", "p99.9", "max")


@dataclass(frozen=True, slots=True)
class Table:
    """A caption, the heads of the columns, and rows of as many words; `long` ones may be folded."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    long: bool = False


def verdict(record: RunRecord) -> tuple[bool, str]:
    """Return whether the run held what was asked of it, and one sentence that says so."""
    missed = [one.name for one in record.objectives if not one.met]
    dead = record.statuses.get("dead-letter", 0)
    wrong = [f"missed: {', '.join(missed)}"] if missed else []
    if record.lost:
        wrong.append(f"{plural(record.lost, 'frame')} without an answer")
    if dead:
        wrong.append(plural(dead, "dead letter"))
    if not record.sent:
        wrong.append("no frame was sent")
    if record.grown:
        wrong.append(f"grown: {', '.join(record.grown)}")
    if wrong:
        return False, f"Not held: {'; '.join(wrong)}."
    answered = "every frame was answered"
    if not record.objectives:
        return True, f"Held: {answered}; no objective was set."
    return True, f"Held: {answered}, and every objective is met."


def warnings(record: RunRecord) -> list[str]:
    """Return what a reader must know before believing the figures: the run's notes, and more."""
    found = list(record.notes)
    if record.generator.was_bottleneck and not any(BOTTLENECK in note for note in found):
        lag = of(record.generator.lag_p99_ms, "ms")
        found.append(
            f"The {BOTTLENECK}: it sent late itself (p99 {lag}), and that is "
            "part of every latency here."
        )
    if record.commit.endswith("+"):
        found.append("Files of the checkout differed from the commit.")
    if record.latency_ms is not None and record.latency_ms.p99_9 is None:
        found.append("Too few frames for a p99.9: it needs 10,000.")
    return found


def objectives(record: RunRecord) -> Table:
    """Return the verdicts."""
    heads = ("objective", "percentile", "limit", "observed", "budget spent", "verdict")
    rows = [
        (
            one.name,
            NO_FIGURE if one.percentile is None else f"p{one.percentile:g}",
            NO_FIGURE if one.limit_ms is None else of(one.limit_ms, "ms"),
            _observed(one),
            _spent(one),
            "met" if one.met else "MISSED",
        )
        for one in record.objectives
    ]
    return Table("Objectives", heads, rows)


def _spent(one: Verdict) -> str:
    """Return the error budget that was spent; goodput has none."""
    none = NO_FIGURE if one.share is not None else MISSING
    return none if one.burn_rate is None else f"{number(one.burn_rate)} x"


def _observed(one: Verdict) -> str:
    """Return the figure; a burn rate over windows has none, nor a percentile never answered."""
    if one.share is not None:
        return f"{100 * one.share:.0f} %"
    judged = one.observed_ms is None and one.burn_rate is not None
    return NO_FIGURE if judged else of(one.observed_ms, "ms")


def frames(record: RunRecord) -> Table:
    """Return the counts and rates."""
    rows = [
        ("asked for or found", of(record.rate_hz, "frames/s")),
        ("answered", of(record.answered_hz, "frames/s")),
        ("during", of(record.seconds, "s")),
        ("frames sent", f"{record.sent:,}"),
        ("frames answered", f"{record.answered:,}"),
        ("frames lost", f"{record.lost:,}"),
        *((f"with status {name}", f"{count:,}") for name, count in record.statuses.items()),
        ("bytes a frame", number(record.bytes_per_frame)),
    ]
    return Table("Load", ("", "figure"), rows)


def latencies(record: RunRecord) -> Table:
    """Return the percentiles, each with the interval that it lies in."""
    total = sum(one.count for one in record.histogram_ms)
    rows = []
    for percent in shown(total) if total else ():
        found = interval(record, percent)
        if found is None:
            continue
        low, high = number(found.low), number(found.high)
        span = f"above {low}" if found.high is None else f"{low} to {high}"
        rows.append((f"p{percent:g}", of(found.value, "ms"), span))
    if (summary := record.latency_ms) is not None:
        rows = [("mean", of(summary.mean, "ms"), ""), *rows, ("max", of(summary.max, "ms"), "")]
    caption = "Latency from the intended time"
    return Table(caption, ("", "latency", f"{100 * CONFIDENCE:g} % interval, ms"), rows)


def summaries(record: RunRecord) -> Table:
    """Return all lanes, and how far the generator was behind, as summaries."""
    found = {
        "all frames": record.latency_ms,
        **{f"lane {name}": one for name, one in record.lanes.items()},
        **(record.kinds if len(record.kinds) > 1 else {}),
        "sent behind schedule": record.lag_ms,
    }
    rows = [(name, *_summed(one)) for name, one in found.items()]
    return Table("Lanes, and the generator's lag, ms", ("", *NAMES_OF_SUMMARY), rows)


def _summed(one: Summary | None) -> list[str]:
    if one is None:
        return [MISSING] * len(NAMES_OF_SUMMARY)
    figures = (one.mean, one.p50, one.p90, one.p99, one.p99_9, one.max)
    return [f"{one.count:,}", *map(number, figures)]


def stages(record: RunRecord) -> Table:
    """Return the stages, their sum, and what of the mean latency they leave open."""
    total = sum(stage.mean for stage in record.stages_ms.values())
    rows = [
        (name, number(one.mean), number(one.p50), number(one.p99), _share(one.mean, total))
        for name, one in record.stages_ms.items()
    ]
    if rows:
        rows.append(("together", number(total), "", "", "100 %"))
    if rows and record.latency_ms is not None:
        rest = record.latency_ms.mean - total
        rows.append(("mean latency less these", f"{rest:.3f}", "", "", ""))
    return Table("Stages, ms", ("", "mean", "p50", "p99", "share of the mean"), rows)


def processes(record: RunRecord) -> Table:
    """Return the processor time of each process."""
    total = sum(record.cpu_ms.values())
    rows = [(name, number(ms), _share(ms, total)) for name, ms in record.cpu_ms.items()]
    if rows:
        rows.append(("together", number(total), "100 %"))
    return Table("Processor time, ms a frame", ("", "ms a frame", "share"), rows)


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else MISSING


def generator(record: RunRecord) -> Table:
    """Return what the load generator itself cost."""
    one = record.generator
    rows = [
        ("processor time a frame, this run", of(one.cpu_ms, "ms")),
        ("processor time a frame, null target", of(one.null_cpu_ms, "ms")),
        ("behind its schedule, p99", of(one.lag_p99_ms, "ms")),
        ("was the bottleneck", "YES" if one.was_bottleneck else "no"),
    ]
    return Table("The generator's own cost", ("", "figure"), rows)


def events(record: RunRecord) -> Table:
    """Return what happened to the target, numbered as in the pictures."""
    ordered = sorted(record.events, key=lambda event: event.at_s)
    rows = [(str(n), of(one.at_s, "s"), one.what) for n, one in enumerate(ordered, 1)]
    return Table("Events", ("no.", "at", "what"), rows)


def points(record: RunRecord) -> Table:
    """Return the runs of a search."""
    heads = ("asked for, /s", "answered, /s", "frames", "p50, ms", "p99, ms", "objective")
    rows = [
        (
            number(one.rate_hz),
            number(one.answered_hz),
            f"{one.samples:,}",
            number(one.p50),
            number(one.p99),
            "cut short" if one.stopped else "held" if one.held else "missed",
        )
        for one in sorted(record.points, key=lambda one: one.rate_hz)
    ]
    return Table("Runs of the search", heads, rows)


def buckets(record: RunRecord) -> Table:
    """Return the bars of the histogram."""
    found = [one for one in bars(record.histogram_ms) if one.frames]
    rows = [(number(one.low_ms), number(one.high_ms), f"{one.frames:,}") for one in found]
    return Table("The histogram's bars", ("above, ms", "up to, ms", "frames"), rows, long=True)


def seconds(record: RunRecord) -> Table:
    """Return the run second by second."""
    heads = ("from, s", "due", "answered", "p50, ms", "p99, ms")
    rows = [
        (number(one.at_s), str(one.sent), str(one.answered), number(one.p50), number(one.p99))
        for one in record.timeline
    ]
    return Table("Second by second", heads, rows, long=True)


def origin(record: RunRecord) -> Table:
    """Return what was run, and on what."""
    rows = [
        ("scenario", record.scenario),
        ("command", record.command),
        ("commit", record.commit),
        ("started", record.started),
        ("seed", str(record.seed)),
        ("broker", record.broker),
        *((name.replace("_", " "), about(value)) for name, value in record.machine.items()),
    ]
    return Table("Where this comes from", ("", ""), rows)
