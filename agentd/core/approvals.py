"""Questions about calls: answered by a person, remembered as rules, and answered by rules that came later."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agentd.core.live import Live
from agentd.core.permissions import Permissions
from agentd.core.permit import decide
from agentd.core.tools import Tools
from agentd.core.users import stream_of
from agentd.ports import NewEvent, Store
from agentwire import events as ev
from agentwire.errors import AgentError, InvalidParams
from agentwire.types import PendingApproval, Remember


def settled(live: Live, tools: Tools, permissions: Permissions) -> list[ev.ApprovalAnswered]:
    """Answers to the session's open questions that need none any more: a rule or a mode has been added that decides them.

    To be appended without an await in between: each is reserved.
    """
    turn = live.state.turn
    waiting = [call for call in turn.calls.values() if call.awaits_answer] if turn else []
    if turn is None or not waiting:
        return []
    policy, answers = permissions.policy(live.state), []
    for call in waiting:
        found = tools.find(call.name)
        judged = decide(policy, found.spec, call.accesses) if found else None
        if judged and judged.verdict != "ask" and live.reserve_answer(call.id, "a rule"):
            note = judged.why if judged.verdict == "deny" else ""
            answers.append(ev.ApprovalAnswered(turn=turn.number, call=call.id, decision=judged.verdict, by="rule", note=note))
    return answers


def remembered(live: Live, question: PendingApproval, remember: Remember) -> list[NewEvent]:
    """The proposed rules, for the session or for its user. Error handling: InvalidParams where there are none."""
    if not remember:
        return []
    if not question.proposes:
        raise InvalidParams("params.remember: there is no rule that would allow just this call; allow it once")
    user = live.state.user
    stream = live.state.id if remember == "session" else stream_of(user)
    return [NewEvent(stream, user, ev.RuleAdded(rule=rule, verdict="allow")) for rule in question.proposes]


class Approvals:
    """Looks at open questions again when what decides has changed. `sessions`: those that are loaded."""

    def __init__(self, store: Store, sessions: Callable[[], Iterable[Live]], tools: Tools, permissions: Permissions) -> None:
        self._store, self._sessions, self._tools, self._permissions = store, sessions, tools, permissions

    async def settle(self, user: str) -> None:
        """Answer what is settled in all sessions of the user that are at work."""
        for live in self._sessions():
            if live.state.user == user and live.state.status == "awaiting_approval" and not live.deleted:
                await self._permissions.prepare(user, live.state.cwd)
                await self._answer(live)

    async def _answer(self, live: Live) -> None:
        answers = settled(live, self._tools, self._permissions)
        if not answers:
            return
        try:
            await self._store.append(live.new(answers))
        except AgentError:
            for answer in answers:
                live.release_answer(answer.call)
            raise
