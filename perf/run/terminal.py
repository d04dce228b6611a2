"""What is seen of a run: its verdicts, its figures and its histogram, in plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from perf.load.recorder import Summary
from perf.run.record import Bucket, RunRecord, Verdict

ROWS, WIDTH = 20, 40


def text(record: RunRecord) -> str:
    """Return the run as lines of at most 100 characters, but for its notes."""
    return "\n".join(_lines(record))


def _lines(record: RunRecord) -> Iterator[str]:
    yield (
        f"{record.scenario}: {record.rate_hz:.1f} frames/s for {record.seconds:.3g} s; "
        f"{record.sent} sent, {record.answered} answered, {record.lost} lost"
    )
    for lane, found in sorted(record.lanes.items()):
        yield f"{lane}: {figures(found)}"
    if len(record.kinds) > 1:
        yield from (f"{kind}: {figures(found)}" for kind, found in record.kinds.items())
    yield from histogram(record.histogram_ms)
    for event in record.events:
        yield f"{event.at_s:8.1f} s  {event.what}"
    if record.stages_ms:
        # + 0.0: what is nearly nothing has no sign
        means = {name: round(of.mean, 2) + 0.0 for name, of in record.stages_ms.items()}
        each = ", ".join(f"{name} {mean:.2f}" for name, mean in means.items())
        yield f"mean ms by stage: {each}"
    if record.cpu_ms:
        each = ", ".join(f"{name} {ms:.2f}" for name, ms in record.cpu_ms.items())
        yield f"processor ms a frame: {each}"
    if (null := record.generator.null_cpu_ms) is not None:
        yield f"of the generator's, {null:.2f} ms are there with the null target too"
    yield from (f"note: {note}" for note in record.notes)
    yield from (f"GREW: {what}" for what in record.grown)
    yield from map(verdict, record.objectives)


def figures(found: Summary) -> str:
    """Return the percentiles of a lane in one line."""
    rare = "" if found.p99_9 is None else f", p99.9 {found.p99_9:.1f}"
    return (
        f"p50 {found.p50:.1f}, p90 {found.p90:.1f}, p99 {found.p99:.1f}{rare}, "
        f"max {found.max:.1f} ms of {found.count}"
    )


def verdict(one: Verdict) -> str:
    """Return an objective's line."""
    seen = "" if one.observed_ms is None else f": {one.observed_ms:.1f} ms"
    seen += "" if one.share is None else f": {100 * one.share:.0f} %"
    burn = "" if one.burn_rate is None else f", burn rate {one.burn_rate:.2f}"
    return f"{'met   ' if one.met else 'MISSED'}  {one.name}{seen}{burn}"


def histogram(buckets: Sequence[Bucket], rows: int = ROWS) -> Iterator[str]:
    """Yield a bar for each of at most `rows` ranges of latencies, which may be empty.

    Each row's number is its upper bound in milliseconds; a bar is never rounded to nothing.
    """
    if not buckets:
        return
    low, high = buckets[0].upper_bound_ms, buckets[-1].upper_bound_ms
    ratio = max(2 ** (1 / 4), (high / low) ** (1 / max(1, rows - 1)))
    counts: list[int] = []
    bounds: list[float] = []
    bound, waiting = low, list(buckets)
    while waiting:
        inside = [one for one in waiting if one.upper_bound_ms <= bound * (1 + 1e-9)]
        waiting = waiting[len(inside) :]
        bounds.append(bound)
        counts.append(sum(one.count for one in inside))
        bound = bound * ratio if len(bounds) < rows - 1 else max(high, bound * ratio)
    most = max(counts)
    for bound, count in zip(bounds, counts, strict=True):
        bar = "#" * max(bool(count), round(WIDTH * count / most))
        yield f"{bound:10.1f} ms |{bar:<{WIDTH}} {count}"
