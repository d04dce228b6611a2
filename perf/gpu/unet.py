"""The segmentation network by PyTorch: what a GPU gives without an inference compiler.

Not TensorRT, and never to be read as its figures.
"""

from __future__ import annotations

from typing import Any

from perf.gpu.bench import Bench, NotMeasured, Row, row

# The plain U-Net, by width, at 256 x 256; the one that is served takes squares of 2 x 2 pixels.
FRAMES_S = {16: 30000.0, 32: 16000.0}
SERVED = {"width": 16, "patch": 2}
ONE_US = 250.0
SIDE = 256
THRESHOLD = 0.5


def unet(bench: Bench) -> list[Row]:
    """Run it in bfloat16 from a CUDA graph, with random weights: at full batch, and one frame."""
    torch = _torch()
    rows = []
    frames = bench.sizes.frames
    label = "PyTorch bfloat16, channels last, CUDA graph, not TensorRT; random weights"
    for width, target in FRAMES_S.items():
        each = _seconds(bench, torch, frames, width=width, patch=1) / frames
        note = f"{label}; batch {frames}, {SIDE} x {SIDE} uint8 to mask"
        rows.append(row(f"unet/{width}/pytorch", 1 / each, "frames/s", target=target, note=note))
    each = _seconds(bench, torch, frames, **SERVED) / frames
    note = f"{label}; batch {frames}; the architecture that is served, width 16 on 2 x 2 pixels"
    rows.append(row("unet/served/pytorch", 1 / each, "frames/s", note=note))
    one = _seconds(bench, torch, 1, width=16, patch=1) * 1e6
    name, note = "unet/16/pytorch/batch-1", f"{label}; on the device, without copies"
    rows.append(row(name, one, "us", target=ONE_US, lower_is_better=True, note=note))
    return rows


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise NotMeasured("PyTorch is not installed: pip install torch") from error
    if not torch.cuda.is_available():
        raise NotMeasured("this PyTorch has no CUDA")
    return torch


def _seconds(bench: Bench, torch: Any, frames: int, *, width: int, patch: int) -> float:
    """Return the seconds of one batch, replayed from a CUDA graph; one frame is waited for."""
    from engine.training.net import Served, UNet, fused

    torch.manual_seed(1)
    plain = fused(UNet(width, patch=patch).eval())
    net = Served(plain, THRESHOLD).cuda().to(memory_format=torch.channels_last)
    image = torch.randint(0, 256, (frames, 1, SIDE, SIDE), dtype=torch.uint8, device="cuda")
    side = torch.cuda.Stream()
    with torch.cuda.stream(side), torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
        for _ in range(3):  # cuDNN chooses its algorithms before the graph is recorded
            net(image)
        side.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=side):
            net(image)

    def waited_for() -> None:
        graph.replay()
        torch.cuda.synchronize()

    return bench.wall_seconds(graph.replay if frames > 1 else waited_for)
