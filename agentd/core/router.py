"""Which model answers: names become routes, routes candidates in their order.

One `Router` serves all sessions: their circuits, the rotation of keys and of models, and who is how busy are one knowledge
(health.py, balance.py). What one reply takes is a `Request` (request.py).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import trio

from agentd.core.balance import Balance
from agentd.core.health import Endpoint, Health
from agentd.core.request import Request
from agentd.core.routes import Alias, Candidate, Route, Routes
from agentd.ports import ModelLimits, Provider, Sleeper
from agentwire.errors import ProviderError
from agentwire.types import CircuitStatus


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

    @property
    def aliases(self) -> Sequence[Route]:
        return tuple(self._routes.aliases.values())

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

    def bare(self, model: str) -> Sequence[Candidate]:
        """Those that were written without a provider, and are no aliases."""
        return self._routes.bare(model)

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
