"""Raw frames in page-locked memory in, enhanced pictures in page-locked memory out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any

from perf.gpu.bench import Array, Bench, Row, pictures, row
from perf.gpu.chain import SIDE, enhanced, specified

FRAMES_S = 12000.0  # to masks; without the model this part alone has to be faster
SHARE = 0.9
LANES = 3  # one copies in while another computes and a third copies out


@dataclass(slots=True)
class Lane:
    """A CUDA stream with its own buffers."""

    stream: Any
    raw: Array
    device: Any
    out: Array

    def copy_in(self) -> None:
        self.device.set(self.raw, stream=self.stream)

    def compute(self) -> Any:
        with self.stream:
            return enhanced(self.device)

    def copy_out(self, pictures: Any) -> None:
        pictures.get(stream=self.stream, out=self.out, blocking=False)


def pinned_to_pictures(bench: Bench) -> list[Row]:
    """Overlap copies and kernels on a few streams; then time the slowest stage by itself."""
    frames = bench.sizes.frames
    lanes = [_lane(bench) for _ in range(LANES)]
    for lane in lanes:
        _whole(lane)
    bench.cupy.cuda.Device().synchronize()
    want = specified(lanes[0].raw[-1])
    equal = all(bool(abs(lane.out[-1].astype(int) - want).max() <= 2) for lane in lanes)
    turn = count()
    batch = bench.wall_seconds(lambda: _whole(lanes[next(turn) % LANES]))
    stages = _stages(bench, lanes[0])
    slowest = max(stages, key=lambda name: stages[name])
    share = stages[slowest] / batch
    each = ", ".join(f"{name} {1e3 * seconds:.3f} ms" for name, seconds in stages.items())
    note = (
        f"batches of {frames} on {LANES} streams, uint16 {lanes[0].raw.shape[1:]} to uint8 "
        f"({SIDE}, {SIDE}); no model: the target is that of frames to masks; alone: {each}"
    )
    name, rate = "pinned-to-pictures", frames / batch
    return [
        row(name, rate, "frames/s", target=FRAMES_S, equal=equal, note=note),
        row(f"{name}/share", share, "of the time", target=SHARE, note=f"{slowest} alone"),
    ]


def _lane(bench: Bench) -> Lane:
    frames, side = bench.sizes.frames, bench.sizes.side
    raw = bench.pinned((frames, side, side), "uint16")
    raw[...] = pictures(frames, side)
    device = bench.cupy.empty(raw.shape, dtype="uint16")
    out = bench.pinned((frames, SIDE, SIDE), "uint8")
    return Lane(bench.cupy.cuda.Stream(non_blocking=True), raw, device, out)


def _whole(lane: Lane) -> None:
    lane.copy_in()
    lane.copy_out(lane.compute())


def _stages(bench: Bench, lane: Lane) -> dict[str, float]:
    bench.cupy.cuda.Device().synchronize()
    done = lane.compute()
    return {
        "copy in": bench.wall_seconds(lane.copy_in),
        "kernels": bench.wall_seconds(lane.compute),
        "copy out": bench.wall_seconds(lambda: lane.copy_out(done)),
    }
