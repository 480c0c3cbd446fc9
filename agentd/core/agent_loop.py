"""run_turn: the loop around `decide.next_action`. It keeps nothing that the log does not have.

Theory of operation: look at the state, do the one thing that `next_action` names, append what came of it, look again. A crash at
any point loses only the doing, never the knowing; recovery enters the same loop. The turn lives in one cancel scope
(`live.scope`): a cancel closes the provider's stream and kills its tools together, and `_close` writes what the log needs for a
valid history.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from uuid import uuid4

import structlog
import trio

from agentd.core import answers, decide
from agentd.core.accounts import Accounts
from agentd.core.approvals import settled
from agentd.core.attachments import Attachments
from agentd.core.bus import Bus
from agentd.core.costs import Asked
from agentd.core.decide import AwaitApproval, CallModel, Finish, RunTools, SkipCalls, TakeSteer
from agentd.core.draft import Draft
from agentd.core.jobs import Background
from agentd.core.live import DraftSaver, Live
from agentd.core.permissions import Permissions
from agentd.core.permit import hidden, walls
from agentd.core.prompt import Facts, build_prompt
from agentd.core.results import bounded
from agentd.core.settings import Current
from agentd.core.state import Call, SessionState
from agentd.core.tools import Planner, Tools, finished
from agentd.ports import Build, Clock, Delta, ModelLimits, ModelRequest, Models, Prompt, Store, ToolContext
from agentd.steady import Steady
from agentwire import events as ev
from agentwire.errors import AgentError, ContextTooLong, InternalError, ProviderError, StoreError
from agentwire.types import BlobRef, ToolCall

log = structlog.get_logger()

_CLOSE, _CLOSE_WHEN_FULL = 5.0, 0.5
"""Seconds for which not even a stopping daemon gives up writing the end of a turn; else the next boot writes it."""
_SHARES = (1.0, 0.6, 0.3)
"""Of the history that seems to fit: what is sent at first, and what after the vendor said that it is too long."""


class _ReplyTooLong(Exception):
    pass


class AgentLoop:
    """Runs turns. One instance serves all sessions; everything about a turn is in its `Live`."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        models: Models,
        tools: Tools,
        permissions: Permissions,
        attachments: Attachments,
        accounts: Accounts,
        jobs: Background,
        saver: DraftSaver,
        clock: Clock,
        facts: Callable[[], Facts],
        settings: Current,
    ) -> None:
        self._store, self._bus, self._models, self._tools, self._attachments = store, bus, models, tools, attachments
        self._permissions, self._accounts, self._jobs = permissions, accounts, jobs
        self._saver, self._clock, self._facts, self._settings = saver, Steady(clock), facts, settings
        self.suspending = False  # the daemon stops: turns pause before their next request or question

    async def run_turn(self, live: Live) -> None:
        """Run the open turn to its end. Raises nothing but Cancelled (the daemon stops) and StoreError (it must)."""
        end: Finish | None = None
        try:
            with trio.CancelScope() as live.scope:
                if live.cancel_requested:
                    live.scope.cancel()
                end = await self._drive(live)
            if live.scope.cancelled_caught:
                end = Finish("cancelled")
        except StoreError:
            raise
        except AgentError as error:
            end = Finish("failed", error)
        except Exception as error:
            if isinstance(error, ExceptionGroup) and error.subgroup(StoreError):
                raise
            bug = uuid4().hex[:12]
            log.exception("turn_bug", session=live.state.id, id=bug)
            end = Finish(
                "failed", InternalError(f"a bug in agentd ended the turn; its traceback is in the log under {bug}", id=bug)
            )
        finally:
            bound = _CLOSE_WHEN_FULL if self._store.full else _CLOSE
            with trio.CancelScope(shield=True, deadline=trio.current_time() + bound) as closing:
                await self._close(live, end)
            self._accounts.release(live.state.id)
            live.scope = live.request = None
            live.cancel_requested = False
        if closing.cancelled_caught:  # a full disk: as long as it takes, or until the daemon stops
            await self._close(live, end)

    async def _drive(self, live: Live) -> Finish | None:
        """Until the turn is over; None if its end is in the log already, or the daemon stops first."""
        await self._tools.refresh()
        while live.state.turn is not None:
            action = decide.next_action(live.state, self._guards())
            if isinstance(action, Finish):
                return action
            if self.suspending and isinstance(action, CallModel | AwaitApproval):
                break
            await self._do(live, action)
        return None

    def _guards(self) -> decide.Guards:
        limits = self._settings()
        return decide.Guards(repeats=limits.max_repeats, seconds=limits.max_seconds, now=self._clock.now())

    async def _do(self, live: Live, action: decide.Action) -> None:
        turn = live.state.open_turn.number
        match action:
            case CallModel():
                await self._call_model(live)
            case RunTools(calls=calls):
                await self._run_tools(live, calls)
            case TakeSteer(inputs=inputs):
                await self._append(live, [ev.InputSteered(turn=turn, input=queued.input) for queued in inputs])
            case SkipCalls(calls=calls):
                text = "skipped: the user sent a new message before the call started"
                await self._append(live, [finished(turn, call.id, "skipped", text) for call in calls])
            case AwaitApproval(calls=calls):
                await self._await_approval(live, calls)

    # --- the model ---------------------------------------------------------------------------------------------------------

    async def _call_model(self, live: Live) -> None:
        state = live.state
        turn = state.open_turn
        request = live.request = live.request or self._models.request(turn.model)
        draft = live.draft = Draft(turn.number, turn.steps)
        error: ProviderError | None = None
        asked: dict[str, Asked] = {}
        try:
            blobs = await self._attachments.of(state.id, state.messages)
            await self._ask(live, draft, request, partial(self._build, state, blobs, asked))
        except _ReplyTooLong:
            draft.stop = "length"
        except ProviderError as failure:
            error = failure
        finally:
            draft.model, draft.asked = request.model, asked.get(request.model)
        if draft.asked is not None:
            self._accounts.learn(draft.model, draft.asked, draft.usage)
        if error is None:
            live.request = None
            await self._append(live, await self._reply(live, draft))
        else:
            await self._seam(live, draft, error, request)
        live.draft = None

    async def _ask(self, live: Live, draft: Draft, request: ModelRequest, build: Callable[[float], Build]) -> None:
        """What turns out to be too long for its vendor is asked again with less of the history: our estimate was wrong."""
        sink, first = self._sink(live, draft, request), None
        for share in _SHARES:
            try:
                await request.drain(build(share), sink)
                return
            except ContextTooLong as error:
                first = first or error
                if draft.shown:
                    break
        assert first is not None
        raise first

    def _build(self, state: SessionState, blobs: Mapping[str, bytes], asked: dict[str, Asked], share: float) -> Build:
        """Each prompt within what all budgets allow; what it will have to be paid for goes into `asked`, by model."""
        facts, tools = self._facts(), self._tools.specs()

        def build(model: str, limits: ModelLimits) -> Prompt:
            limits = self._accounts.calibrated(model, limits)
            prompt = build_prompt(state, limits, facts, tools, model=model, blobs=blobs, share=share)
            prompt, asked[model] = self._accounts.admit(state, model, limits, prompt)
            return prompt

        return build

    def _sink(self, live: Live, draft: Draft, request: ModelRequest) -> Callable[[Sequence[Delta]], None]:
        stream, bus, saver = live.state.id, self._bus, self._saver

        def sink(deltas: Sequence[Delta]) -> None:
            if shown := draft.feed(deltas):
                draft.model = draft.model or request.model
                encoded = ev.encode_transient(stream, shown)
                bus.publish(stream, encoded, None)
                saver.touch(live)
            if waits := draft.waits:
                draft.waits = None
                told = ev.ModelWaits(turn=draft.turn, step=draft.step, **waits._asdict())
                bus.publish(stream, ev.encode_transient(stream, told), None)
            if draft.full:
                raise _ReplyTooLong

        return sink

    async def _reply(self, live: Live, draft: Draft) -> list[object]:
        turn = live.state.open_turn
        parts = draft.reply(f"{live.state.id}-{turn.number}-{draft.step}")
        stop = draft.stop or "end"
        if stop == "length":  # the last call may be half a call
            parts = tuple(part for part in parts if not isinstance(part, ToolCall))
        calls = [part for part in parts if isinstance(part, ToolCall)]
        stop = "tool_calls" if calls else "end" if stop == "tool_calls" else stop
        bill = draft.bill
        message = ev.AssistantMessage(
            turn=turn.number,
            step=draft.step,
            model=draft.model,
            parts=parts,
            stop=stop,
            usage=bill.usage,
            cost=bill.cost,
            estimated=bill.estimated,
        )
        planned = []
        if calls:
            await self._tools.prepare()
            await self._know_rules(live)
            planned = self._planner(live.state).plan(calls)
        rejected = ""
        if live.state.open_turn.schema is not None and stop == "end":
            rejected = await answers.rejection(live.state.open_turn.schema, decide.whole_text(live.state, message))
        return [message, *planned, *decide.last_words(live.state, message, rejected)]

    async def _know_rules(self, live: Live) -> None:
        """Once a turn, before the first decision: a turn without calls need not wait for it."""
        turn = live.state.open_turn.number
        if live.ruled != turn:
            await self._permissions.prepare(live.state.user, live.state.cwd)
            live.ruled = turn

    def _planner(self, state: SessionState) -> Planner:
        policy, turn = self._permissions.policy(state), state.open_turn
        return Planner(
            tools=self._tools,
            policy=policy,
            place=self._permissions.place(state, policy),
            turn=turn.number,
            interactive=turn.interactive,
            approve_until=self._clock.now() + self._settings().approval_deadline,
        )

    async def _seam(self, live: Live, draft: Draft, error: ProviderError, request: ModelRequest) -> None:
        """The reply broke off: keep what there is and ask on from there, or end the turn with the error."""
        turn = live.state.open_turn
        kept = decide.interrupted_message(live.state, draft)
        attempt = turn.restarts + 1
        if not kept or request.over or attempt > decide.MAX_RESTARTS:
            raise error
        reason = decide.describe(error)
        seam = ev.ReplyRestarted(turn=turn.number, step=draft.step, attempt=attempt, reason=reason, model=draft.model)
        await self._append(live, [*kept, seam])

    # --- tools -------------------------------------------------------------------------------------------------------------

    async def _run_tools(self, live: Live, calls: Sequence[Call]) -> None:
        await self._know_rules(live)
        turn = live.state.open_turn.number
        refused = [call for call in calls if call.decision == "deny"]
        allowed = [call for call in calls if call.decision != "deny"]
        bodies: list[object] = [finished(turn, call.id, "denied", _denial(call)) for call in refused]
        bodies += [ev.ToolStarted(turn=turn, call=call.id) for call in allowed if not call.started]
        if bodies:
            await self._append(live, bodies)
        if len(allowed) == 1:
            await self._run_call(live, turn, allowed[0])
            return
        async with trio.open_nursery() as nursery:
            for call in allowed:
                nursery.start_soon(self._run_call, live, turn, call)

    async def _run_call(self, live: Live, turn: int, call: Call) -> None:
        began = trio.current_time()
        outcome = await self._tools.call(call.name, call.arguments_json, self._context(live, turn, call))
        parts = await bounded(self._store, live.state.id, outcome)
        seconds = round(trio.current_time() - began, 3)
        over = ev.ToolFinished(turn=turn, call=call.id, outcome=outcome.outcome, parts=parts, seconds=seconds)
        await self._append(live, [*outcome.bodies, over])

    def _context(self, live: Live, turn: int, call: Call) -> ToolContext:
        policy = self._permissions.policy(live.state)
        place = self._permissions.place(live.state, policy)
        found = self._tools.find(call.name)

        def progress(tail: str) -> None:
            told = ev.ToolProgress(turn=turn, call=call.id, tail=tail)
            self._bus.publish(live.state.id, ev.encode_transient(live.state.id, told), None)

        return ToolContext(
            call=call.id,
            user=live.state.user,
            session=place.session,
            cwd=place.cwd,
            environment=place.environment,
            roots=place.roots,
            accesses=call.accesses,
            sandbox=walls(policy, found.spec, call.accesses) if found else None,
            answer=call.note,
            progress=progress,
            jobs=self._jobs.of(live.state),
            blob=partial(self._blob, live.state.id),
            hidden=partial(hidden, policy, call.name, call.accesses),
        )

    async def _blob(self, stream: str, content: bytes, media: str) -> BlobRef:
        return BlobRef(blob=await self._store.put_blob(stream, content, essential=True), bytes=len(content), media=media)

    # --- approvals ---------------------------------------------------------------------------------------------------------

    async def _await_approval(self, live: Live, calls: Sequence[Call]) -> None:
        """Until something changes in the session, or the first deadline passes: then the answer is no. Rules may have come since a
        question was asked."""
        await self._know_rules(live)
        if answers := settled(live, self._tools, self._permissions):
            await self._append(live, answers)
            return
        now = self._clock.now()
        first = min(calls, key=_expiry)
        left = min(max(0.0, _expiry(first) - now), self._settings().approval_deadline)
        with trio.move_on_after(left) as timer:
            await live.changed()
        if timer.cancelled_caught and first.awaits_answer and live.reserve_answer(first.id, "the deadline"):
            turn = live.state.open_turn.number
            answer = ev.ApprovalAnswered(turn=turn, call=first.id, decision="deny", by="deadline", note="nobody answered in time")
            await self._append(live, [answer])

    # --- the end -----------------------------------------------------------------------------------------------------------

    async def _close(self, live: Live, end: Finish | None) -> None:
        """Write the end of the turn; with `end` None the daemon stops and the turn stays open for the next boot."""
        if live.state.turn is not None and not live.broken:
            await self._store.flush()  # a cancelled append is in the log or it is not: look before deciding
        if live.state.turn is not None and not live.broken:
            draft, live.draft = live.draft, None
            bodies = decide.suspend_turn(live.state, draft) if end is None else decide.close_turn(live.state, draft, end)
            if bodies:
                await self._append(live, bodies)

    async def _append(self, live: Live, bodies: Sequence[object]) -> None:
        """Everything a turn writes is the outcome of something that has happened: on a full disk it waits, it is not lost."""
        await self._store.append(live.new(bodies), essential=True)


def _denial(call: Call) -> str:
    who = {"deadline": "the approval's deadline passed", "rule": "not allowed any more"}.get(call.decided_by, "the user said no")
    return f"denied: {who}" + (f": {call.note}" if call.note else "")


def _expiry(call: Call) -> float:
    assert call.approval is not None
    return call.approval.expires_at
