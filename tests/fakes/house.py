"""The core without sockets or threads: a real store with inline commits, real sessions and loop, fake models and tools."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from attrs import define, field

from agentd.core.agent_loop import AgentLoop, LoopSettings
from agentd.core.api import Api, Caller, Settings
from agentd.core.bus import Bus
from agentd.core.index import index_change
from agentd.core.live import DraftSaver, Live
from agentd.core.permit import Policy
from agentd.core.prompt import Facts
from agentd.core.sessions import Sessions
from agentd.core.tools import Tools
from agentd.ports import Models, ToolSource
from agentd.store.log import EventLog
from agentd.store.opening import open_inline
from agentwire import events as ev
from agentwire.types import DaemonStatus, ModelInfo

OWNER = Caller(user="local", admin=True)
SETTINGS = LoopSettings(policy=Policy(), approval_deadline=3600.0)


class TrioClock:
    """ports.Clock that runs with trio's: wall time is virtual too."""

    def now(self) -> float:
        return 1_800_000_000 + trio.current_time()


@define
class FakeHost:
    stopped: bool = False

    def status(self, sessions: int, running: int) -> DaemonStatus:
        raise NotImplementedError

    def stop(self) -> None:
        self.stopped = True


@define
class House:
    store: EventLog
    bus: Bus
    sessions: Sessions
    loop: AgentLoop
    api: Api
    host: FakeHost
    events: list[ev.Event] = field(factory=list)  # every committed event, in order

    async def call(self, method: str, **params: object) -> object:
        return await self.api.dispatch(OWNER, method, params)

    async def create(self, **params: object) -> Live:
        info = await self.call("session/create", **{"cwd": "/", **params})
        return await self.sessions.open("local", info.id)  # type: ignore[attr-defined]

    async def prompt(self, live: Live, text: str, **params: object) -> object:
        return await self.call("session/prompt", session=live.state.id, parts=[{"kind": "text", "text": text}], **params)

    async def idle(self, live: Live) -> None:
        """Until nothing runs or waits in the session."""
        while live.busy or live.state.turn or live.state.queue:
            await live.changed()

    async def until(self, live: Live, status: str) -> None:
        while live.state.status != status:
            await live.changed()

    def kinds(self, live: Live) -> list[str]:
        return [event.kind for event in self.events if event.stream == live.state.id]


@asynccontextmanager
async def open_house(
    models: Models, *sources: ToolSource, path: str = ":memory:", settings: LoopSettings = SETTINGS, store: EventLog | None = None
) -> AsyncIterator[House]:
    """A running core; leaving the scope stops it in good order."""
    store = store or open_inline(index_change, TrioClock(), path)
    bus, saver, tools = Bus(), DraftSaver(store), Tools(sources)
    facts = Facts(date="Monday", platform="Linux", user="ann")
    loop = AgentLoop(store, bus, models, tools, saver, TrioClock(), lambda: facts, settings)
    sessions = Sessions(store, bus, loop, tools, unload_after=600.0)
    host = FakeHost()

    async def listing() -> list[ModelInfo]:
        return []

    api = Api(
        store, sessions, host, Settings(model="fake/model", max_steps=20, values=(), warnings=()), listing, lambda model: model
    )
    house = House(store, bus, sessions, loop, api, host)

    def on_commit(event: ev.Event) -> None:
        house.events.append(event)
        sessions.on_commit(event)

    async with trio.open_nursery() as outer:
        await outer.start(store.run, on_commit)
        async with trio.open_nursery() as work:
            await work.start(sessions.run_work)
            work.start_soon(saver.run)
            yield house
            sessions.stop()
            work.cancel_scope.cancel()
        store.close()
