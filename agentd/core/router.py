"""Which model answers: names become routes, routes candidates in their order, and what the providers offer is one list.

One `Router` serves all sessions: their circuits, the rotation of keys and of models, and who is how busy are one knowledge
(health.py, balance.py). What one reply takes is a `Request` (request.py).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import trio
from attrs import evolve

from agentd.core.balance import Balance
from agentd.core.health import Endpoint, Health
from agentd.core.request import Request
from agentd.core.routes import Alias, Candidate, Route, Routes
from agentd.ports import ModelLimits, Provider, Sleeper
from agentwire.errors import ProviderError
from agentwire.types import CircuitStatus, ModelInfo

_LIST_TIMEOUT = 15.0  # seconds: longer than any provider takes by itself


class Router:
    """A `ports.Models` over several providers. `default`: what an empty name stands for.

    Error handling: ConfigError for an alias that leads nowhere.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        default: str,
        aliases: Mapping[str, Alias] | None = None,
        *,
        now: Callable[[], float] = trio.current_time,
        sleep: Sleeper = trio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.providers = providers
        self.health, self.balance = Health(), Balance()
        self.now, self.sleep = now, sleep  # in seconds, of a clock that only goes forward
        self.chance = chance  # uniform in [0, 1)
        self._routes = Routes(providers, default, aliases)
        self._keys: Counter[str] = Counter()

    @property
    def default(self) -> str:
        return self._routes.default

    def reconfigure(self, default: str, aliases: Mapping[str, Alias] | None = None) -> None:
        """Requests from now on go by these. Raises ConfigError, and then nothing has changed."""
        self._routes = Routes(self.providers, default, aliases)
        self.balance.forget()

    # --- names -------------------------------------------------------------------------------------------------------------

    def route(self, model: str) -> Route:
        """What the name stands for now. Raises InvalidParams."""
        return self._routes.route(model)

    def full_name(self, model: str) -> str:
        """`model` as a session keeps it. Raises InvalidParams if it stands for nothing."""
        return self._routes.full_name(model)

    def limits(self, model: str) -> ModelLimits:
        """See `ports.Models.limits`."""
        return self.limits_of(self.route(model).candidates[0])

    def limits_of(self, candidate: Candidate) -> ModelLimits:
        return self.providers[candidate.provider].limits(candidate.model)

    # --- requests ----------------------------------------------------------------------------------------------------------

    def request(self, model: str) -> Request:
        """See `ports.Models.request`."""
        return Request(self, self.route(model))

    def order(self, route: Route, now: float) -> list[Candidate]:
        """The candidates of a request that begins now."""

        def ready(candidate: Candidate) -> bool:
            return any(self.health.ready(endpoint, now) for endpoint in self.endpoints(candidate))

        return self.balance.order(route, ready)

    def endpoints(self, candidate: Candidate) -> Sequence[Endpoint]:
        """With each of its provider's keys, from the one whose turn it is."""
        keys = self.providers[candidate.provider].keys
        first = self._keys[candidate.provider]
        return [Endpoint(candidate, (first + index) % keys) for index in range(keys)]

    def asks(self, endpoint: Endpoint) -> None:
        """The next request's turn is the next key's."""
        provider = endpoint.candidate.provider
        self._keys[provider] = (endpoint.key + 1) % self.providers[provider].keys

    async def prewarm(self) -> None:
        """Do now what the default model's first request would have to wait for. What goes wrong is the request's to say."""
        with suppress(ProviderError):
            await self.providers[self.route("").candidates[0].provider].prewarm()

    # --- for people --------------------------------------------------------------------------------------------------------

    def circuits(self) -> tuple[CircuitStatus, ...]:
        """What is left alone at present."""
        return self.health.circuits(self.now())

    async def models(self) -> Sequence[ModelInfo]:
        """The aliases, and what all providers offer, asked at the same time; one that fails is a single entry that says why."""
        found: dict[str, Sequence[ModelInfo]] = {}
        async with trio.open_nursery() as nursery:
            for name, provider in self.providers.items():
                nursery.start_soon(self._list, name, provider, found)
        listed = [
            *map(self._described, self._routes.aliases.values()),
            *(model for name in self.providers for model in found[name]),
        ]
        ill = self._ill()
        models = [evolve(model, default=model.id == self.default, health=ill.get(model.id, model.health)) for model in listed]
        if not any(model.default for model in models):
            models.insert(0, ModelInfo(id=self.default, default=True))
        return models

    def _described(self, route: Route) -> ModelInfo:
        """An alias: it takes what the smallest of its candidates takes."""
        limits = [self.limits_of(candidate) for candidate in route.candidates]
        return ModelInfo(
            id=route.name,
            context=min(limit.context for limit in limits),
            max_output=min(limit.max_output for limit in limits),
            candidates=tuple(map(str, route.candidates)),
            source="configured",
            note=route.strategy.replace("_", " "),
        )

    def _ill(self) -> dict[str, str]:
        return {circuit.target: f"{circuit.state}: {circuit.code}" for circuit in self.circuits()}

    async def _list(self, name: str, provider: Provider, found: dict[str, Sequence[ModelInfo]]) -> None:
        shown = self.default if self.default.partition("/")[0] == name else f"{name}/"
        found[name] = [ModelInfo(id=shown, available=False, note="did not answer in time")]
        with trio.move_on_after(_LIST_TIMEOUT):
            try:
                found[name] = await provider.models()
            except ProviderError as error:
                found[name] = [ModelInfo(id=shown, available=False, note=error.message)]
