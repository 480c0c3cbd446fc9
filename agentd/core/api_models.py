"""The methods about models."""

from __future__ import annotations

from collections.abc import Mapping

from agentd.core.api import Caller, Handler
from agentd.core.health import Endpoint
from agentd.core.model_test import check_model, unreached
from agentd.core.pulls import Pulls
from agentd.core.router import Router
from agentd.core.routes import Candidate
from agentwire import methods as m
from agentwire.errors import InvalidParams, ProviderError
from agentwire.types import ModelCheck


class ModelMethods:
    """`defaults`: the model that a provider's name alone stands for."""

    def __init__(self, pulls: Pulls, router: Router, defaults: Mapping[str, str]) -> None:
        self._pulls, self._router, self._defaults = pulls, router, defaults
        self.handlers: Mapping[str, Handler] = {"model/pull": self._pull, "model/test": self._test}

    async def _pull(self, _caller: Caller, params: m.PullModel) -> m.Pulling:
        return self._pulls.follow(params.model, params.pull)

    async def _test(self, _caller: Caller, params: m.CheckModel) -> m.ModelChecked:
        candidates = self._router.route(params.model).candidates
        first, began = candidates[0], self._router.now()
        provider = self._router.providers[first.provider]
        try:
            first = first if first.model else await self._default_of(first.provider)
        except ProviderError as error:
            checks = unreached(provider, error, self._router.now() - began)
        else:
            checks = await check_model(provider, first.model, pullable=self._pulls.can(first.provider), now=self._router.now)
            self._relieve(first, checks)
        return m.ModelChecked(model=str(first), candidates=(str(first), *map(str, candidates[1:])), checks=checks)

    async def _default_of(self, provider: str) -> Candidate:
        """The configured default if it is this provider's, else the one known for it, else the first that it lists.

        Raises ProviderError if that cannot be asked, InvalidParams if it lists none.
        """
        configured = next((one for one in self._router.route("").candidates if one.provider == provider and one.model), None)
        if configured is not None:
            return configured
        if known := self._defaults.get(provider):
            return self._router.route(known).candidates[0]
        listed = [info.id for info in await self._router.providers[provider].models() if info.available]
        if not listed:
            raise InvalidParams(f"{provider} lists no models; name one: {provider}/MODEL")
        return Candidate(provider, listed[0].removeprefix(f"{provider}/"))

    def _relieve(self, candidate: Candidate, checks: tuple[ModelCheck, ...]) -> None:
        """One that answers need not be left alone any longer; one that does not is not left alone for it: nobody's turn failed."""
        if any(check.outcome == "failed" and check.code for check in checks):
            return
        for key in range(self._router.providers[candidate.provider].keys):
            attempt = self._router.health.begin(Endpoint(candidate, key), self._router.now())
            self._router.health.answered(attempt)
            self._router.health.completed(attempt)
            self._router.health.end(attempt)
