"""Tools and structured output for models whose host has none: a provider around another, asking in words or by schema.

What is asked, and how the reply is read, is decided without I/O: emulated_request.py, emulated_reply.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from attrs import evolve

from agentd.ports import Delta, ModelLimits, Prompt, Provider, Stream
from agentd.providers.catalog import Catalog, ModelData
from agentd.providers.emulated_reply import Translator
from agentd.providers.emulated_request import Emulated, emulate
from agentwire.config import Timeouts
from agentwire.errors import BadRequest
from agentwire.types import ModelInfo


class Inner(Provider, Protocol):
    """A provider as the daemon's wiring has it."""

    def reconfigure(self, timeouts: Timeouts) -> None: ...


class Emulating:
    """A `ports.Provider`. A request that needs nothing of what the model lacks goes through as it is."""

    def __init__(self, provider: Inner, catalog: Catalog) -> None:
        self._inner = provider
        self._catalog = catalog
        self.name = provider.name

    @property
    def keys(self) -> int:
        return self._inner.keys

    def limits(self, model: str) -> ModelLimits:
        return self._inner.limits(model)

    def stream(self, prompt: Prompt) -> AbstractAsyncContextManager[Stream]:
        """See `ports.Provider.stream`; fails as the provider inside does."""
        if not prompt.model:
            return self._first_model(prompt)
        data = self._catalog.find(self.name, prompt.model)
        emulated = self._emulated(prompt, data) if data.tools == "emulated" or prompt.schema is not None else None
        if emulated is None:
            return self._inner.stream(prompt)
        if emulated.translator is None:
            return self._inner.stream(emulated.prompt)
        return self._translated(emulated.prompt, emulated.translator())

    def _emulated(self, prompt: Prompt, data: ModelData) -> Emulated | None:
        return emulate(prompt, data, small=self._inner.limits(prompt.model).family == "embedded")

    @asynccontextmanager
    async def _translated(self, prompt: Prompt, translator: Translator) -> AsyncIterator[Stream]:
        async with self._inner.stream(prompt) as stream:
            yield _Translated(stream, translator)

    @asynccontextmanager
    async def _first_model(self, prompt: Prompt) -> AsyncIterator[Stream]:
        """A name that is empty stands for the first model that the provider lists."""
        listed = await self._inner.models()
        if not listed:
            raise BadRequest(f"{self.name} lists no model: name one, as {self.name}/MODEL")
        async with self.stream(evolve(prompt, model=listed[0].id.removeprefix(f"{self.name}/"))) as stream:
            yield stream

    async def models(self) -> Sequence[ModelInfo]:
        return await self._inner.models()

    async def prewarm(self) -> None:
        await self._inner.prewarm()

    def status(self) -> tuple[str, str]:
        return self._inner.status()

    async def run(self, *, task_status: Any) -> None:
        await self._inner.run(task_status=task_status)

    async def aclose(self) -> None:
        await self._inner.aclose()

    def reconfigure(self, timeouts: Timeouts) -> None:
        self._inner.reconfigure(timeouts)


class _Translated:
    """A `ports.Stream`."""

    def __init__(self, stream: Stream, translator: Translator) -> None:
        self._stream, self._translator = stream, translator

    async def drain(self, sink: Callable[[Sequence[Delta]], None]) -> None:
        def give(deltas: Sequence[Delta]) -> None:
            if translated := self._translator.feed(deltas):
                sink(translated)

        await self._stream.drain(give)
