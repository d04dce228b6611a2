"""The kernels on batches that lie on the device."""

from __future__ import annotations

import numpy as np

from kernels import _cupy, _reference
from perf.gpu.bench import Bench, Row, pictures, row
from perf.gpu.chain import CLIP_LIMIT, LEVELS, TILES, enhanced, specified

WINDOW_SHARE = 0.85  # of the copy bandwidth
CLAHE_US = 1.5  # a frame


def window(bench: Bench) -> list[Row]:
    """Window int16 to float32: two bytes read and four written a pixel."""
    frames, side = bench.sizes.window_frames, bench.sizes.side
    host = pictures(frames, side).astype(np.int16)
    device = bench.cupy.asarray(host)
    given = (1024.0, 2000.0, "LINEAR", 0)
    last = bench.cupy.asnumpy(_cupy.window(device, *given)[-1])
    equal = bool(np.allclose(last, _reference.window(host[-1], *given), atol=1e-6))
    rate = 6 * host.size / bench.seconds(lambda: _cupy.window(device, *given)) / 1e9
    note = (
        f"{rate / bench.copy_gb_s:.1%} of copy/device; {frames} frames of {side} x {side}, int16 "
        "to float32; the last within 1e-6 of the specification"
    )
    target = WINDOW_SHARE * bench.copy_gb_s
    return [row("window", rate, "GB/s", target=target, equal=equal, note=note)]


def clahe(bench: Bench) -> list[Row]:
    """Equalise 12 bits in uint16."""
    frames, side = bench.sizes.frames, bench.sizes.side
    host = pictures(frames, side)
    device = bench.cupy.asarray(host)
    given = (CLIP_LIMIT, TILES, LEVELS)
    last = bench.cupy.asnumpy(_cupy.clahe(device, *given)[-1])
    equal = bool((last == _reference.clahe(host[-1], *given)).all())
    each = bench.seconds(lambda: _cupy.clahe(device, *given)) / frames * 1e6
    note = f"batch of {frames}, {side} x {side}, {LEVELS} bins; the last exactly as specified"
    verdict = {"target": CLAHE_US, "lower_is_better": True, "equal": equal}
    return [row("clahe", each, "us/frame", **verdict, note=note)]  # type: ignore[arg-type]


def chain(bench: Bench) -> list[Row]:
    """Run window, median, CLAHE, unsharp, resample and normalise one after the other."""
    frames, side = bench.sizes.frames, bench.sizes.side
    host = pictures(frames, side)
    device = bench.cupy.asarray(host)
    last = bench.cupy.asnumpy(enhanced(device)[-1])
    equal = bool(abs(last.astype(int) - specified(host[-1])).max() <= 2)
    rate = frames / bench.seconds(lambda: enhanced(device))
    note = f"batch of {frames}, {side} x {side}; the last within 2 of 256 levels of the specified"
    return [row("chain", rate, "frames/s", equal=equal, note=note)]
