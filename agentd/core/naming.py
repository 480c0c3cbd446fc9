"""What a person writes as a model's name: looked at before a session keeps it, for a typing error would ask some model or other.

Whatever has a provider is asked for as it is written. A bare name is an alias, or a model of the default's provider; if it is none
that is known there, but looks like one, or like an alias, it is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from agentd.core.api import Caller, Handler
from agentd.core.model_list import ModelList
from agentd.core.router import Router
from agentd.core.routes import Candidate
from agentwire import methods as m
from agentwire.errors import InvalidParams

_NEAR: Final = 0.7  # how alike, at least: of short names many are alike by chance


class Naming:
    """Asks a host what it has only for a bare name that nobody knows."""

    def __init__(self, router: Router, models: ModelList) -> None:
        self._router, self._models = router, models
        self.handlers: Mapping[str, Handler] = {"model/resolve": self._resolve}

    async def full_name(self, model: str) -> str:
        """`model` as a session keeps it. Raises InvalidParams for what stands for nothing, and for what is probably mistyped."""
        name = self._router.full_name(model)
        for candidate in self._router.bare(model):
            await self._refuse_mistyped(candidate)
        return name

    async def _resolve(self, _caller: Caller, params: m.ResolveModel) -> m.ModelResolved:
        name = await self.full_name(params.model)
        described = [self._models.described(candidate) for candidate in self._router.route(name).candidates]
        return m.ModelResolved(model=name, models=tuple(described))

    async def _refuse_mistyped(self, candidate: Candidate) -> None:
        provider, model = candidate.provider, candidate.model
        known = set(self._models.known(provider))
        if _among(model, known):
            return
        listed = {info.id.partition("/")[2] for info in await self._models.listed(provider)}
        if _among(model, listed) or (not listed and self._models.described(candidate).known):
            return
        import difflib  # only when something is wrong

        names = [*(route.name for route in self._router.aliases), *sorted(known | listed)]
        if near := difflib.get_close_matches(model, names, 1, _NEAR):
            raise InvalidParams(
                f"{model!r} is no model alias, and no model that {provider} is known to have; did you mean {near[0]}? "
                f"To ask {provider} for it all the same, write {candidate}"
            )


def _among(model: str, names: Collection[str]) -> bool:
    """Also where a host would add to the name: the tag of Ollama's, the ending of a file."""
    return bool({model, f"{model}:latest", model.removesuffix(".gguf")} & {*names})
