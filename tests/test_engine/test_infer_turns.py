"""Turns of bulk at a model: over processes, given back by who dies, not awaited of who hangs."""

from __future__ import annotations

import asyncio
import fcntl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from watching import until

from engine.infer import turns
from engine.infer.turns import Turns

HOLD = """
import asyncio, sys
from engine.infer.turns import Turns
async def main():
    async with Turns(sys.argv[1]).turn(1):
        print("held", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.fixture
def name(tmp_path) -> Iterator[str]:
    yield (name := str(tmp_path))
    for path in turns.FOLDER.glob(Path(Turns(name)._path).name + "*"):
        path.unlink()


async def entered(name: str, count: int = 1) -> bool:
    """Return whether there is a turn at once."""
    try:
        async with asyncio.timeout(0.05), Turns(name).turn(count):
            return True
    except TimeoutError:
        return False


async def test_no_more_than_so_many_hold_a_turn(name: str) -> None:
    async with Turns(name).turn(2):
        assert await entered(name, 2)
        async with Turns(name).turn(2):
            assert not await entered(name, 2)
    await asyncio.to_thread(until, lambda: free(name))
    assert await entered(name, 2)


async def test_turns_of_one_client_are_in_order(name: str) -> None:
    one, order = Turns(name), []

    async def take(who: int) -> None:
        for _ in range(3):
            async with one.turn(1):
                order.append(who)
                await asyncio.sleep(0)

    await asyncio.gather(*map(take, range(3)))
    assert order == [0, 1, 2] * 3


async def test_clients_take_turns_by_turns(name: str) -> None:
    order = []

    async def take(who: int) -> None:
        ours = Turns(name)
        for _ in range(6):
            async with ours.turn(1):
                order.append(who)
                await asyncio.sleep(0.01)

    await asyncio.gather(take(0), take(1))
    assert max(len(run) for run in "".join(map(str, order)).split("0")) <= 2
    assert max(len(run) for run in "".join(map(str, order)).split("1")) <= 2


async def test_a_process_that_dies_gives_its_turn_back(name: str) -> None:
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD, name, stdout=asyncio.subprocess.PIPE
    )
    assert other.stdout is not None
    assert await other.stdout.readline() == b"held\n"
    assert not await entered(name)
    other.kill()
    await other.wait()
    async with asyncio.timeout(10), Turns(name).turn(1):
        assert not free(name)


async def test_who_gives_up_waiting_leaves_nothing_behind(name: str) -> None:
    async with Turns(name).turn(1):
        for _ in range(3):
            assert not await entered(name)
    await asyncio.to_thread(until, lambda: free(name))


def free(name: str) -> bool:
    """Return whether nobody holds the door or the turn."""
    for part in ("door", "0"):
        with Path(f"{Turns(name)._path}-{part}").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
    return True


async def test_one_that_hangs_is_waited_for_once(name: str, monkeypatch, caplog) -> None:
    monkeypatch.setattr(turns, "PATIENCE_S", 0.05)
    ours = Turns(name)
    async with Turns(name).turn(1):
        for _ in range(5):
            async with asyncio.timeout(5), ours.turn(1):
                pass
        assert caplog.text.count("keeps its turn") == 1
    await asyncio.to_thread(until, lambda: free(name))
    async with ours.turn(1):
        assert not free(name)  # it lets go, and turns are taken again


async def test_without_the_folder_there_are_no_turns(name: str, monkeypatch, caplog) -> None:
    ours = Turns(name)
    ours._path = "/nowhere/turn"
    for _ in range(3):
        async with ours.turn(1), ours.turn(2):
            assert caplog.text.count("no turns") == 1


async def test_who_can_open_no_file_more_keeps_nobody_out(name: str, monkeypatch, caplog) -> None:
    opens = turns._open

    def only_the_door(path: str) -> int:
        if not path.endswith("door"):
            raise OSError(24, "Too many open files")
        return opens(path)

    ours = Turns(name)
    with monkeypatch.context() as patch:
        patch.setattr(turns, "_open", only_the_door)
        async with ours.turn(1):
            assert "no turns" in caplog.text
    assert await entered(name)
