"""SessionState: what the log says about one session. Changed by `apply` of a committed event and by nothing else.

Theory of operation: replaying a session's events through `apply` gives this state, at any time, in any process; the agent loop
decides on it alone (`agent_loop.next_action`), so a turn interrupted anywhere goes on from the log. `messages` is the
conversation as a model must see it: every assistant message with calls is followed by exactly one tool message with all results,
because results enter `messages` only when the last of them is there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import asdict, define, evolve, field

from agentd.core.costs import plus
from agentd.core.turn import Call as Call
from agentd.core.turn import Turn as Turn
from agentd.ports import Message
from agentwire import events as ev
from agentwire.types import (
    Cut,
    InputPart,
    JobInfo,
    ModeChoice,
    Part,
    PendingApproval,
    Preferences,
    QueuedInput,
    Rule,
    SessionInfo,
    SessionSettings,
    SessionStatus,
    Text,
    Todo,
    Usage,
)

STATE_VERSION = "6"
"""Part of every snapshot's code version: raise it when a field below changes its meaning."""

TITLE_LENGTH = 60
OLD_JOBS = 50
"""Jobs that are remembered after their end, the newest of them."""


@define
class SessionState:
    """See the head of the file. `seq` is that of the newest event applied.

    `usage` and `cost` are those of all replies; `cost` of those whose price is known, None of none. `unpriced`: how many others.
    """

    id: str
    user: str
    title: str = ""
    cwd: str = "/"
    model: str = ""
    environment: dict[str, str] = field(factory=dict)
    parent: str = ""
    max_steps: int = 0
    instructions: str = ""
    pinned: bool = False
    mode: ModeChoice = ""
    variables: dict[str, str] = field(factory=dict)
    rules: list[Rule] = field(factory=list)
    todos: tuple[Todo, ...] = ()
    jobs: list[JobInfo] = field(factory=list)
    created_at: float = 0.0
    updated_at: float = 0.0
    seq: int = 0
    inputs: int = 0
    turns: int = 0
    queue: list[QueuedInput] = field(factory=list)
    messages: list[Message] = field(factory=list)
    turn: Turn | None = None
    cut: Cut = ""  # the newest message goes on in the next event
    usage: Usage = Usage()
    cost: float | None = None
    unpriced: int = 0

    def apply(self, event: ev.Event) -> None:
        """Take in the next event. Events of one stream come in seq order without gaps."""
        assert event.seq == self.seq + 1, f"{self.id}: event {event.seq} after {self.seq}"
        _APPLY[type(event.body)](self, event.body, event)
        self.seq = event.seq
        self.updated_at = event.at

    @property
    def status(self) -> SessionStatus:
        if self.turn is None:
            return "idle"
        return "awaiting_approval" if any(call.awaits_answer for call in self.turn.calls.values()) else "running"

    @property
    def info(self) -> SessionInfo:
        return SessionInfo(
            id=self.id,
            title=self.title,
            cwd=self.cwd,
            model=self.model,
            status=self.status,
            created_at=self.created_at,
            updated_at=self.updated_at,
            turns=self.turns,
            queued=len(self.queue),
            pinned=self.pinned,
            parent=self.parent,
        )

    @property
    def settings(self) -> SessionSettings:
        chosen = Preferences(
            model=self.model, max_steps=self.max_steps, instructions=self.instructions, pinned=self.pinned, mode=self.mode
        )
        return SessionSettings(preferences=chosen, variables=dict(self.variables))

    @property
    def complete(self) -> bool:
        """No step is half done: the messages end where a conversation may be taken up."""
        last = self.messages[-1] if self.messages else None
        if self.cut or (last is not None and last.role == "assistant" and last.calls):
            return False
        turn = self.turn
        return turn is None or (turn.steps > 0 and turn.stop != "interrupted" and not turn.steered)

    @property
    def interrupted(self) -> bool:
        """A turn is open, and an input waits that must not wait for its end."""
        return self.turn is not None and bool(self.queue) and self.queue[0].delivery == "interrupt"

    @property
    def open_turn(self) -> Turn:
        assert self.turn is not None, f"{self.id}: no open turn"
        return self.turn

    def take(self, number: int) -> QueuedInput:
        """Remove input `number` from the queue."""
        index = next(i for i, queued in enumerate(self.queue) if queued.input == number)
        return self.queue.pop(index)


