"""The methods about models."""

from __future__ import annotations

from collections.abc import Mapping

from agentd.core.api import Caller, Handler
from agentd.core.pulls import Pulls
from agentwire import methods as m


class ModelMethods:
    def __init__(self, pulls: Pulls) -> None:
        self._pulls = pulls
        self.handlers: Mapping[str, Handler] = {"model/pull": self._pull}

    async def _pull(self, _caller: Caller, params: m.PullModel) -> m.Pulling:
        return self._pulls.follow(params.model, params.pull)
