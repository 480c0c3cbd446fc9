"""The transcript of one session: events in, lines to print out. Pure: no terminal, no socket, no clock.

Theory of operation: `apply` takes every event once (older ones by `seq` are dropped) and returns the lines it adds. Three sources
meet here: the log (`event/list`), the live tail with its deltas, and a view (`session/watch`) after a connect. A break in between
is announced by `lost()`; whatever then turns out to be missing or withdrawn is marked by one seam where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from agentctl.chat import render
from agentctl.chat.draft import Draft, Gap
from agentctl.chat.questions import Approval, question
from agentctl.chat.render import Line
from agentctl.chat.spacing import spaced

Data = Mapping[str, Any]


@dataclass(frozen=True)
class Waiting:
    """An input in the queue."""

    text: str
    delivery: str


@dataclass
class Call:
    """A tool call that has no outcome yet; `said`: what it has said lately."""

    name: str
    arguments_json: str
    started: bool = False
    said: str = ""


class Done(NamedTuple):
    """A tool call that is over, with what it said."""

    name: str
    arguments_json: str
    parts: Sequence[Data]


class Past(NamedTuple):
    """What was said to the model, and the event after which it had not been said yet."""

    seq: int
    text: str


@dataclass
class Addition:
    """A message from elsewhere, of one event or several; `seq`: of the event before the first."""

    seq: int
    parts: list[Data] = field(default_factory=list)
    more: str = ""

    def take(self, data: Data) -> None:
        """The next event of it."""
        first, *others = data["parts"]
        if self.more == "text":
            self.parts[-1] = {**first, "text": self.parts[-1]["text"] + first["text"]}
        else:
            self.parts.append(first)
        self.parts += others
        self.more = data.get("more", "")


class Transcript:
    """What this client knows and has printed of one session. `missed`: a delta is missing, a fresh view must be loaded."""

    def __init__(self, session: str = "", model: str = "", after: Transcript | None = None) -> None:
        self.session, self.model = session, model
        self.title = self.parent = ""
        self.seq = 0
        self.inputs: list[Past] = []
        self.turn: int | None = None
        self.queue: dict[int, Waiting] = {}
        self.approvals: dict[str, Approval] = {}
        self.calls: dict[str, Call] = {}
        self.usage: Data = {}
        self.mode = ""
        """The permission mode; empty: as configured."""
        self.attached: list[Data] = []  # images and files that the model was sent
        self.todos: Sequence[Data] = ()
        self.jobs: dict[int, str] = {}
        self.last: Done | None = None
        self.detailed: bool = after.detailed if after else False
        self.draft: Draft | None = None
        self.answered = ""
        """The model of the newest reply: of an alias, or where another had to help out."""
        self.missed = False
        self._lost = False
        self._doubtful = False  # the last view knew nothing of our draft
        self._added = False  # messages that were said elsewhere have been announced
        self._addition: Addition | None = None  # one of them that has begun
        self._block: str = after._block if after else ""

    def apply(self, event: Data) -> list[Line]:
        """One event, persisted or transient. A kind we do not know is a newer daemon's and is passed over."""
        seq = event.get("seq")
        if seq is not None:
            if seq <= self.seq:
                return []
            self.seq = seq
        handler = _HANDLERS.get(event["kind"])
        return self._spaced(handler(self, event["data"])) if handler else []

    def load(self, watching: Data) -> list[Line]:
        """The view of a fresh watch, after every event up to its seq was applied: state, and the draft so far."""
        view = watching["view"]
        self.seq = max(self.seq, watching["seq"])
        self.session, self.title, self.model = view["info"]["id"], view["info"]["title"], view["info"]["model"]
        self.turn = view["turn"]
        self.queue = {item["input"]: Waiting(render.text_of(item["parts"]), item["delivery"]) for item in view["queue"]}
        self.todos = view.get("todos", ())
        self.jobs = {job["number"]: job["command"] for job in view.get("jobs", ())}
        self.missed = False
        return self._spaced(self._load_draft(view["draft"]) + self._load_approvals(view["approvals"]))

    def lost(self) -> None:
        """The connection broke: from here on text may be missing."""
        self._lost = True

    def note(self, *news: Line) -> list[Line]:
        """Lines that are not the session's (answers to commands, notices), spaced like the others."""
        return self._spaced(list(news))

    def tail(self) -> list[Line]:
        """What is not finished and therefore not printed: the last line of the reply, the calls under way."""
        unfinished = self.draft.tail() if self.draft else []
        calls = [
            row for call in self.calls.values() if call.started for row in render.running(call.name, call.arguments_json, call.said)
        ]
        return spaced(unfinished + calls, self._block)[0]  # where it will stand once it is printed

    # --- events -------------------------------------------------------------------------------------------------------------------

    def _created(self, data: Data) -> list[Line]:
        self.title, self.model, self.parent = data["title"], data["model"], data.get("parent", "")
        return []

    def _renamed(self, data: Data) -> list[Line]:
        self.title = data["title"]
        return []

    def _configured(self, data: Data) -> list[Line]:
        self.model = data["preferences"]["model"] or self.model
        mode = data["preferences"].get("mode")
        self.mode = self.mode if mode is None else mode
        return [render.configured(data["preferences"], data["variables"])]

    def _message_added(self, data: Data) -> list[Line]:
        """It looks as if it had been said here."""
        message = self._addition or Addition(self.seq - 1)
        message.take(data)
        self._addition = message if message.more else None
        if self._addition:
            return []
        news, self._added = ([] if self._added else [render.earlier(self.parent)]), True
        match data["role"]:
            case "user":
                self._keep(message.parts)
                return news + self._said(render.text_of(message.parts), message.seq)
            case "assistant":
                reply = Draft(0, 0)
                reply.settle(message.parts)
                calls = [part for part in message.parts if part["kind"] == "tool_call"]
                self.calls |= {part["id"]: Call(part["name"], part["arguments_json"]) for part in calls}
                return news + reply.print_out(flush=True)
            case _:
                return news + [line for part in message.parts for line in self._result(part)]

    def _result(self, part: Data) -> list[Line]:
        return self._tool_finished({**part, "outcome": "error" if part["is_error"] else "ok"})

    def _accepted(self, data: Data) -> list[Line]:
        self.queue[data["input"]] = Waiting(render.text_of(data["parts"]), data["delivery"])
        self._keep(data["parts"])
        return []

    def _keep(self, parts: Sequence[Data]) -> None:
        self.attached += [part for part in parts if part["kind"] in ("image", "file")]

    def _turn_started(self, data: Data) -> list[Line]:
        self.turn = data["turn"]
        return self._flush() + self._taken(data["input"])

    def _steered(self, data: Data) -> list[Line]:
        return self._taken(data["input"])

    def _resumed(self, data: Data) -> list[Line]:
        self.turn = data["turn"]
        news = self._withdraw() if self._doubtful else self._flush()
        self._lost = False
        # The break itself may be marked already, where text was withdrawn.
        marked = (news[-1].style if news else self._block) == "seam"
        return news if marked else [*news, render.seam("the daemon was restarted; continuing")]

    def _delta(self, data: Data) -> list[Line]:
        news = self._withdraw() if self._doubtful else self._other_draft(data)
        draft = self._draft_of(data)
        for part in data["parts"]:
            try:
                news += draft.extend(part)
            except Gap:
                self.missed = True
        return news

    def _draft_reset(self, data: Data) -> list[Line]:
        return self._reconcile(data, lambda draft: draft.adopt(data["parts"]))

    def _assistant_message(self, data: Data) -> list[Line]:
        news = self._reconcile(data, lambda draft: draft.settle(data["parts"])) + self._flush()
        news += render.sources(data["parts"])
        self.answered = data["model"]
        match data["stop"]:
            case "length":
                news.append(render.seam("the reply reached its length limit"))
            case "refused":
                news.append(render.seam("the model refused"))
        return news

    def _reply_restarted(self, data: Data) -> list[Line]:
        unfinished = self.draft.print_out(flush=True) if self.draft else []
        return [*unfinished, render.seam(f"the reply broke off ({data['reason']['message']}); continuing")]

    def _model_waits(self, data: Data) -> list[Line]:
        return [render.held_up(data)]

    def _answer_rejected(self, data: Data) -> list[Line]:
        return [render.seam("the answer does not follow the schema; asked again")]

    def _planned(self, data: Data) -> list[Line]:
        self.calls[data["call"]] = Call(data["name"], data["arguments_json"])
        return []

    def _asked(self, data: Data) -> list[Line]:
        approval = self.approvals[data["call"]] = Approval.of(data)
        return question(approval)

    def _answered(self, data: Data) -> list[Line]:
        approval = self.approvals.pop(data["call"], None)
        call = self.calls.get(data["call"])
        name = approval.name if approval else call.name if call else data["call"]
        return [render.answer(data["decision"], name, data["by"], data.get("note", ""))]

    def _tool_started(self, data: Data) -> list[Line]:
        if data["call"] in self.calls:
            self.calls[data["call"]].started = True
        return []

    def _tool_progress(self, data: Data) -> list[Line]:
        if data["call"] in self.calls:
            self.calls[data["call"]].said = data["tail"]
        return []

    def _tool_finished(self, data: Data) -> list[Line]:
        self.approvals.pop(data["call"], None)
        call = self.calls.pop(data["call"], None) or Call(data["call"], "{}")
        self.last = Done(call.name, call.arguments_json, data["parts"])
        shown = render.details(*self.last) if self.detailed else render.difference(call.name, data["parts"])
        return [render.called(call.name, call.arguments_json, data), *shown]

    def _todos_changed(self, data: Data) -> list[Line]:
        self.todos = data["todos"]
        return []

    def _job_started(self, data: Data) -> list[Line]:
        self.jobs[data["number"]] = data["command"]
        return [render.job(data["number"], f"started: {data['command']}")]

    def _job_finished(self, data: Data) -> list[Line]:
        command = self.jobs.pop(data["number"], "")
        code = "" if data["code"] is None else f" (exit code {data['code']})"
        return [render.job(data["number"], f"{data['state']}{code}: {command}")]

    def _turn_finished(self, data: Data) -> list[Line]:
        withdrawn = self._withdraw() if self._doubtful else []
        self.turn = None
        self.calls.clear()
        self.approvals.clear()
        self.usage = data["usage"]
        return withdrawn + self._flush() + render.ended(data["outcome"], data.get("error"))

    # --- the parts of it ----------------------------------------------------------------------------------------------------------

    def _taken(self, number: int) -> list[Line]:
        taken = self.queue.pop(number, None)
        return self._said(taken.text, self.seq - 1) if taken else []

    def _said(self, text: str, before: int) -> list[Line]:
        self.inputs.append(Past(before, text))
        return render.user(text)

    def _flush(self) -> list[Line]:
        """Ends the draft: what is left of it is printed."""
        draft, self.draft = self.draft, None
        return draft.print_out(flush=True) if draft else []

    def _draft_of(self, data: Data) -> Draft:
        if self.draft is None:
            self.draft = Draft(data["turn"], data["step"])
        return self.draft

    def _other_draft(self, data: Data) -> list[Line]:
        """Ends a draft that the event does not speak of."""
        ours = self.draft
        return self._flush() if ours and (ours.turn, ours.step) != (data["turn"], data["step"]) else []

    def _reconcile(self, data: Data, change: Callable[[Draft], int]) -> list[Line]:
        """Lets the daemon's version of a reply replace ours; a seam says where text was missed or is withdrawn."""
        news = self._other_draft(data)
        draft = self._draft_of(data)
        self._doubtful = False
        if self._lost:
            news += draft.print_out(flush=True)
        withdrawn = change(draft)
        if withdrawn or (self._lost and draft.outstanding):
            news.append(self._seam(withdrawn))
        return news + draft.print_out(flush=False)

    def _load_draft(self, current: Data | None) -> list[Line]:
        if current is not None:
            news = self._reconcile(current, lambda draft: draft.adopt(current["parts"]))
        elif self.draft is not None and self.draft.turn == self.turn:
            # A daemon that has just started may not have looked into the draft it saved: its next event tells.
            self._doubtful = True
            return []
        else:
            news = self._withdraw()
        if self._lost and self.turn is not None:
            news.append(self._seam())  # nothing was missed; what is printed of the draft stays known, or it would come again
        self._lost = False
        return news

    def _withdraw(self) -> list[Line]:
        """Our draft is nobody's: it was not saved, and no message ended it."""
        self._doubtful = False
        ours, self.draft = self.draft, None
        if ours is None:
            return []
        unfinished = ours.print_out(flush=True) if self._lost else []
        withdrawn = ours.adopt([])
        return [*unfinished, self._seam(withdrawn)] if withdrawn else []

    def _seam(self, withdrawn: int = 0) -> Line:
        cause = "connection lost" if self._lost else "the reply was taken back"
        self._lost = False
        if withdrawn:
            return render.seam(f"{cause}; the last {withdrawn} character{'s' * (withdrawn > 1)} are withdrawn")
        return render.seam(f"{cause}; continuing")

    def _load_approvals(self, pending: Sequence[Data]) -> list[Line]:
        known, news = self.approvals, []
        self.approvals = {item["call"]: Approval.of(item) for item in pending}
        for call, approval in self.approvals.items():
            if call not in known:
                news += question(approval)
        return news

    def _spaced(self, news: Sequence[Line]) -> list[Line]:
        rows, self._block = spaced(news, self._block)
        return rows


_HANDLERS: dict[str, Callable[[Transcript, Data], list[Line]]] = {
    "session_created": Transcript._created,
    "session_renamed": Transcript._renamed,
    "session_configured": Transcript._configured,
    "message_added": Transcript._message_added,
    "input_accepted": Transcript._accepted,
    "turn_started": Transcript._turn_started,
    "turn_resumed": Transcript._resumed,
    "input_steered": Transcript._steered,
    "assistant_message": Transcript._assistant_message,
    "reply_restarted": Transcript._reply_restarted,
    "answer_rejected": Transcript._answer_rejected,
    "model_waits": Transcript._model_waits,
    "tool_planned": Transcript._planned,
    "approval_requested": Transcript._asked,
    "approval_answered": Transcript._answered,
    "tool_started": Transcript._tool_started,
    "tool_progress": Transcript._tool_progress,
    "tool_finished": Transcript._tool_finished,
    "todos_changed": Transcript._todos_changed,
    "job_started": Transcript._job_started,
    "job_finished": Transcript._job_finished,
    "turn_finished": Transcript._turn_finished,
    "delta": Transcript._delta,
    "draft_reset": Transcript._draft_reset,
}