def title_of(parts: tuple[InputPart, ...]) -> str:
    """A session without a title is called by the first line of its first input."""
    texts = (part.text for part in parts if isinstance(part, Text))
    line = next((line.strip() for text in texts for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= TITLE_LENGTH else line[: TITLE_LENGTH - 1] + "…"


def _created(state: SessionState, body: ev.SessionCreated, event: ev.Event) -> None:
    state.title, state.cwd, state.model = body.title, body.cwd, body.model
    state.environment = dict(body.environment)
    state.parent = body.parent
    state.created_at = event.at


def _renamed(state: SessionState, body: ev.SessionRenamed, _: ev.Event) -> None:
    state.title = body.title


def _configured(state: SessionState, body: ev.SessionConfigured, _: ev.Event) -> None:
    for name, value in asdict(body.preferences).items():
        if value is not None:
            setattr(state, name, value)
    for name, given in body.variables.items():
        if given is None:
            state.variables.pop(name, None)
        else:
            state.variables[name] = given


def _message_added(state: SessionState, body: ev.MessageAdded, _: ev.Event) -> None:
    parts = body.parts
    if state.cut:
        begun = state.messages.pop().parts
        parts = _joined(begun, parts) if state.cut == "text" else (*begun, *parts)
    state.messages.append(Message(body.role, parts))
    state.cut = body.more


def _accepted(state: SessionState, body: ev.InputAccepted, _: ev.Event) -> None:
    state.inputs = max(state.inputs, body.input)
    state.title = state.title or title_of(body.parts)
    queued = QueuedInput(
        input=body.input,
        parts=body.parts,
        delivery=body.delivery,
        interactive=body.interactive,
        model=body.model,
        max_steps=body.max_steps,
        schema=body.schema,
        max_cost=body.max_cost,
    )
    place = len(state.queue)
    if body.delivery == "interrupt":  # before everything but earlier interrupts
        place = next((index for index, other in enumerate(state.queue) if other.delivery != "interrupt"), place)
    state.queue.insert(place, queued)


def _turn_started(state: SessionState, body: ev.TurnStarted, event: ev.Event) -> None:
    queued = state.take(body.input)
    state.turns = body.turn
    state.turn = Turn(
        body.turn,
        body.input,
        body.model,
        queued.interactive,
        queued.max_steps,
        schema=queued.schema,
        max_cost=queued.max_cost,
        began_at=event.at,
    )
    state.messages.append(Message("user", queued.parts))


def _turn_resumed(state: SessionState, body: ev.TurnResumed, event: ev.Event) -> None:
    turn = state.open_turn
    turn.resumes = body.resumes
    if not turn.asked_at:  # while no daemon ran
        turn.waited += event.at - state.updated_at


def _steered(state: SessionState, body: ev.InputSteered, _: ev.Event) -> None:
    state.messages.append(Message("user", state.take(body.input).parts))
    turn = state.open_turn
    turn.steered, turn.repeated, turn.said = True, 0, ""


def _replied(state: SessionState, body: ev.AssistantMessage, _: ev.Event) -> None:
    turn = state.open_turn
    if body.parts:
        # What goes on from an interrupted reply is the same message for every model that reads it later.
        if turn.stop == "interrupted" and state.messages[-1].role == "assistant" and not turn.steered:
            state.messages[-1] = Message("assistant", _joined(state.messages[-1].parts, body.parts))
        else:
            state.messages.append(Message("assistant", body.parts))
    turn.steps = body.step + 1
    turn.stop = body.stop
    turn.steered = False
    turn.calls = {}
    turn.usage, turn.cost = turn.usage + body.usage, plus(turn.cost, body.cost)
    state.usage, state.cost = state.usage + body.usage, plus(state.cost, body.cost)
    state.unpriced += body.cost is None
    if body.stop != "interrupted":
        turn.restarts = 0


def _joined(first: tuple[Part, ...], second: tuple[Part, ...]) -> tuple[Part, ...]:
    if first and second and isinstance(first[-1], Text) and isinstance(second[0], Text):
        return (*first[:-1], Text(text=first[-1].text + second[0].text), *second[1:])
    return (*first, *second)


def _rejected(state: SessionState, body: ev.AnswerRejected, _: ev.Event) -> None:
    turn = state.open_turn
    turn.rejections += 1
    turn.stop = None
    state.messages.append(Message("user", (Text(text=body.reason),)))


def _restarted(state: SessionState, body: ev.ReplyRestarted, _: ev.Event) -> None:
    state.open_turn.restarts = body.attempt


def _planned(state: SessionState, body: ev.ToolPlanned, _: ev.Event) -> None:
    call = Call(body.call, body.name, body.arguments_json, body.arguments_hash, body.effect, body.accesses)
    state.open_turn.calls[body.call] = call


def _approval_requested(state: SessionState, body: ev.ApprovalRequested, event: ev.Event) -> None:
    state.open_turn.calls[body.call].approval = PendingApproval(
        call=body.call,
        name=body.name,
        arguments_json=body.arguments_json,
        arguments_hash=body.arguments_hash,
        expires_at=body.expires_at,
        accesses=body.accesses,
        why=body.why,
        proposes=body.proposes,
    )
    state.open_turn.wait(event.at)


def _approval_answered(state: SessionState, body: ev.ApprovalAnswered, event: ev.Event) -> None:
    call = state.turn.calls.get(body.call) if state.turn else None
    if call is not None and call.awaits_answer:  # an answer that came too late changes nothing
        call.decision, call.decided_by, call.note = body.decision, body.by, body.note
        state.open_turn.wait(event.at)


def _tool_started(state: SessionState, body: ev.ToolStarted, _: ev.Event) -> None:
    state.open_turn.calls[body.call].started = True


def _tool_finished(state: SessionState, body: ev.ToolFinished, event: ev.Event) -> None:
    turn = state.open_turn
    call = turn.calls[body.call]
    call.outcome, call.parts = body.outcome, body.parts
    turn.denials += body.outcome == "denied"
    asked = state.messages[-1].calls  # a call may be refused before the next one of its reply is even planned
    if len(turn.calls) == len(asked) and not turn.open_calls:
        state.messages.append(Message("tool", turn.end_step()))
    if turn.asked_at:
        turn.wait(event.at)


def _turn_finished(state: SessionState, _body: ev.TurnFinished, _: ev.Event) -> None:
    state.turn = None
    # A steer that came too late waits its turn like any other input.
    state.queue = [evolve(queued, delivery="queue") if queued.delivery == "steer" else queued for queued in state.queue]


def _rule_added(state: SessionState, body: ev.RuleAdded, _: ev.Event) -> None:
    rule = Rule(rule=body.rule, verdict=body.verdict, scope="session", source="this session")
    if rule not in state.rules:
        state.rules.append(rule)


def _rule_removed(state: SessionState, body: ev.RuleRemoved, _: ev.Event) -> None:
    state.rules = [rule for rule in state.rules if (rule.rule, rule.verdict) != (body.rule, body.verdict)]


def _todos_changed(state: SessionState, body: ev.TodosChanged, _: ev.Event) -> None:
    state.todos = body.todos


def _job_started(state: SessionState, body: ev.JobStarted, event: ev.Event) -> None:
    job = JobInfo(number=body.number, command=body.command, cwd=body.cwd, state="running", started_at=event.at, call=body.call)
    state.jobs.append(job)


def _job_finished(state: SessionState, body: ev.JobFinished, event: ev.Event) -> None:
    jobs = [
        evolve(job, state=body.state, code=body.code, finished_at=event.at) if job.number == body.number else job
        for job in state.jobs
    ]
    over = [job.number for job in jobs if job.state != "running"]
    state.jobs = [job for job in jobs if job.state == "running" or job.number in over[-OLD_JOBS:]]


_APPLY: dict[type[Any], Callable[[SessionState, Any, ev.Event], None]] = {
    ev.SessionCreated: _created,
    ev.SessionRenamed: _renamed,
    ev.SessionConfigured: _configured,
    ev.MessageAdded: _message_added,
    ev.InputAccepted: _accepted,
    ev.TurnStarted: _turn_started,
    ev.TurnResumed: _turn_resumed,
    ev.InputSteered: _steered,
    ev.AssistantMessage: _replied,
    ev.AnswerRejected: _rejected,
    ev.ReplyRestarted: _restarted,
    ev.ToolPlanned: _planned,
    ev.ApprovalRequested: _approval_requested,
    ev.ApprovalAnswered: _approval_answered,
    ev.ToolStarted: _tool_started,
    ev.ToolFinished: _tool_finished,
    ev.TurnFinished: _turn_finished,
    ev.RuleAdded: _rule_added,
    ev.RuleRemoved: _rule_removed,
    ev.TodosChanged: _todos_changed,
    ev.JobStarted: _job_started,
    ev.JobFinished: _job_finished,
}
