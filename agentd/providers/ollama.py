"""Ollama: an endpoint like any other that can also fetch models."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import trio

from agentd.ports import Fetched
from agentd.providers.catalog import Catalog
from agentd.providers.endpoint import Endpoint
from agentd.providers.http1 import HttpError
from agentd.providers.ollama_dialect import OllamaDialect
from agentd.providers.ollama_pull import PullReader
from agentwire.config import ProviderConfig, Timeouts
from agentwire.errors import ProviderDown, ProviderTimeout

_SILENCE = 600.0
"""Seconds without a word: to check the sum of a large model on a slow disk takes minutes."""


class OllamaProvider(Endpoint):
    """A `ports.Provider` and a `ports.Puller`."""

    def __init__(self, name: str, config: ProviderConfig, timeouts: Timeouts, catalog: Catalog) -> None:
        super().__init__(name, OllamaDialect(name), config, timeouts, catalog)

    async def pull(self, model: str, report: Callable[[Fetched], None]) -> None:
        """See `ports.Puller.pull`. Broken off, it ends at the host, too, which keeps what it has."""
        connections, reader = await self._ready(), PullReader(self._who, model)
        answer = await self._streaming(connections.ask("POST", "/api/pull", msgspec.json.encode({"model": model})))
        with trio.move_on_after(_SILENCE) as watch:
            try:
                while not reader.done and (data := await answer.receive()):
                    report(reader.feed(data))
                    watch.deadline = trio.current_time() + _SILENCE
            except HttpError:
                pass  # it broke off, which is said below
            finally:
                await answer.aclose()
        if watch.cancelled_caught:
            raise ProviderTimeout(f"{self._who} said nothing about its pull of {model} for {_SILENCE / 60:g} minutes")
        if not reader.done:
            raise ProviderDown(f"{self._who} broke off its pull of {model}. Pulled again, it goes on from there.")
