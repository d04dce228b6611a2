"""What a soak calls growth, and what it does not."""

from __future__ import annotations

import mmap
import os
import threading
from pathlib import Path

import msgspec
import pytest

from perf.soak.picture import draw
from perf.soak.usage import FOLDER, PREFIX, Usage, Window, grown, shared_mib, usage


def window(number: int, *, memory: float = 300.0, files: int = 40, shared: float = 8.0) -> Window:
    return Window(
        at_s=30.0 * number,
        sent=10,
        answered=10,
        p50_ms=20.0,
        p99_ms=50.0,
        shared_mib=shared,
        servers={"worker": Usage(memory, files, 12), "broker": Usage(100.0 * number, 9, 3)},
    )


def test_a_flat_run_has_not_grown() -> None:
    assert grown([window(number) for number in range(20)], exempt=["broker"]) == []


def test_shared_memory_of_another_living_stack_is_not_ours() -> None:
    before = shared_mib([os.getpid()])
    for pid, counts in ((os.getpid(), True), (os.getppid(), False), (4_194_305, True)):
        region = FOLDER / f"{PREFIX}-0-{pid}-feedbeef-0"
        region.write_bytes(bytes(1 << 20))
        try:
            assert shared_mib([os.getpid()]) - before == pytest.approx(1.0 if counts else 0.0)
        finally:
            region.unlink()


def test_caches_that_fill_at_the_start_are_no_growth() -> None:
    assert (
        grown([window(n, memory=100 if n < 2 else 300) for n in range(20)], exempt=["broker"]) == []
    )


@pytest.mark.parametrize(
    ("windows", "words"),
    [
        ([window(n, memory=300.0 + 5 * n) for n in range(20)], "worker: memory_mib from"),
        ([window(n, files=40 + n) for n in range(20)], "worker: files from"),
        ([window(n, shared=8.0 + n) for n in range(20)], "shared memory from"),
    ],
)
def test_what_grows_is_named(windows: list[Window], words: str) -> None:
    (found,) = grown(windows, exempt=["broker"])
    assert found.startswith(words)


def test_a_server_that_has_ended_is_not_flat(tmp_path: Path) -> None:
    windows = [window(n) for n in range(20)]
    for number, servers in ((9, {"worker": Usage(0.0, 0, 0)}), (19, {})):
        left = {**windows[number].servers, **servers} if servers else {}
        ended = [*windows]
        ended[number] = msgspec.structs.replace(windows[number], servers=left)
        assert grown(ended, exempt=["broker"]) == ["worker: has ended"]
        draw(ended, tmp_path / "soak.png")


def test_the_brokers_memory_counts_unless_it_is_exempt() -> None:
    assert grown([window(n) for n in range(20)])[0].startswith("broker: memory_mib")


def test_few_windows_show_no_trend() -> None:
    with pytest.raises(ValueError, match="five at least"):
        grown([window(1)] * 4)


def test_usage_counts_files_threads_and_memory(tmp_path: Path) -> None:
    before = usage(os.getpid())
    end = threading.Event()
    more = [threading.Thread(target=end.wait) for _ in range(3)]
    for each in more:
        each.start()
    with (tmp_path / "one").open("w"), (tmp_path / "two").open("w"):
        # Pages of its own: an allocator would use freed ones again.
        held = mmap.mmap(-1, 32 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        held.write(os.urandom(32 << 20))
        now = usage(os.getpid())
    end.set()
    for each in more:
        each.join()
    assert now.files >= before.files + 2
    assert now.threads >= before.threads + 3
    assert now.memory_mib >= before.memory_mib + 30
    held.close()


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    draw([window(number) for number in range(1, 6)], tmp_path / "soak.png")
    assert (tmp_path / "soak.png").stat().st_size > 10_000
