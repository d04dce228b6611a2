"""What this GPU can do at all: copies, products of matrices, and copies from and to the host."""

from __future__ import annotations

from perf.gpu.bench import Bench, Row, row

_PINNED = 1 << 28


def copy(bench: Bench) -> list[Row]:
    """Copy within device memory: what is read and what is written, together."""
    size = bench.sizes.copy_bytes
    source = bench.cupy.zeros(size // 4, dtype="float32")
    target = bench.cupy.empty(size // 4, dtype="float32")

    def work() -> None:
        target[...] = source

    bench.copy_gb_s = 2 * size / bench.seconds(work) / 1e9
    return [row("copy/device", bench.copy_gb_s, "GB/s", note=f"{size} bytes, read and written")]


def matrix_peak(bench: Bench) -> list[Row]:
    """Multiply two square float16 matrices by cuBLAS."""
    side = bench.sizes.matrix
    left = bench.cupy.zeros((side, side), dtype="float16")
    right = bench.cupy.zeros((side, side), dtype="float16")
    # zeros draw less power than numbers do: the clock would stay higher than in real work
    left[...], right[...] = 0.5, 0.25
    seconds = bench.seconds(lambda: bench.cupy.matmul(left, right))
    note = f"float16, {side} x {side}, one value throughout"
    return [row("matrix/float16", 2 * side**3 / seconds / 1e12, "TFLOP/s", note=note)]


def host_copies(bench: Bench) -> list[Row]:
    """Copy from page-locked host memory to the device, and back."""
    size = min(bench.sizes.copy_bytes, _PINNED)
    host = bench.pinned((size,), "uint8")
    host[:] = 1
    device = bench.cupy.empty(size, dtype="uint8")
    there = bench.seconds(lambda: device.set(host))
    back = bench.seconds(lambda: device.get(out=host, blocking=False))
    note = f"{size} bytes, pinned"
    return [
        row("copy/host-to-device", size / there / 1e9, "GB/s", note=note),
        row("copy/device-to-host", size / back / 1e9, "GB/s", note=note),
    ]
