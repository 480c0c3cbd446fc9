"""What a turn does next, how it ends and how it is taken up again: pure functions of the log's state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve, frozen

from agentd.core.answers import MAX_REJECTIONS
from agentd.core.costs import plus
from agentd.core.draft import Draft
from agentd.core.prompt import continuing
from agentd.core.state import Call, SessionState, Turn
from agentd.core.tools import NOT_EXECUTED, UNKNOWN, finished
from agentwire import events as ev
from agentwire.errors import AgentError, DeadlineExceeded, InvalidAnswer, Refused, RepeatedCalls, TurnLimit
from agentwire.types import ErrorInfo, QueuedInput, Text, TurnOutcome

MAX_RESUMES = 3
"""Times an open turn is taken up again after a crash; more would be a turn that crashes the daemon."""
MAX_RESTARTS = 5
"""Times one reply that broke off after its first words is continued, over all boots: as often as `request.ATTEMPTS` allows."""


@frozen
class CallModel:
    pass


@frozen
class TakeSteer:
    """Inputs that become user messages before the next model request."""

    inputs: Sequence[QueuedInput]


@frozen
class RunTools:
    calls: Sequence[Call]


@frozen
class SkipCalls:
    """A steer came: calls that have not started give way to it."""

    calls: Sequence[Call]


@frozen
class AwaitApproval:
    calls: Sequence[Call]


@frozen
class Finish:
    outcome: TurnOutcome
    error: AgentError | None = None


Action = CallModel | TakeSteer | RunTools | SkipCalls | AwaitApproval | Finish


@frozen(kw_only=True)
class Guards:
    """What a turn may not do for ever; 0: it may. `repeats`: so many times in a row the same calls with the same results;
    `seconds`: so long before its next model request. `now`: seconds since the epoch."""

    repeats: int = 0
    seconds: float = 0.0
    now: float = 0.0


_NONE = Guards()


def next_action(state: SessionState, guards: Guards = _NONE) -> Action:
    """What the open turn does now."""
    turn = state.open_turn
    steers = [queued for queued in state.queue if queued.delivery == "steer"]
    if calls := turn.open_calls:
        waiting = [call for call in calls if call.awaits_answer]
        if steers and (unstarted := [call for call in calls if not call.started]):
            return SkipCalls(unstarted)
        runnable = [call for call in calls if not call.awaits_answer]
        return RunTools(runnable) if runnable else AwaitApproval(waiting)
    if steers:
        return TakeSteer(steers)
    if turn.stop == "refused" and not turn.steered:
        return Finish("failed", Refused("the model refused to answer this"))
    if turn.stop in ("end", "length") and not turn.steered:
        return Finish("done")
    error = _limit(turn, guards)
    return Finish("failed", error) if error else CallModel()


def _limit(turn: Turn, guards: Guards) -> AgentError | None:
    """Why the turn makes no further model request."""
    if turn.steps >= turn.max_steps:
        return TurnLimit(f"the turn reached its limit of {turn.max_steps} model requests; ask to go on, or raise the limit")
    if guards.repeats and turn.repeated + 1 >= guards.repeats and turn.said:
        return RepeatedCalls(
            f"the model made the same tool calls with the same results {turn.repeated + 1} times in a row; tell it what to do "
            "differently (turn.max_repeats sets the limit)"
        )
    if guards.seconds and guards.now - turn.began_at - turn.waited > guards.seconds:
        return DeadlineExceeded(
            f"the turn took longer than its {guards.seconds:g} s; ask to go on, or raise the limit (turn.max_seconds)"
        )
    return None


def describe(error: AgentError) -> ErrorInfo:
    return ErrorInfo(code=error.code, message=str(error), retryable=error.retryable, retry_after=error.retry_after)


def whole_text(state: SessionState, message: ev.AssistantMessage) -> str:
    """The text of the reply that ends with `message`, with what there was of it before a seam."""
    begun = state.messages[-1].parts if continuing(state) else ()
    return "".join(part.text for part in (*begun, *message.parts) if isinstance(part, Text))


def last_words(state: SessionState, message: ev.AssistantMessage, rejected: str = "") -> list[Any]:
    """The turn's end, if `message` is about to be its last event but for that: one commit for both.

    `rejected`: what the model must be told because its answer does not follow the turn's schema; too often, and the turn has
    failed.
    """
    turn = state.open_turn
    if rejected and turn.rejections < MAX_REJECTIONS:
        return [ev.AnswerRejected(turn=turn.number, reason=rejected)]
    if rejected:
        error = InvalidAnswer(f"the model did not answer as the schema demands, {turn.rejections + 1} times. The last: {rejected}")
        failed = turn_finished(state, "failed", error)
        return [_with_last(failed, message)]
    if message.stop not in ("end", "length") or any(queued.delivery == "steer" for queued in state.queue):
        return []
    return [_with_last(turn_finished(state, "done"), message)]


def _with_last(end: ev.TurnFinished, message: ev.AssistantMessage) -> ev.TurnFinished:
    """The end as it is once `message`, which commits together with it, counts too."""
    return evolve(end, steps=message.step + 1, usage=end.usage + message.usage, cost=plus(end.cost, message.cost))


def turn_finished(state: SessionState, outcome: TurnOutcome, error: AgentError | None = None) -> ev.TurnFinished:
    turn = state.open_turn
    return ev.TurnFinished(
        turn=turn.number,
        outcome=outcome,
        steps=turn.steps,
        denials=turn.denials,
        usage=turn.usage,
        cost=turn.cost,
        error=describe(error) if error else None,
    )


def interrupted_message(state: SessionState, draft: Draft | None) -> list[Any]:
    """The draft as a message that says it broke off; nothing if there was none.

    It may have no parts: where only half a call was shown, the message says that it is withdrawn, and where the host had told what
    it will ask for the input, that it was paid.
    """
    turn = state.open_turn
    if draft is None or (draft.turn, draft.step) != (turn.number, turn.steps) or not (draft.shown or draft.usage.input):
        return []
    bill = draft.bill
    return [
        ev.AssistantMessage(
            turn=turn.number,
            step=draft.step,
            model=draft.model or turn.model,
            parts=draft.partial(),
            stop="interrupted",
            usage=bill.usage,
            cost=bill.cost,
            estimated=bill.estimated,
        )
    ]


def close_turn(state: SessionState, draft: Draft | None, end: Finish) -> list[Any]:
    """Everything the log needs so that the open turn is over and its history valid, wherever it was stopped."""
    never = "cancelled" if end.outcome == "cancelled" else "not_executed"
    cut = interrupted_message(state, draft)
    bodies = list(cut)
    for call in state.open_turn.open_calls:
        outcome, text = ("unknown", UNKNOWN) if call.started else (never, NOT_EXECUTED)
        bodies.append(finished(state.open_turn.number, call.id, outcome, text))  # type: ignore[arg-type]
    finish = turn_finished(state, end.outcome, end.error)
    return [*bodies, _with_last(finish, cut[0]) if cut else finish]


def suspend_turn(state: SessionState, draft: Draft | None) -> list[Any]:
    """The daemon stops in good order: the turn stays open for the next boot; what was cut short says so."""
    bodies = interrupted_message(state, draft)
    for call in state.open_turn.open_calls:
        if call.started and call.effect == "once":
            bodies.append(finished(state.open_turn.number, call.id, "unknown", UNKNOWN))
    return bodies


def doubtful_calls(state: SessionState, safe_now: frozenset[str]) -> list[Call]:
    """Calls that had started when the last boot ended and must not be repeated.

    A call is repeated by itself only if it was declared safe when it was planned and its tool still is (`safe_now`).
    """
    return [
        call
        for call in state.open_turn.open_calls
        if call.started and not (call.effect in ("read", "idempotent") and call.name in safe_now)
    ]


def resume_turn(state: SessionState, draft: Draft | None, safe_now: frozenset[str], *, clean: bool) -> list[Any]:
    """The events with which a new boot takes up the open turn. After a clean stop it does not count as a resume."""
    turn = state.open_turn
    bodies = interrupted_message(state, draft)
    bodies += [finished(turn.number, call.id, "unknown", UNKNOWN) for call in doubtful_calls(state, safe_now)]
    bodies.append(ev.TurnResumed(turn=turn.number, resumes=turn.resumes + (not clean)))
    return bodies
