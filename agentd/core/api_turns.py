"""The methods that drive turns: an input, a cancel, an answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from agentd.core import answers
from agentd.core.admission import admit
from agentd.core.api import Caller, Handler
from agentd.core.approvals import Approvals, remembered
from agentd.core.attachments import Attachments
from agentd.core.live import Live
from agentd.core.once import Once
from agentd.core.sessions import Sessions
from agentd.core.settings import Current
from agentwire import events as ev
from agentwire import methods as m
from agentwire.errors import Conflict, InvalidParams, NotFound


class TurnMethods:
    """`resolve` makes a model's full name of what a user wrote."""

    def __init__(
        self,
        sessions: Sessions,
        once: Once,
        settings: Current,
        resolve: Callable[[str], Awaitable[str]],
        attachments: Attachments,
        approvals: Approvals,
    ) -> None:
        self._sessions, self._once, self._settings, self._resolve = sessions, once, settings, resolve
        self._attachments, self._approvals = attachments, approvals
        self.handlers: Mapping[str, Handler] = {
            "session/prompt": self._prompt,
            "session/cancel": self._cancel,
            "approval/answer": self._answer,
        }

    async def _prompt(self, caller: Caller, params: m.Prompt) -> Any:
        live = await self._sessions.open(caller.user, params.session)
        return await self._once.run(caller.user, "session/prompt", params, lambda: self._take(caller, live, params))

    async def _take(self, caller: Caller, live: Live, params: m.Prompt) -> m.Prompted:
        await self._attachments.refuse_unusable(live.state.id, params.parts)
        if params.schema is not None:
            await answers.refuse_unusable(params.schema)
        model = await self._resolve(params.model) if params.model else ""
        self._sessions.refuse_if_stopping()
        self._sessions.refuse_deleted(live)  # and no await from here to the append
        number, turn, events = admit(
            live,
            params.parts,
            params.delivery,
            interactive=params.interactive,
            model=model or live.state.model,
            max_steps=params.max_steps or live.state.max_steps or self._settings().max_steps,
            schema=params.schema,
            max_cost=params.max_cost,
        )
        key = self._once.key(
            caller.user, "session/prompt", params, lambda events: m.Prompted(input=number, seq=events[0].seq, turn=turn)
        )
        try:
            committed = await self._once.append(events, key)
        except BaseException:
            if turn is not None:
                self._sessions.release(live)
            raise
        if turn is None:
            self._sessions.kick(live)  # the turn it waited for may have ended meanwhile
        return m.Prompted(input=number, seq=committed[0].seq, turn=turn)

    async def _cancel(self, caller: Caller, params: m.SessionRef) -> m.Cancelled:
        live = await self._sessions.open(caller.user, params.session)
        turn = live.state.turn
        if turn is None or not live.busy:
            return m.Cancelled(turn=None)
        live.cancel()
        return m.Cancelled(turn=turn.number)

    async def _answer(self, caller: Caller, params: m.AnswerApproval) -> m.Empty:
        live = await self._sessions.open(caller.user, params.session)
        turn = live.state.turn
        call = turn.calls.get(params.call) if turn else None
        if turn is None or call is None or call.approval is None:
            raise NotFound(f"there is no question about call {params.call} in this session")
        if params.remember and params.decision != "allow":
            raise InvalidParams("params.remember: only what is allowed is remembered; add a rule that denies with permission/add")
        if call.arguments_hash != params.arguments_hash:
            raise Conflict("the question was about other arguments; look at it again")
        if not call.awaits_answer or not live.reserve_answer(call.id, caller.user):
            answer = f" ({call.decision})" if call.decision else ""
            raise Conflict(f"the question is answered already{answer}", decision=call.decision, by=call.decided_by)
        body = ev.ApprovalAnswered(
            turn=turn.number,
            call=call.id,
            decision=params.decision,
            by=caller.user,
            note=params.note,
            remember=params.remember,
        )
        try:
            await self._once.append([*live.new([body]), *remembered(live, call.approval, params.remember)])
        except BaseException:
            live.release_answer(call.id)
            raise
        if params.remember:
            await self._approvals.settle(caller.user)
        return m.Empty()
