"""The frontier under every order of finishing, failing, revoking, crashing and reassigning."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streams.frontier import Frontier


class Log:
    """One partition as the broker and the consumer group see it."""

    def __init__(self) -> None:
        self.end = 0
        self.committed = 0
        self.generation = 0
        self.acked: set[int] = set()
        self.published: list[int] = []

    def acknowledge(self, offset: int, generation: int) -> bool:
        """Take an acknowledgement of the current generation; commit what is contiguous."""
        if generation != self.generation:
            return False
        self.acked.add(offset)
        while self.committed in self.acked:
            self.committed += 1
        return True

    def reassign(self) -> None:
        """Begin a new generation at the committed offset."""
        self.generation += 1
        self.acked.clear()


class FrontierMachine(RuleBasedStateMachine):
    """A worker that may die at any point, before a log that only knows what was acknowledged."""

    def __init__(self) -> None:
        super().__init__()
        self.log = Log()
        self.frontier: Frontier[str] = Frontier()
        self.old: list[tuple[Frontier[str], int]] = []
        self.next_offset = 0
        self.working: set[int] = set()

    @rule(count=st.integers(1, 5))
    def produce(self, count: int) -> None:
        self.log.end += count

    @precondition(lambda self: self.next_offset < self.log.end)
    @rule()
    def take(self) -> None:
        self.frontier.take(self.next_offset)
        self.working.add(self.next_offset)
        self.next_offset += 1

    @precondition(lambda self: self.working)
    @rule(data=st.data(), outcome=st.sampled_from(["result", "dead letter"]))
    def finish(self, data: st.DataObject, outcome: str) -> None:
        offset = data.draw(st.sampled_from(sorted(self.working)))
        self.frontier.finish(offset, outcome)
        self.working.remove(offset)

    @rule(dies_before_acknowledging=st.booleans())
    def release(self, dies_before_acknowledging: bool) -> None:
        head = self.frontier.head()
        if head is None:
            return
        offset, _ = head
        self.log.published.append(offset)
        if dies_before_acknowledging:
            self.reassign()
        elif self.log.acknowledge(offset, self.log.generation):
            self.frontier.release(offset)

    @rule()
    def reassign(self) -> None:
        """A revocation or a crash: the work is forgotten, the frames come again."""
        self.old.append((self.frontier, self.log.generation))
        self.log.reassign()
        self.frontier = Frontier()
        self.working.clear()
        self.next_offset = self.log.committed

    @precondition(lambda self: self.old)
    @rule(data=st.data())
    def late_acknowledgement(self, data: st.DataObject) -> None:
        frontier, generation = data.draw(st.sampled_from(self.old))
        head = frontier.head()
        if head is not None:
            assert not self.log.acknowledge(head[0], generation)

    @invariant()
    def commits_no_further_than_the_lowest_unfinished(self) -> None:
        if self.next_offset > self.log.committed:
            assert self.log.committed <= self.frontier.lowest_unfinished

    @invariant()
    def nothing_committed_is_unpublished(self) -> None:
        assert set(range(self.log.committed)) <= set(self.log.published)

    @invariant()
    def first_publications_are_in_order(self) -> None:
        first = list(dict.fromkeys(self.log.published))
        assert first == sorted(first)

    def teardown(self) -> None:
        """Whatever happened, a worker that lives on ends with everything published."""
        self.reassign()
        while self.next_offset < self.log.end:
            self.take()
        for offset in sorted(self.working, reverse=True):
            self.frontier.finish(offset, "result")
        while self.frontier.head() is not None:
            self.release(dies_before_acknowledging=False)
        assert self.log.committed == self.log.end
        assert set(self.log.published) == set(range(self.log.end))


TestFrontierMachine = FrontierMachine.TestCase
TestFrontierMachine.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


def test_offsets_increase() -> None:
    frontier: Frontier[str] = Frontier()
    frontier.take(5)
    with pytest.raises(ValueError, match="taken after"):
        frontier.take(5)


def test_only_the_finished_head_is_released() -> None:
    frontier: Frontier[str] = Frontier()
    frontier.take(0)
    frontier.take(3)  # offsets between were compacted away
    frontier.finish(3, "result")
    assert frontier.head() is None
    with pytest.raises(ValueError, match="not the finished head"):
        frontier.release(3)
    frontier.finish(0, "result")
    assert frontier.head() == (0, "result")


def test_an_offset_finishes_once() -> None:
    frontier: Frontier[str] = Frontier()
    frontier.take(0)
    frontier.finish(0, "result")
    with pytest.raises(ValueError, match="not being worked on"):
        frontier.finish(0, "again")
