"""What `python -m perf chaos` runs, one process a step."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

HERE = "tests/test_end_to_end"


class Step(NamedTuple):
    """A step: tests that write rows, or, with `fault`, tests that are one row by passing.

    `environ` is what the environment holds beside, by form.
    """

    name: str
    tests: tuple[str, ...]
    minutes: dict[str, int]
    fault: str = ""
    asserted: str = ""
    words: tuple[str, ...] = ()
    environ: Mapping[str, Mapping[str, str]] = {}

    def command(self, junit: Path) -> list[str]:
        """Return the words of its process, which leaves its counts in `junit`."""
        words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", "-s"]
        return [*words, f"--junitxml={junit}", *self.words, *self.tests]


def _both(short: int, long: int) -> dict[str, int]:
    return {"ci": short, "short": short, "long": long}


STEPS = (
    Step("gateway", (f"{HERE}/test_chaos_gateway.py",), _both(6, 20)),
    Step("workers", (f"{HERE}/test_chaos_workers.py",), _both(10, 30)),
    Step("frames", (f"{HERE}/test_chaos_frames.py",), _both(6, 25)),
    Step("triton", (f"{HERE}/test_chaos_triton.py",), _both(6, 20)),
    Step(
        "swaps",
        (f"{HERE}/test_model_swap.py",),
        _both(5, 25),
        fault="model swaps under load",
        asserted="0 errors, 0 lost, no stall over 1 s on two cores; each result names the digest",
        words=("-k", "swapped_under_load"),
        environ={
            "short": {"SWAPS": "10", "SWAP_MODEL": "ours"},
            "long": {"SWAPS": "50", "SWAP_MODEL": "ours"},
        },
    ),
    Step(
        "commits",
        ("tests/test_streams",),
        _both(3, 20),
        fault="commit logic, hypothesis state machine",
        asserted="committed offset <= lowest unfinished",
        words=("-k", "commit"),
        environ={"short": {"COMMIT_RUNS": "1000"}, "long": {"COMMIT_RUNS": "10000"}},
    ),
    Step(
        "hostile",
        ("tests",),
        _both(6, 10),
        fault="every id of the list of hostile inputs",
        asserted="a clear refusal within 5 s, alive, memory +<= 256 MiB",
        words=(
            "-k",
            " or ".join(
                f"{kind}{n}_" for kind, most in (("_d", 15), ("_n", 10)) for n in range(1, most + 1)
            ),
        ),
    ),
    Step("random", (f"{HERE}/test_chaos_random.py",), _both(8, 70)),
)
