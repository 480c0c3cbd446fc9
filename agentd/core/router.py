"""Which provider answers: `provider/model` names resolved, and a request that failed before it gave anything sent again.

Once a reply has given its first delta its failure belongs to the caller, who knows what to keep of it.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

import structlog
import trio
from attrs import evolve

from agentd.ports import Build, Delta, ModelLimits, Provider, Sleeper
from agentwire.errors import InvalidParams, ProviderError
from agentwire.types import ModelInfo

log = structlog.get_logger()

ATTEMPTS = 3
LONGEST_WAIT = 60.0
"""Seconds. A host that wants to be left alone for longer gets no second request; the user learns when to come back."""
_FIRST_WAIT = 0.5  # seconds, doubled with each attempt
_LIST_TIMEOUT = 15.0  # seconds: longer than any provider takes by itself


class Router:
    """A `ports.Models` over several providers. `default`: the `provider/model` that an empty name stands for; may be replaced."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        default: str,
        *,
        sleep: Sleeper = trio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._providers = providers
        self.default = default
        self._sleep = sleep
        self._chance = chance  # uniform in [0, 1)

    def resolve(self, model: str) -> tuple[Provider, str]:
        """The provider and its own name for `model`. A name without a provider means the default's. Raises InvalidParams."""
        name, slash, rest = (model or self.default).partition("/")
        if not slash:
            name, rest = self.default.partition("/")[0], name
        provider = self._providers.get(name)
        if provider is None:
            known = ", ".join(sorted(self._providers))
            raise InvalidParams(
                f"there is no model provider {name!r}; a model is named provider/model, and the providers are {known}"
            )
        return provider, rest

    def full_name(self, model: str) -> str:
        """`model` as `provider/model`. Raises InvalidParams for an unknown provider."""
        provider, name = self.resolve(model)
        return f"{provider.name}/{name}"

    def limits(self, model: str) -> ModelLimits:
        provider, name = self.resolve(model)
        return provider.limits(name)

    def request(self, model: str) -> Request:
        """See `ports.Models.request`. Raises InvalidParams for an unknown provider."""
        provider, name = self.resolve(model)
        return Request(provider, name, self._wait)

    async def prewarm(self) -> None:
        """Do now what the default model's first request would have to wait for. What goes wrong is the request's to say."""
        with suppress(ProviderError):
            await self.resolve("")[0].prewarm()

    async def models(self) -> Sequence[ModelInfo]:
        """What all providers offer, asked at the same time; one that fails is a single entry that says why."""
        found: dict[str, Sequence[ModelInfo]] = {}
        async with trio.open_nursery() as nursery:
            for name, provider in self._providers.items():
                nursery.start_soon(self._list, name, provider, found)
        models = [evolve(model, default=model.id == self.default) for name in self._providers for model in found[name]]
        if not any(model.default for model in models):
            models.insert(0, ModelInfo(id=self.default, default=True))
        return models

    async def _list(self, name: str, provider: Provider, found: dict[str, Sequence[ModelInfo]]) -> None:
        shown = self.default if self.default.partition("/")[0] == name else f"{name}/"
        found[name] = [ModelInfo(id=shown, available=False, note="did not answer in time")]
        with trio.move_on_after(_LIST_TIMEOUT):
            try:
                found[name] = await provider.models()
            except ProviderError as error:
                found[name] = [ModelInfo(id=shown, available=False, note=error.message)]

    async def _wait(self, attempt: int, error: ProviderError) -> bool:
        """False if `error` of the n-th attempt is final; else wait as long as is polite."""
        asked = error.retry_after
        if not error.retryable or attempt >= ATTEMPTS or (asked or 0.0) > LONGEST_WAIT:
            return False
        pause = _FIRST_WAIT * 2 ** (attempt - 1) * (0.5 + self._chance() / 2)
        if asked is not None:  # never sooner than asked (0: at once), and not all sessions at the same moment
            pause = asked * (1 + self._chance() / 10)
        log.info("model_request_retried", attempt=attempt, seconds=round(pause, 3), code=error.code, reason=error.message)
        await self._sleep(pause)
        return True


class Request:
    """A `ports.ModelRequest` that makes as many attempts as it takes until one gives its first delta."""

    def __init__(self, provider: Provider, name: str, wait: Callable[[int, ProviderError], Awaitable[bool]]) -> None:
        self._provider, self._name, self._wait = provider, name, wait
        self._attempts = 0
        self.model = f"{provider.name}/{name}"

    @property
    def limits(self) -> ModelLimits:
        return self._provider.limits(self._name)

    async def drain(self, build: Build, sink: Callable[[Sequence[Delta]], None]) -> None:
        given = False

        def give(deltas: Sequence[Delta]) -> None:
            nonlocal given
            given = given or bool(deltas)
            sink(deltas)

        prompt = evolve(build(self.model, self.limits), model=self._name)
        while True:
            self._attempts += 1
            try:
                async with self._provider.stream(prompt) as stream:
                    await stream.drain(give)
                return
            except ProviderError as error:
                if given or not await self._wait(self._attempts, error):
                    raise
