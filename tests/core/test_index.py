"""The session index follows the events: its rows say what the projection says."""

from __future__ import annotations

import trio
import trio.testing
from hypothesis import given

from agentd.core.index import index_change
from agentd.ports import NewEvent
from agentd.store.opening import open_inline
from agentwire import events as ev
from agentwire.types import Preferences, SessionFilter, SessionInfo, Text
from tests.core.logs import (
    Script,
    accepted,
    answered,
    asked,
    begun,
    created,
    ended,
    finished,
    planned,
    replied,
    scripts,
    started,
    state_of,
)
from tests.fakes.house import TrioClock, open_house
from tests.fakes.models import FakeModels, Say

LOG = [
    created(),
    ev.SessionConfigured(preferences=Preferences(model="fake/own", pinned=True), variables={}),
    ev.SessionConfigured(preferences=Preferences(pinned=False), variables={"A": "1"}),
    ev.MessageAdded(role="user", parts=(Text(text="from elsewhere"),)),
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
        for name in ("title", "cwd", "model", "status", "turns", "queued", "pinned", "parent"):
            assert getattr(row, name) == getattr(info, name), (name, LOG[number - 1])


@given(scripts())
def test_a_session_at_rest_was_active_when_its_row_says(script: Script) -> None:
    """Clean-up goes by the row: whatever happens in a session, imported messages too, makes it young again."""

    async def main() -> None:
        async with open_house(FakeModels(lambda prompt: Say(["x"]))) as house:
            house.sessions._work = None  # no turn runs
            await house.store.append([NewEvent("a" * 32, "local", script.bodies[0])])
            for body in script.bodies[1:]:
                await trio.sleep(1)
                await house.store.append([NewEvent("a" * 32, "local", body)])
                (row,) = await house.store.sessions("local", SessionFilter(), before="", limit=1)
                info = (await house.sessions.open("local", "a" * 32)).state.info
                assert info.status != "idle" or row == info, body

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
