"""Models on their way to their hosts: one pull at a time for each, which goes on whoever watches it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count

import structlog
import trio
from attrs import define, field

from agentd.core.decide import describe
from agentd.ports import Fetched, Puller
from agentwire.errors import InternalError, InvalidParams, ProviderError
from agentwire.methods import Pulling
from agentwire.types import ErrorInfo

log = structlog.get_logger()

_KEPT = 100
"""Pulls that are remembered after their end, for those who watched them."""


@define
class _Pull:
    number: int
    fetched: Fetched = field(factory=lambda: Fetched(0, 0, ""))
    over: bool = False
    error: ErrorInfo | None = None

    def told(self, model: str) -> Pulling:
        completed, total, detail = self.fetched
        return Pulling(
            model=model,
            pull=self.number,
            state="failed" if self.error else "done" if self.over else "running",
            completed=completed,
            total=total,
            detail=detail,
            error=self.error,
        )


class Pulls:
    """`pullers`: the providers that can fetch models, by name."""

    def __init__(self, pullers: Mapping[str, Puller]) -> None:
        self._pullers = pullers
        self._latest: dict[str, _Pull] = {}  # by the model's full name, the newest last
        self._numbers = count(1)
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Pull what is asked for, until cancelled: hosts go on from there when they are asked again."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    def can(self, provider: str) -> bool:
        """Whether this provider fetches models."""
        return provider in self._pullers

    def follow(self, model: str, number: int) -> Pulling:
        """The state of this pull of `model`; if there is none, of the one under way, which begins now if it has not.

        Error handling: InvalidParams for a provider that fetches no models.
        """
        pull = self._latest.get(model)
        if pull is None or (pull.over and pull.number != number):
            pull = self._begin(model)
        return pull.told(model)

    def _begin(self, model: str) -> _Pull:
        provider, _, name = model.partition("/")
        puller = self._pullers.get(provider)
        if puller is None:
            raise InvalidParams(f"models of {provider} are not pulled; those of {', '.join(sorted(self._pullers))} are")
        assert self._nursery is not None  # services run before anybody can ask
        self._latest.pop(model, None)
        pull = self._latest[model] = _Pull(next(self._numbers))
        self._forget()
        self._nursery.start_soon(self._pull, puller, name, pull)
        return pull

    def _forget(self) -> None:
        for model in [model for model, pull in self._latest.items() if pull.over][:-_KEPT]:
            del self._latest[model]

    async def _pull(self, puller: Puller, name: str, pull: _Pull) -> None:
        def report(fetched: Fetched) -> None:
            pull.fetched = fetched

        try:
            await puller.pull(name, report)
        except ProviderError as error:
            pull.error = describe(error)
        except Exception:
            log.exception("pull_bug", model=name)
            pull.error = describe(InternalError("a bug in agentd; its traceback is in the log"))
        pull.over = True
