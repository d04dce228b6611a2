"""What a figure was measured on: without it, a figure means nothing."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

_FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_bf16", "amx_int8")
_PACKAGES = (
    "numpy",
    "numba",
    "opencv-python-headless",
    "scikit-image",
    "scipy",
    "pydicom",
    "imagecodecs",
    "zstandard",
    "blosc2",
    "openvino",
    "onnxruntime",
    "faust-streaming",
    "confluent-kafka",
)


def machine() -> dict[str, object]:
    """Return processor, its vector units, cores that we may use, memory, software, and load."""
    cpu = Path("/proc/cpuinfo").read_text()
    lines = dict(line.split(":", 1) for line in cpu.splitlines() if ":" in line)
    named = {key.strip(): value.strip() for key, value in lines.items()}
    flags = named.get("flags", "").split()
    return {
        "cpu": named.get("model name", platform.machine()),
        "vector": [flag for flag in _FLAGS if flag in flags],
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(_memory_bytes() / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
        "load_before": round(os.getloadavg()[0], 2),
    }


def commit() -> str:
    """Return the checkout's commit, with `+` where files differ from it; "unknown" without git."""
    root = Path(__file__).resolve().parents[2]
    try:
        found = _git(root, "rev-parse", "--short=12", "HEAD").strip()
        return found + ("+" if _git(root, "status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(root: Path, *args: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *args], check=True, capture_output=True, text=True
    ).stdout


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
