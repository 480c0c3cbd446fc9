"""The methods about permissions: which rules there are, more of them or fewer, what becomes of a call, which project is trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agentd.core.api import Caller, Handler
from agentd.core.approvals import Approvals
from agentd.core.defaults import BUILT_IN, FILE_COMMANDS, READING_COMMANDS
from agentd.core.live import Live
from agentd.core.once import Once
from agentd.core.permissions import Permissions
from agentd.core.permit import Policy, decide, walls
from agentd.core.projects import Project
from agentd.core.sessions import Sessions
from agentd.core.tools import Tools
from agentd.core.users import Users, stream_of
from agentd.ports import NewEvent, Place, Sandbox
from agentwire import events as ev
from agentwire import tool_methods as tm
from agentwire.errors import InvalidParams, NotFound, ToolError
from agentwire.methods import Empty
from agentwire.rules import mistake
from agentwire.types import Rule, RuleScope, Verdict

_STRENGTH: dict[Verdict, int] = {"deny": 0, "ask": 1, "allow": 2}
_NEAREST: dict[RuleScope, int] = {"session": 0, "user": 1, "project": 2, "configuration": 3, "built-in": 4}


class PermissionMethods:
    def __init__(
        self, sessions: Sessions, once: Once, tools: Tools, permissions: Permissions, users: Users, approvals: Approvals
    ) -> None:
        self._sessions, self._once, self._tools, self._permissions = sessions, once, tools, permissions
        self._users, self._approvals = users, approvals
        self.handlers: Mapping[str, Handler] = {
            "permission/list": self._list,
            "permission/add": self._add,
            "permission/remove": self._remove,
            "permission/explain": self._explain,
            "permission/trust": self._trust,
        }

    async def _policy(self, caller: Caller, context: tm.PermissionContext) -> tuple[Policy, Place, Project | None]:
        if context.session:
            state = (await self._sessions.open(caller.user, context.session)).state
            project = await self._permissions.prepare(state.user, state.cwd)
            policy = self._permissions.policy(state)
            return policy, self._permissions.place(state, policy), project
        project = await self._permissions.prepare(caller.user, context.cwd)
        policy = self._permissions.policy_at(caller.user, context.cwd)
        return policy, Place(session="", cwd=context.cwd, roots=(*policy.roots, *policy.write)), project

    async def _list(self, caller: Caller, params: tm.PermissionContext) -> tm.RuleList:
        policy, _, project = await self._policy(caller, params)
        rules = (*policy.rules, *READING_COMMANDS, *(BUILT_IN if policy.mode != "plan" else ()))
        rules += FILE_COMMANDS if policy.mode == "accept-edits" else ()
        waiting = project is not None and len(project.counting(self._trusted(caller, project))) < len(project.rules)
        return tm.RuleList(
            rules=tuple(sorted(rules, key=lambda rule: (_STRENGTH[rule.verdict], _NEAREST[rule.scope]))),
            mode=policy.mode,
            untrusted=project.path if project and waiting else "",
        )

    def _trusted(self, caller: Caller, project: Project) -> str | None:
        return self._users[caller.user].trusted.get(project.path)

    async def _add(self, caller: Caller, params: tm.ChangeRule) -> Empty:
        if wrong := mistake(params.rule):
            raise InvalidParams(f"params.rule: {wrong}")
        live = await self._session(caller, params)
        await self._change(caller, live, ev.RuleAdded(rule=params.rule.strip(), verdict=params.verdict))
        return Empty()

    async def _remove(self, caller: Caller, params: tm.ChangeRule) -> Empty:
        live = await self._session(caller, params)
        there: Sequence[Rule] = live.state.rules if live else (await self._users.load(caller.user)).rules
        if not any((rule.rule, rule.verdict) == (params.rule.strip(), params.verdict) for rule in there):
            where = "this session" if live else "you"
            raise NotFound(
                f"there is no rule of {where} that says {params.verdict} {params.rule}; `agentctl permission list` shows all, and "
                "those of a configuration file are changed there"
            )
        await self._change(caller, live, ev.RuleRemoved(rule=params.rule.strip(), verdict=params.verdict))
        return Empty()

    async def _session(self, caller: Caller, params: tm.ChangeRule) -> Live | None:
        return await self._sessions.open(caller.user, params.session) if params.session else None

    async def _change(self, caller: Caller, live: Live | None, body: ev.RuleAdded | ev.RuleRemoved | ev.ProjectTrusted) -> None:
        """In the log, and then for the questions that are open."""
        self._sessions.refuse_if_stopping()
        if live is not None:
            self._sessions.refuse_deleted(live)
        await self._once.append(live.new([body]) if live else [NewEvent(stream_of(caller.user), caller.user, body)])
        await self._approvals.settle(caller.user)

    async def _explain(self, caller: Caller, params: tm.ExplainPermission) -> tm.PermissionExplained:
        await self._tools.refresh()
        found = self._tools.find(params.name)
        if found is None:
            raise NotFound(f"there is no tool called {params.name}; `agentctl tool list` shows all")
        policy, place, _ = await self._policy(caller, params)
        try:
            accesses = tuple(found.source.accesses(params.name, params.arguments, place))
        except ToolError as error:
            raise InvalidParams(f"params.arguments: {error}") from None
        judged = decide(policy, found.spec, accesses)
        return tm.PermissionExplained(
            verdict=judged.verdict,
            why=judged.why,
            rule=judged.rule.rule if judged.rule else "",
            source=(judged.rule.source or judged.rule.scope) if judged.rule else "",
            accesses=accesses,
            proposes=judged.proposes,
            sandbox=_described(walls(policy, found.spec, accesses)),
        )

    async def _trust(self, caller: Caller, params: tm.TrustProject) -> tm.ProjectTrust:
        project = await self._permissions.prepare(caller.user, params.cwd)
        if project is None:
            raise NotFound(
                f"there is no .agentd/config.toml that can be read from {params.cwd} up to the root of its git work tree"
            )
        sha256 = project.sha256 if params.trusted else ""
        await self._change(caller, None, ev.ProjectTrusted(path=project.path, sha256=sha256))
        return tm.ProjectTrust(path=project.path, sha256=sha256, rules=project.rules)


def _described(sandbox: Sandbox | None) -> str:
    """The walls in words."""
    if sandbox is None:
        return "none: the sandbox is off (sandbox.mode)"
    network = "with the network" if sandbox.network else "without network"
    if sandbox.whole:
        return f"the whole machine, {network}"
    written = ", ".join(sandbox.write) or "nowhere"
    return f"writes {written}, not {', '.join(sandbox.keep)}; {network}" if sandbox.keep else f"writes {written}; {network}"
