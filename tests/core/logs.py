"""Small logs of one session, for tests of the projection and of decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import Factory, define, evolve
from hypothesis import strategies as st

from agentd.core.state import SessionState
from agentwire import events as ev
from agentwire.types import Delivery, ErrorInfo, StopReason, Text, ToolCall, ToolResult, Usage


def event(seq: int, body: Any) -> ev.Event:
    data = ev.encode_body(body)
    return ev.Event(
        pos=seq, stream="s", seq=seq, user="ann", at=float(seq), kind=ev.KIND_OF[type(body)], version=1, body=body, data=data
    )


def state_of(*bodies: Any) -> SessionState:
    """The state after these events."""
    state = SessionState("s", "ann")
    for seq, body in enumerate(bodies, 1):
        state.apply(event(seq, body))
    return state


def created() -> ev.SessionCreated:
    return ev.SessionCreated(title="", cwd="/work", model="fake/model", environment={})


def accepted(
    number: int, text: str = "hello", *, delivery: Delivery = "queue", interactive: bool = True, max_steps: int = 5
) -> ev.InputAccepted:
    parts = (Text(text=text),)
    return ev.InputAccepted(
        input=number, parts=parts, delivery=delivery, interactive=interactive, model="fake/model", max_steps=max_steps
    )


def started(turn: int = 1, number: int = 1) -> ev.TurnStarted:
    return ev.TurnStarted(turn=turn, input=number, model="fake/model")


def replied(text: str, *, step: int = 0, stop: Any = "end", calls: tuple[str, ...] = ()) -> ev.AssistantMessage:
    parts: list[Any] = [Text(text=text)] if text else []
    parts += [ToolCall(id=call, name="look", arguments_json="{}") for call in calls]
    return ev.AssistantMessage(turn=1, step=step, model="fake/model", parts=tuple(parts), stop=stop, usage=Usage(input=1, output=2))


def planned(call: str, *, effect: Any = "once") -> ev.ToolPlanned:
    return ev.ToolPlanned(turn=1, call=call, name="look", arguments_json="{}", arguments_hash="h", effect=effect)


def begun(call: str) -> ev.ToolStarted:
    return ev.ToolStarted(turn=1, call=call)


def asked(call: str) -> ev.ApprovalRequested:
    return ev.ApprovalRequested(turn=1, call=call, name="look", arguments_json="{}", arguments_hash="h", expires_at=100.0)


def answered(call: str, decision: Any) -> ev.ApprovalAnswered:
    return ev.ApprovalAnswered(turn=1, call=call, decision=decision, by="ann")


def ended(call: str, text: str = "seen", *, outcome: Any = "ok") -> ev.ToolFinished:
    return ev.ToolFinished(turn=1, call=call, outcome=outcome, parts=(Text(text=text),))


def finished(outcome: Any = "done") -> ev.TurnFinished:
    return ev.TurnFinished(turn=1, outcome=outcome, steps=1, denials=0, usage=Usage())


# --- any log --------------------------------------------------------------------------------------------------------------------


@define
class Script:
    """A log as it is written. `complete`: the seqs at which nothing of a step is half done, as the script itself knows it."""

    draw: Any
    bodies: list[Any] = Factory(list)
    complete: list[int] = Factory(list)
    inputs: int = 0
    step: int = 0
    turn: int = 0

    def put(self, body: Any, *, whole: bool) -> None:
        self.bodies.append(body)
        if whole:
            self.complete.append(len(self.bodies))

    def accept(self, delivery: Delivery = "queue") -> int:
        self.inputs += 1
        self.put(accepted(self.inputs, f"input {self.inputs}", delivery=delivery), whole=len(self.bodies) in self.complete)
        return self.inputs

    def reply(self, text: str, stop: StopReason = "end", calls: Sequence[str] = ()) -> None:
        body = replied(text, step=self.step, stop=stop, calls=tuple(calls))
        self.put(evolve(body, turn=self.turn), whole=not calls and stop != "interrupted")
        self.step += 1

    def tools(self) -> None:
        """A reply with calls, each with a fate of its own; some are over before the next one is planned."""
        fates = self.draw(st.lists(st.sampled_from(["refused", "ran", "allowed", "denied", "unknown"]), min_size=1, max_size=3))
        calls = {f"{self.turn}.{self.step}.{number}": fate for number, fate in enumerate(fates)}
        self.reply("Let me see. " * self.draw(st.booleans()), "tool_calls", list(calls))
        left = set(calls)
        for call, fate in calls.items():
            self.put(evolve(planned(call), turn=self.turn), whole=False)
            if fate == "refused":
                self.end(call, "denied", left)
            elif fate in ("allowed", "denied"):
                self.put(evolve(asked(call), turn=self.turn), whole=False)
        for call in self.draw(st.permutations(sorted(left))):
            if decision := {"allowed": "allow", "denied": "deny"}.get(calls[call]):
                self.put(evolve(answered(call, decision), turn=self.turn), whole=False)
            if calls[call] != "denied":
                self.put(evolve(begun(call), turn=self.turn), whole=False)
            self.end(call, {"denied": "denied", "unknown": "unknown"}.get(calls[call], "ok"), left)

    def end(self, call: str, outcome: str, left: set[str]) -> None:
        left.remove(call)
        self.put(evolve(ended(call, f"of {call}", outcome=outcome), turn=self.turn), whole=not left)

    def seam(self) -> None:
        """A reply that broke off; perhaps before its first word that could be kept."""
        self.reply("Half a " * self.draw(st.booleans()), "interrupted")
        reason = ErrorInfo(code="provider_down", message="cut")
        self.put(ev.ReplyRestarted(turn=self.turn, step=self.step - 1, attempt=1, reason=reason), whole=False)

    def steer(self) -> None:
        self.put(ev.InputSteered(turn=self.turn, input=self.accept("steer")), whole=False)

    def whole_turn(self) -> None:
        self.turn, self.step = self.turn + 1, 0
        self.put(ev.TurnStarted(turn=self.turn, input=self.accept(), model="fake/model"), whole=False)
        for act in self.draw(st.lists(st.sampled_from([self.tools, self.seam, self.steer]), max_size=3)):
            act()
        how = self.draw(st.sampled_from(["done", "cancelled", "interrupted"]))
        if how == "done":
            self.reply("The end.")
        elif how == "interrupted":
            self.reply("The e", "interrupted")
        self.put(evolve(finished("done" if how == "done" else "cancelled"), turn=self.turn), whole=True)


@st.composite
def scripts(draw: Any) -> Script:
    """A session's log: imported messages, turns with tools, seams, steers, denials; it may stop anywhere, as after a crash."""
    script = Script(draw)
    script.put(created(), whole=True)
    if draw(st.booleans()):
        call = ToolCall(id="earlier", name="look", arguments_json="{}")
        script.put(ev.MessageAdded(role="user", parts=(Text(text="From "),), more="text"), whole=False)
        script.put(ev.MessageAdded(role="user", parts=(Text(text="elsewhere"),)), whole=True)
        script.put(ev.MessageAdded(role="assistant", parts=(Text(text="I looked."), call)), whole=False)
        result = ToolResult(call="earlier", parts=(Text(text="seen"),))
        script.put(ev.MessageAdded(role="tool", parts=(result,)), whole=True)
    for _ in range(draw(st.integers(1, 3))):
        script.whole_turn()
    length = draw(st.integers(1, len(script.bodies)))
    return Script(draw, script.bodies[:length], [seq for seq in script.complete if seq <= length])
