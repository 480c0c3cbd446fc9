"""The core without sockets or threads: a real store with inline commits, real sessions and loop, fake models and tools."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import jsonschema  # noqa: F401 - here, so that no first tool call waits for a thread that imports it
import msgspec
import trio
from attrs import define, field

from agentd.core.agent_loop import AgentLoop
from agentd.core.api import Api, Caller
from agentd.core.api_daemon import Host
from agentd.core.assembly import Core, assemble
from agentd.core.bus import Bus
from agentd.core.index import index_change
from agentd.core.live import Live
from agentd.core.permit import Policy
from agentd.core.prompt import Facts
from agentd.core.sessions import Sessions
from agentd.core.settings import Current, Settings
from agentd.core.upkeep import Upkeep
from agentd.ports import Clock, Models, ToolSource
from agentd.spawn import TrioSpawner
from agentd.store.log import EventLog
from agentd.store.opening import open_inline
from agentwire import events as ev
from agentwire.convert import structure
from agentwire.errors import InvalidParams
from agentwire.methods import METHODS, Reloaded
from agentwire.types import DaemonStatus, ModelInfo

OWNER = Caller(user="local", admin=True)
SETTINGS = Settings(model="fake/model", max_steps=20, policy=Policy(), approval_deadline=3600.0, unload_after=600.0)


class TrioClock:
    """ports.Clock that runs with trio's: wall time is virtual too."""

    def now(self) -> float:
        return 1_800_000_000 + trio.current_time()


@define
class FakeHost:
    stopped: bool = False
    restarted: Mapping[str, str] | None = None

    def status(self, sessions: int, running: int) -> DaemonStatus:
        raise NotImplementedError

    def stop(self) -> None:
        self.stopped = True

    async def restart(self, environment: Mapping[str, str] | None) -> None:
        self.restarted = environment

    async def reload(self) -> Reloaded:
        return Reloaded(changed=("model",), needs_restart=())


def as_json(value: object) -> Any:
    """As a client has it."""
    return msgspec.json.decode(msgspec.json.encode(value))


@define
class House:
    store: EventLog
    core: Core
    host: FakeHost
    work: trio.Nursery | None = None
    settings: Settings = SETTINGS  # may be replaced at any time
    events: list[ev.Event] = field(factory=list)  # every committed event, in order

    @property
    def bus(self) -> Bus:
        return self.core.bus

    @property
    def sessions(self) -> Sessions:
        return self.core.sessions

    @property
    def loop(self) -> AgentLoop:
        return self.core.loop

    @property
    def upkeep(self) -> Upkeep:
        return self.core.upkeep

    @property
    def api(self) -> Api:
        return self.core.api

    async def recover(self, *, resume: bool = True, clean: bool = False, grace: float = 0.0) -> None:
        assert self.work is not None
        await self.core.recovery(resume=resume, clean=clean, grace=grace).run(self.work)

    async def call(self, method: str, **params: object) -> object:
        return await self.api.dispatch(OWNER, method, params)

    async def ask(self, method: str, **params: object) -> Any:
        """The same as a client has it: the result in JSON, held to the table of methods."""
        result = as_json(await self.call(method, **params))
        structure(result, METHODS[method].result)
        return result

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


def core(
    store: EventLog,
    models: Models,
    sources: Sequence[ToolSource],
    host: Host,
    settings: Current = lambda: SETTINGS,
    clock: Clock | None = None,
) -> Core:
    """As `wiring.build` puts it together, on trio's clock. A model without a provider's name is the fake provider's."""
    facts = Facts(date="Monday", platform="Linux", user="ann")
    return assemble(
        store=store,
        models=models,
        sources=sources,
        clock=clock or TrioClock(),
        facts=lambda: facts,
        settings=settings,
        host=host,
        listing=_no_models,
        resolve=_resolve,
        spawner=TrioSpawner(),
    )


async def _resolve(model: str) -> str:
    if model.startswith("gone/"):
        raise InvalidParams("there is no model provider 'gone'")
    return model if "/" in model else f"fake/{model}"


async def _no_models(_refresh: bool) -> Sequence[ModelInfo]:
    return ()


@asynccontextmanager
async def open_house(
    models: Models,
    *sources: ToolSource,
    path: str = ":memory:",
    settings: Settings = SETTINGS,
    store: EventLog | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[House]:
    """A running core; leaving the scope stops it in good order."""
    store = store or open_inline(index_change, clock or TrioClock(), path)
    host = FakeHost()
    house = House(store, core(store, models, sources, host, lambda: house.settings, clock), host, settings=settings)

    def on_commit(events: Sequence[ev.Event]) -> None:
        house.events.extend(events)
        house.sessions.on_commit(events)

    async with trio.open_nursery() as outer:
        await outer.start(store.run, on_commit)
        async with trio.open_nursery() as background:
            await background.start(house.core.jobs.run)
            await background.start(house.core.direct.run)
            house.work = await background.start(house.sessions.run_work)
            background.start_soon(house.core.saver.run)
            yield house
            house.sessions.stop()
            background.cancel_scope.cancel()
        store.close()
