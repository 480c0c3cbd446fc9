"""Model providers that play a script, for tests of the router; on virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from agentd.core.router import Router
from agentd.core.routes import Alias
from agentd.ports import Delta, Message, ModelLimits, PartStart, PartText, Prompt, Stop, Stream
from agentwire.errors import ProviderDown, ProviderError
from agentwire.types import ModelInfo, Text

ANSWER: tuple[Delta, ...] = (PartStart(0, "text"), PartText(0, "hi"), Stop("end"))
PROMPT = Prompt(model="", system="", messages=())


def down(**options: Any) -> ProviderDown:
    return ProviderDown("down", **options)


def words(text: str) -> tuple[Delta, ...]:
    """The beginning of a reply."""
    return (PartStart(0, "text"), PartText(0, text))


def going_on(text: str) -> Prompt:
    """After a reply that broke off behind `text`."""
    messages = (Message("user", (Text(text="go"),)), Message("assistant", (Text(text=text),)))
    return Prompt(model="", system="", messages=messages, continuing=True)


class Play:
    """What one attempt does: fail when entered, give deltas one by one, wait for `gate`, fail after them."""

    def __init__(
        self,
        *given: Delta,
        entering: ProviderError | None = None,
        after: ProviderError | None = None,
        gate: trio.Event | None = None,
    ) -> None:
        self.given, self.entering, self.after, self.gate = given, entering, after, gate

    async def drain(self, sink: Callable[[Sequence[Delta]], None]) -> None:
        sink(())
        for delta in self.given:
            sink((delta,))
        if self.gate is not None:
            await self.gate.wait()
        if self.after:
            raise self.after


class Host:
    """A Provider that plays its script, the last of it again and again; nothing at all is an answer.

    `asked` has (model, key) of each attempt and `at` its time, `open` is how many exchanges there are.
    """

    def __init__(
        self, name: str, *script: Play, models: Sequence[str] | ProviderError = (), keys: int = 1, context: int = 0
    ) -> None:
        self.name, self.script, self.listed, self.keys, self.context = name, list(script or [Play(*ANSWER)]), models, keys, context
        self.asked: list[tuple[str, int]] = []
        self.at: list[float] = []
        self.open = 0
        self.warm = False

    def limits(self, model: str) -> ModelLimits:
        return ModelLimits(context=self.context or len(model), max_output=1)

    @asynccontextmanager
    async def stream(self, prompt: Prompt) -> AsyncIterator[Stream]:
        self.asked.append((prompt.model, prompt.key))
        self.at.append(trio.current_time())
        self.open += 1
        try:
            play = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            await trio.lowlevel.checkpoint()
            if play.entering:
                raise play.entering
            yield play
        finally:
            self.open -= 1

    async def models(self) -> Sequence[ModelInfo]:
        if isinstance(self.listed, ProviderError):
            raise self.listed
        return [ModelInfo(id=f"{self.name}/{model}") for model in self.listed]

    def status(self) -> tuple[str, str]:
        return "ready", ""

    async def run(self, *, task_status: Any) -> None:
        task_status.started()

    async def prewarm(self) -> None:
        self.warm = True

    async def aclose(self) -> None: ...


class Bench:
    """A router over hosts; `a/one` is the default. What it waits is written down in `waits`."""

    def __init__(self, *hosts: Host, aliases: Mapping[str, Alias] | None = None, chance: float = 0.0) -> None:
        self.hosts = {host.name: host for host in hosts}
        self.waits: list[float] = []
        self.router = Router(self.hosts, "a/one", aliases, sleep=self._sleep, chance=lambda: chance)

    async def _sleep(self, seconds: float) -> None:
        assert not any(host.open for host in self.hosts.values()), "no connection is kept open while nothing is asked"
        self.waits.append(round(seconds, 3))
        await trio.sleep(seconds)

    async def ask(self, model: str = "", prompt: Prompt = PROMPT) -> list[Delta]:
        got: list[Delta] = []
        await self.router.request(model).drain(lambda _model, _limits: prompt, got.extend)
        return got

    @property
    def asked(self) -> list[str]:
        """How often each host was asked, as `a3`."""
        return [f"{name}{len(host.asked)}" for name, host in self.hosts.items()]
