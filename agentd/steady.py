"""Wall time that nobody sets: for deadlines and ages that are stored."""

from __future__ import annotations

import trio

from agentd.ports import Clock


class Steady:
    """A `ports.Clock`: the wall clock as it stood at the first question, and from there the monotonic clock.

    Somebody sets the clock a year ahead: no question is denied for it, no idempotency key forgotten. The next process begins with
    the wall clock as it stands then; whoever re-arms a stored deadline keeps it within its original length.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began: float | None = None

    def now(self) -> float:
        if self._began is None:
            self._began = self._clock.now() - trio.current_time()
        return self._began + trio.current_time()
