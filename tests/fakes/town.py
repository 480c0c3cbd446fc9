"""A house whose models are real endpoints of several scripted servers, behind a router whose waits take no time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import trio
from attrs import Factory, define

from agentd.core.router import Router
from agentd.core.routes import Alias
from agentd.ports import ToolSource
from agentd.providers.catalog import Catalog
from agentd.providers.chat_dialect import ChatDialect
from agentd.providers.dialect import Dialect
from agentd.providers.endpoint import Endpoint
from agentd.providers.messages_dialect import MessagesDialect
from agentd.providers.responses_dialect import ResponsesDialect
from agentwire import events as ev
from agentwire.config import ProviderConfig, Timeouts
from tests.fakes.history import Screen
from tests.fakes.house import House, open_house
from tests.fakes.model_rules import Choose
from tests.fakes.model_script import Answer
from tests.fakes.model_server import ScriptedModelServer, serve

NAMES = "abc"
SHORT = 0.3
"""Seconds for which a silent server is waited for, where one is: more than any other takes, however busy the machine."""


@define
class Time:
    """The router's: real, and ahead by what it would have slept."""

    ahead: float = 0.0
    waits: list[float] = Factory(list)

    def now(self) -> float:
        return trio.current_time() + self.ahead

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.ahead += seconds
        await trio.lowlevel.checkpoint()


@define
class Viewer:
    """agentd.core.bus.Subscriber: a person at a client's screen."""

    screen: Screen = Factory(Screen)

    def deliver(self, frame: bytes, seq: int | None) -> None:
        for line in frame.splitlines():
            self.screen.take(json.loads(line)["params"])

    def close(self, reason: str) -> None: ...


@define
class Town:
    """`servers` and the providers `a`, `b`, `c` for them."""

    house: House
    router: Router
    servers: Sequence[ScriptedModelServer]
    time: Time

    @property
    def seen(self) -> list[int]:
        """Requests that came to each server since the last look."""
        counts = [len(server.seen) for server in self.servers]
        for server in self.servers:
            server.seen.clear()
        return counts

    async def turn(self, model: str, text: str = "go") -> tuple[str, list[ev.Event]]:
        """One turn in a new session: what its viewer has on the screen at the end, and all events."""
        live = await self.house.create(model=model)
        viewer = Viewer()
        self.house.bus.subscribe(live.state.id, viewer)
        await self.house.prompt(live, text)
        with trio.fail_after(30):
            await self.house.idle(live)
        return viewer.screen.text(1), [event for event in self.house.events if event.stream == live.state.id]


@asynccontextmanager
async def town(
    *scripts: Sequence[Answer] | Choose,
    tools: Sequence[ToolSource] = (),
    aliases: Mapping[str, Alias] | None = None,
    keys: Sequence[str] = (),
    contexts: Sequence[int] = (0, 0, 0),
    dialect: str = "chat",
    patience: float = 30.0,
) -> AsyncIterator[Town]:
    """One server for each script. The first speaks Chat Completions, the others `dialect`. `patience`: seconds of silence."""
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serve(script)) for script in scripts]
        providers = {}
        for name, server, context in zip(NAMES, servers, contexts, strict=False):
            spoken = _dialect("chat" if name == "a" else dialect)
            base_url = server.base if isinstance(spoken, MessagesDialect) else server.url
            config = ProviderConfig(api_keys=tuple(keys), base_url=base_url, context=context)
            timeouts = Timeouts(first_event=patience, between_events=patience)
            providers[name] = Endpoint(name, spoken, config, timeouts, Catalog())
            stack.push_async_callback(providers[name].aclose)
            await providers[name].prewarm()  # first use imports an SDK
        time = Time()
        router = Router(providers, "a/x", aliases, now=time.now, sleep=time.sleep)
        house = await stack.enter_async_context(open_house(router, *tools))
        yield Town(house, router, servers, time)


def _dialect(name: str) -> Dialect:
    match name:
        case "responses":
            return ResponsesDialect("openai")
        case "messages":
            return MessagesDialect("anthropic")
    return ChatDialect("custom", "http://127.0.0.1")
