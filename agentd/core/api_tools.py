"""The methods about tools: which there are, what was called, calls of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from agentd.core.api import Caller, Handler
from agentd.core.api_sessions import ENVIRONMENT
from agentd.core.direct import DirectCalls
from agentd.core.sessions import Sessions
from agentd.core.tools import Offered, Tools
from agentd.ports import CallFilter, CallSums, Place, Store
from agentwire import tool_methods as tm
from agentwire.errors import NotFound
from agentwire.methods import Empty
from agentwire.types import ToolInfo

_BUILT_IN = frozenset({"files", "shell", "web", "session"})
"""Sources that are agentd's own: for people they are one."""


class ToolMethods:
    def __init__(self, store: Store, sessions: Sessions, tools: Tools, direct: DirectCalls) -> None:
        self._store, self._sessions, self._tools, self._direct = store, sessions, tools, direct
        self.handlers: Mapping[str, Handler] = {
            "tool/list": self._list,
            "tool/history": self._history,
            "tool/call": self._call,
        }

    async def _list(self, caller: Caller, _params: Empty) -> tm.ToolList:
        await self._tools.refresh()
        sums = {one.name: one for one in await self._store.call_sums(caller.user)}
        tools = tuple(_info(one, sums.get(name)) for name, one in sorted(self._tools.offered.items()))
        return tm.ToolList(tools=tools, warnings=tuple(self._tools.refused))

    async def _history(self, caller: Caller, params: tm.ToolHistory) -> tm.CallPage:
        session = (await self._sessions.open(caller.user, params.session)).state.id if params.session else ""
        which = CallFilter(tool=params.tool, session=session, outcome=params.outcome, since=params.since)
        calls = await self._store.calls(caller.user, which, before=params.before, limit=params.limit + 1)
        page = tuple(calls[: params.limit])
        return tm.CallPage(calls=page, cursor=page[-1].pos if len(calls) > len(page) else None)

    async def _call(self, caller: Caller, params: tm.CallTool) -> Any:
        self._sessions.refuse_if_stopping()
        await self._tools.refresh()
        await self._tools.prepare()
        found = self._tools.find(params.name)
        if found is None:
            import difflib  # only when something is wrong

            near = difflib.get_close_matches(params.name, self._tools.offered, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "`agentctl tool list` shows all"
            raise NotFound(f"there is no tool called {params.name}; {hint}")
        environment = {name: value for name, value in params.environment.items() if name in ENVIRONMENT}
        place = Place(session="", cwd=params.cwd, environment=environment)
        return await self._direct.call(caller.user, found, params, place)


def _info(offered: Offered, sums: CallSums | None) -> ToolInfo:
    spec, source = offered.spec, offered.source.name
    sums = sums or CallSums(spec.name, 0, 0, 0, 0.0, None)
    return ToolInfo(
        name=spec.name,
        source="builtin" if source in _BUILT_IN else source,
        description=spec.description,
        parameters=msgspec.to_builtins(spec.parameters),
        effect=spec.effect,
        policy=spec.policy,
        calls=sums.calls,
        errors=sums.errors,
        denied=sums.denied,
        seconds=round(sums.seconds, 3),
        last_at=sums.last_at,
    )
