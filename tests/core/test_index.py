"""The session index follows the events: its rows say what the projection says."""

from __future__ import annotations

import trio

from agentd.core.index import index_change
from agentd.ports import NewEvent
from agentd.store.opening import open_inline
from agentwire.types import SessionFilter, SessionInfo
from tests.core.logs import accepted, answered, asked, begun, created, ended, finished, planned, replied, started, state_of
from tests.fakes.house import TrioClock

LOG = [
    created(),
    accepted(1, "first words"),
    started(),
    accepted(2),
    replied("", stop="tool_calls", calls=("c0",)),
    planned("c0"),
    asked("c0"),
    answered("c0", "allow"),
    begun("c0"),
    ended("c0"),
    replied("done", step=1),
    finished(),
]


def test_the_row_is_the_projection_at_every_event() -> None:
    """After each event the row has the same title, status, turns and queue as the state replayed from the log."""

    async def main() -> list[SessionInfo]:
        rows: list[SessionInfo] = []
        async with trio.open_nursery() as nursery:
            log = open_inline(index_change, TrioClock())
            await nursery.start(log.run, lambda event: None)
            for body in LOG:
                await log.append([NewEvent("a" * 32, "ann", body)])
                rows += await log.sessions("ann", SessionFilter(), before="", limit=1)
            log.close()
        return rows

    for number, row in enumerate(trio.run(main), 1):
        info = state_of(*LOG[:number]).info
        assert (row.title, row.status, row.turns, row.queued) == (info.title, info.status, info.turns, info.queued), LOG[number - 1]
