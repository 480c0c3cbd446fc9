"""A tool source without processes, for tests of the loop: given specs, scripted results, a record of what was called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import trio
from attrs import Factory, define, frozen

from agentd.ports import Place, ToolContext, ToolOutcome, ToolSpec
from agentwire.errors import ToolError
from agentwire.types import Access, Effect, Text

Result = str | ToolOutcome | ToolError | Callable[[Mapping[str, Any], ToolContext], ToolOutcome]


def spec(name: str, *, effect: Effect = "once", policy: str = "allow", **properties: Any) -> ToolSpec:
    """A tool called `name`, allowed outright; `properties`: the JSON Schema of each parameter, all required."""
    parameters = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    return ToolSpec(name=name, description=f"the tool {name}", parameters=parameters, effect=effect, policy=policy)  # type: ignore[arg-type]


def said(text: str) -> ToolOutcome:
    return ToolOutcome(outcome="ok", parts=(Text(text=text),))


@frozen
class Called:
    name: str
    arguments: Mapping[str, Any]
    context: ToolContext


@define
class FakeTools:
    """`results`: per tool what its calls give in order, the last one for ever; without one, `ok`.

    `gates`: a tool whose calls wait for the event, after they are in `calls`. `ended` has the calls that gave a result,
    `cancelled` those that were cancelled while they waited.
    """

    tools: Sequence[ToolSpec]
    results: dict[str, list[Result]] = Factory(dict)
    gates: dict[str, trio.Event] = Factory(dict)
    name: str = "fake"
    calls: list[Called] = Factory(list)
    ended: list[str] = Factory(list)
    cancelled: list[str] = Factory(list)
    refreshed: int = 0
    wants: Callable[[str, Mapping[str, Any]], Sequence[Access]] = lambda _name, _arguments: ()

    async def run(self, *, task_status: Any) -> None:
        task_status.started()

    async def refresh(self) -> None:
        self.refreshed += 1

    def specs(self) -> Sequence[ToolSpec]:
        return self.tools

    def accesses(self, name: str, arguments: Mapping[str, Any], place: Place) -> Sequence[Access]:
        return self.wants(name, arguments)

    async def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        if name not in {spec.name for spec in self.tools}:
            raise ToolError(f"there is no tool called {name}")
        self.calls.append(Called(name, arguments, context))
        try:
            await self._wait(name)
        except trio.Cancelled:
            self.cancelled.append(context.call)
            raise
        self.ended.append(context.call)
        return self._result(name, arguments, context)

    async def _wait(self, name: str) -> None:
        await trio.lowlevel.checkpoint()
        if name in self.gates:
            await self.gates[name].wait()

    def _result(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        script = self.results.get(name) or ["ok"]
        result = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(result, ToolError):
            raise result
        if isinstance(result, str):
            return said(result)
        return result if isinstance(result, ToolOutcome) else result(arguments, context)
