"""A tool source whose code is loaded when one of its tools is first called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from agentd.ports import FixedTools, Place, ToolContext, ToolOutcome, ToolSource, ToolSpec
from agentwire.types import Access


class Late(FixedTools):
    """What is offered is known before, and never changes: `specs`. `load` makes the source, which runs nothing of its own.

    A daemon in which nobody calls such a tool does without its modules.
    """

    def __init__(self, name: str, specs: Sequence[ToolSpec], load: Callable[[], ToolSource]) -> None:
        self.name, self.offered, self._load = name, specs, load

    def accesses(self, name: str, arguments: Mapping[str, Any], place: Place) -> Sequence[Access]:
        return self._source.accesses(name, arguments, place)

    async def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        return await self._source.call(name, arguments, context)

    @cached_property
    def _source(self) -> ToolSource:
        return self._load()
