"""Wall time that nobody sets."""

from __future__ import annotations

import trio
import trio.testing
from attrs import define

from agentd.steady import Steady


@define
class Set:
    """A clock that shows what it is set to."""

    time: float

    def now(self) -> float:
        return self.time


async def test_what_passes_counts_and_what_is_set_does_not(autojump_clock: trio.testing.MockClock) -> None:
    """From the first question on, which sees the wall clock as it stands."""
    wall = Set(0.0)
    steady = Steady(wall)
    wall.time = 1000.0
    assert steady.now() == 1000.0
    for jump in (1e9, -1e9):
        wall.time += jump
        before = steady.now()
        await trio.sleep(10)
        assert steady.now() == before + 10
