"""What is committed was published: Faust's arithmetic, ours around it, and a broker that refuses.

`COMMIT_RUNS=10000` runs as many programs as docs/reliability.md tells of.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from commits import Commits
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streams.frontier import Frontier

RUNS = int(os.environ.get("COMMIT_RUNS", "150"))


class CommitMachine(RuleBasedStateMachine):
    """A worker on one partition, which may die, lose it, or have its commits refused at any point.

    `records` has the offsets that exist: compaction leaves holes between them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.records: list[int] = []
        self.end = 0
        self.committed: int | None = None
        self.published: set[int] = set()
        self._begin()

    def teardown(self) -> None:
        self.loop.close()

    def _begin(self) -> None:
        """Begin a generation at what is committed."""
        self.consumer: Any = Commits(self.committed)
        self.frontier: Frontier[str] = Frontier()
        self.working: set[int] = set()
        self.waiting = [one for one in self.records if one >= (self.committed or 0)]

    @rule(count=st.integers(1, 5), hole=st.integers(0, 3))
    def produce(self, count: int, hole: int) -> None:
        if self.end < 2:
            hole = 0  # Faust does not see one behind offset 0; no topic of ours has any
        new = range(self.end + hole, self.end + hole + count)
        self.end = new.stop
        self.records += new
        self.waiting += new

    @precondition(lambda self: self.waiting)
    @rule()
    def take(self) -> None:
        offset = self.waiting.pop(0)
        self.loop.run_until_complete(self.consumer.read(offset))
        self.frontier.take(offset)
        self.working.add(offset)

    @precondition(lambda self: self.working)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.working)))
        self.working.remove(offset)
        self.frontier.finish(offset, "result")

    @precondition(lambda self: self.frontier.head() is not None)
    @rule(dies=st.booleans())
    def release(self, dies: bool) -> None:
        """Publish, then acknowledge; a worker may die in between."""
        head = self.frontier.head()
        assert head is not None
        self.published.add(head[0])
        if dies:
            self._begin()
            return
        self.consumer.acknowledge(head[0])
        self.frontier.release(head[0])

    @rule(reply=st.sampled_from([True, True, False, ConnectionError("cut")]))
    def commit(self, reply: Any) -> None:
        self.loop.run_until_complete(self.consumer.commit_answered(reply))
        self.committed = self.consumer.committed

    @rule()
    def reassign(self) -> None:
        self._begin()

    @invariant()
    def nothing_is_committed_that_was_not_published(self) -> None:
        below = {one for one in self.records if one < (self.committed or 0)}
        assert below <= self.published

    @rule()
    def carry(self) -> None:
        """Take, finish and release all that is there."""
        while self.waiting:
            self.take()
        for offset in self.working:
            self.frontier.finish(offset, "result")
        self.working.clear()
        while self.frontier.head() is not None:
            self.release(dies=False)

    @precondition(lambda self: self.records)
    @rule(refused=st.booleans())
    def settle(self, refused: bool) -> None:
        """Once the broker takes commits again, all that was released is committed."""
        self.carry()
        if refused:
            self.commit(False)
        for _ in range(len(self.records)):  # Faust commits up to a hole, then past it
            self.commit(True)
        assert self.committed == self.end


TestCommits = CommitMachine.TestCase
TestCommits.settings = settings(max_examples=RUNS, stateful_step_count=40, deadline=None)
