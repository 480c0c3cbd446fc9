"""All models there are, as one list: what the configuration names, what is known of the vendors that can be asked, what hosts list.

Theory of operation: hosts are asked all at the same time and only once, for some take seconds and their lists change in days; a
provider that is another one now (another key, another host) is asked again, and so is one that failed. A model is in the list once,
with what its host says of it, under the strongest reason for it to be there: configured, built-in, discovered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import trio
from attrs import evolve

from agentd.core.router import Router
from agentd.core.routes import Candidate, Route
from agentd.ports import Provider
from agentwire.errors import BadRequest, InvalidParams, ProviderError
from agentwire.types import CircuitStatus, ModelInfo

_TIMEOUT = 15.0  # seconds: longer than any provider takes by itself


class Known(Protocol):
    """What is known without asking anybody."""

    def described(self, provider: str, model: str) -> ModelInfo:
        """Any model."""

    def built_in(self) -> Sequence[ModelInfo]:
        """The models of the vendors that can be asked: for those with a key."""

    def named(self) -> Sequence[str]:
        """The full names of models for which something is configured."""

    def names(self, provider: str) -> Sequence[str]:
        """The vendor's own names of its models, as far as they are known, whether or not it can be asked."""


class ModelList:
    """Remembers what hosts listed."""

    def __init__(self, router: Router, known: Known) -> None:
        self._router, self._known = router, known
        self._listed: dict[str, tuple[Provider, Sequence[ModelInfo]]] = {}

    async def models(self, refresh: bool) -> Sequence[ModelInfo]:  # noqa: FBT001 - as its method has it
        """The aliases first, then models by their source. `refresh`: ask all hosts again. At most 15 s.

        A provider that fails is an entry of its own, `provider/`, that says why.
        """
        failed = await self._ask(refresh=refresh)
        listed = {info.id: info for name in self._router.providers if name in self._listed for info in self._listed[name][1]}
        described = {info.id: info for info in self._known.built_in()}
        configured = {str(candidate): self._described(candidate) for candidate in self._configured()}
        models = merged(configured, described, listed)
        down = {name for name, error in failed.items() if not isinstance(error, BadRequest)}
        models = [evolve(info, available=False) if _provider(info) in down else info for info in models]
        circuits = self._router.circuits()
        models = [evolve(info, health=health(info.id, circuits)) for info in models]
        default = self._router.default
        found = [*(alias(route, models) for route in self._router.aliases), *models]
        said = [ModelInfo(id=f"{name}/", available=False, note=error.message) for name, error in failed.items()]
        return [evolve(info, default=info.id == default) for info in (*found, *said)]

    # --- one provider ----------------------------------------------------------------------------------------------------------

    def known(self, provider: str) -> Sequence[str]:
        """The names of its models without asking it, as it calls them."""
        configured = [candidate.model for candidate in self._configured() if candidate.provider == provider]
        return [*configured, *self._known.names(provider)]

    async def listed(self, provider: str) -> Sequence[ModelInfo]:
        """What its host lists, asked once; nothing if that fails. At most 15 s."""
        asked = self._router.providers[provider]
        if self._listed.get(provider, (None,))[0] is not asked:
            await self._ask_one(provider, asked, {})
        return self._listed[provider][1] if provider in self._listed else ()

    def described(self, candidate: Candidate) -> ModelInfo:
        """As its host lists it, if that was asked; else what is known."""
        listed = self._listed.get(candidate.provider, (None, ()))[1]
        return next((info for info in listed if info.id == str(candidate)), None) or self._described(candidate)

    # --- hosts -----------------------------------------------------------------------------------------------------------------

    async def _ask(self, *, refresh: bool) -> Mapping[str, ProviderError]:
        """Who did not answer, and why."""
        failed: dict[str, ProviderError] = {}
        async with trio.open_nursery() as nursery:
            for name, provider in self._router.providers.items():
                if refresh or self._listed.get(name, (None,))[0] is not provider:
                    nursery.start_soon(self._ask_one, name, provider, failed)
        self._listed = {name: listed for name, listed in self._listed.items() if name in self._router.providers}
        return failed

    async def _ask_one(self, name: str, provider: Provider, failed: dict[str, ProviderError]) -> None:
        failed[name] = ProviderError("did not answer in time")
        self._listed.pop(name, None)
        with trio.move_on_after(_TIMEOUT):
            try:
                if listed := await provider.models():
                    self._listed[name] = (provider, listed)
                del failed[name]
            except ProviderError as error:
                failed[name] = error

    # --- the configuration -----------------------------------------------------------------------------------------------------

    def _configured(self) -> Iterable[Candidate]:
        """Whatever is named there: the default first."""
        yield from self._router.route("").candidates
        for route in self._router.aliases:
            yield from route.candidates
        for name in self._known.named():
            with suppress(InvalidParams):  # of a provider that is not there
                yield from self._router.route(name).candidates

    def _described(self, candidate: Candidate) -> ModelInfo:
        return self._known.described(candidate.provider, candidate.model)


def merged(
    configured: Mapping[str, ModelInfo], built_in: Mapping[str, ModelInfo], listed: Mapping[str, ModelInfo]
) -> list[ModelInfo]:
    """Each model once, by its id: what its host says of it counts, and what gives it its place is where it comes first."""
    models = {
        **{name: evolve(info, source="discovered") for name, info in listed.items()},
        **{name: evolve(listed.get(name, info), source="built-in") for name, info in built_in.items()},
        **{name: evolve(listed.get(name, info), source="configured") for name, info in configured.items()},
    }
    order = dict.fromkeys((*configured, *built_in, *listed))
    return [models[name] for name in order]


def alias(route: Route, models: Sequence[ModelInfo]) -> ModelInfo:
    """It takes what all of its candidates take, and is ill if all of them are."""
    found = {info.id: info for info in models}
    members = [found[str(candidate)] for candidate in route.candidates]
    shared = [word for word in members[0].capabilities if all(word in member.capabilities for member in members)]
    return ModelInfo(
        id=route.name,
        context=min(member.context for member in members),
        max_output=min(member.max_output for member in members),
        capabilities=tuple(shared),
        candidates=tuple(member.id for member in members),
        source="configured",
        known=all(member.known for member in members),
        available=any(member.available for member in members),
        health=members[0].health if all(member.health for member in members) else "",
        note=route.strategy.replace("_", " "),
    )


def health(name: str, circuits: Sequence[CircuitStatus]) -> str:
    """Of the circuit of this model, else of its provider; empty while it may be asked."""
    ill = {circuit.target: f"{circuit.state}: {circuit.code}" for circuit in circuits}
    return ill.get(name) or ill.get(name.partition("/")[0], "")


def _provider(info: ModelInfo) -> str:
    return info.id.partition("/")[0]
