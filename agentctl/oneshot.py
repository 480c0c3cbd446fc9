"""One prompt, one turn, one answer: what `agentctl run` does after its arguments and its prompt are read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from agentctl import arguments, blobs, choosing
from agentctl.blobs import Attachment
from agentctl.client import other_variables, tool_environment
from agentctl.link import Link
from agentctl.output import Output, explained
from agentctl.turns import RECONNECTED, REPLACED, TurnResult, TurnText, failure
from agentwire.errors import AgentError, CursorExpired, Denied, NotFound
from agentwire.paths import Paths

CANCEL_SECONDS = 15.0


class Interrupted(AgentError):
    """Ctrl-C: the one end of a run that its user asked for."""

    code = "interrupted"
    exit_code = 130  # 128 + SIGINT, as shells report it


class Report:
    """What a run shows while it goes on and when it is over: as text."""

    def __init__(self, out: Output) -> None:
        self.out = out
        self._text = TurnText()
        self._cut = False
        self._model = ""  # who is known to answer

    def begin(self, session: str, model: str) -> None:
        """The session is there."""
        self._model = model
        if self.out.verbose:
            self.out.note(f"session {session}, model {model}")

    def event(self, event: Mapping[str, Any], *, ours: bool) -> None:
        """One event of the session; `ours`: of the turn that was asked for."""
        kind, data = event["kind"], event["data"]
        if kind == RECONNECTED:
            self.out.note("the connection to the daemon was lost and found; going on")
        if self._cut or (not ours and kind != RECONNECTED):
            return
        self.out.stream(self.out.safe(self._text.feed(kind, data)))
        if kind == "tool_planned":
            self.out.detail(f"· {data['name']} {self.out.brief(data['arguments_json'])}")
        elif kind == "tool_finished" and data["outcome"] not in ("ok", "denied"):
            said = " ".join(str(part.get("text", part.get("head", ""))) for part in data["parts"])
            self.out.detail(f"· {data['outcome']}: {self.out.brief(said)}")
        elif kind == "answer_rejected":
            self.out.note(f"the answer does not follow the schema; asked again ({self.out.brief(data['reason'])})")
        elif kind == "model_waits":
            self.out.detail(f"· waiting {data['seconds']:g} s for {data['model']}: {self.out.brief(data['reason'])}")
        elif kind == "assistant_message" and data["model"] != self._model:
            self._model = data["model"]
            self.out.detail(f"· answered by {self._model}")
        elif kind == "reply_restarted":
            self.out.note(f"the reply broke off ({data['reason']['message']}); going on")

    def cut(self) -> None:
        """Ctrl-C: what is still to come is not shown."""
        self.out.stream(self._text.end())
        self._cut = True

    def end(self, document: Mapping[str, Any]) -> None:
        """The turn is over, or never began."""
        self.out.stream(self._text.end())
        if self._text.seams:
            self.out.note("the daemon was interrupted: the answer differs from a part of what was shown before")


class AnswerReport(Report):
    """The answer alone, once it is whole: one that follows a schema may be the model's second."""

    def event(self, event: Mapping[str, Any], *, ours: bool) -> None:
        """What goes on, but not the text."""
        if event["kind"] not in _TEXT:
            super().event(event, ours=ours)

    def end(self, document: Mapping[str, Any]) -> None:
        """The answer, if it is one."""
        if not document["is_error"]:
            self.out.say(self.out.safe(document["result"]))


_TEXT = ("delta", "draft_reset", "assistant_message")


class JsonReport(Report):
    """One JSON document at the end."""

    def event(self, event: Mapping[str, Any], *, ours: bool) -> None:
        """Nothing yet."""

    def end(self, document: Mapping[str, Any]) -> None:
        """The document."""
        self.out.document(document)


class StreamReport(Report):
    """Every event as it comes, one JSON object a line, and the document as the last."""

    def begin(self, session: str, model: str) -> None:
        """The first line."""
        self.out.line({"type": "session", "session_id": session, "model": model})

    def event(self, event: Mapping[str, Any], *, ours: bool) -> None:
        """One line."""
        self.out.line({"type": "event", **event})

    def end(self, document: Mapping[str, Any]) -> None:
        """The last line."""
        self.out.line(dict(document))


REPORTS = {"text": Report, "answer": AnswerReport, "json": JsonReport, "stream-json": StreamReport}


class Wanted(NamedTuple):
    """What is asked: the prompt and all that goes with it. `fallback`: models with commas between. `rules`: verdicts and permission
    rules that the session gets."""

    prompt: str
    attached: Sequence[Attachment] = ()
    model: str = ""
    fallback: str = ""
    max_steps: int = 0
    schema: Mapping[str, Any] | None = None
    max_cost: float = 0.0
    mode: str = ""
    rules: Sequence[tuple[str, str]] = ()

    def models(self, default: str) -> str:
        """For the daemon; empty: whatever it asks by itself. `default`: what that would be."""
        return arguments.models(self.model or default, self.fallback) if self.fallback else self.model


class Run:
    """One `agentctl run`. *Errors*: none of its own; every expected failure becomes one line on stderr and an exit code."""

    def __init__(self, paths: Paths, out: Output, report: Report) -> None:
        self._paths = paths
        self._out = out
        self._report = report
        self._session = self._model = ""
        self._result: TurnResult | None = None

    def perform(self, wanted: Wanted, *, continue_last: bool, session: str) -> int:
        """Runs the turn to its end; returns the exit code."""
        code, error = 0, None
        try:
            link = Link(self._paths, environ=os.environ)
            try:
                greet(link.client.initialized, self._out)
                model = self._choose(link, wanted, continue_last=continue_last, session=session)
                self._tell(link, wanted)
                self._permit(link, wanted)
                self._prompt(link, wanted, model)
                code, error = self._follow(link)
            finally:
                link.close()
        except AgentError as failed:
            code, error = failed.exit_code, failed
        self._report.end(self._document(error))
        if isinstance(error, Interrupted):
            self._out.note(error.message)
        elif error is not None:
            self._out.fail(explained(error))
        return code

    def _choose(self, link: Link, wanted: Wanted, *, continue_last: bool, session: str) -> str:
        """Finds or makes the session; returns the model that the prompt must name."""
        made = not (session or continue_last)
        if made:
            model = wanted.models(link.client.initialized["model"])
            info = link.call("session/create", {**new_session(), "model": model, "key": new_key()})
        elif session:
            info = link.call("session/get", {"session": session})
        else:
            info = newest_here(link.call("session/list", {"cwd": os.getcwd(), "limit": 1}))
        model = "" if made else wanted.models(info["model"])
        self._session, self._model = info["id"], model or info["model"]
        self._report.begin(info["id"], model or info["model"])
        link.watch(info["id"])
        return model

    def _tell(self, link: Link, wanted: Wanted) -> None:
        """What the model's name was taken for, and what of the attachments it cannot be shown."""
        written = wanted.models(self._model) or self._model
        if choosing.needs_a_look(written) or wanted.attached:
            shown = [{**attachment.part, "name": attachment.name} for attachment in wanted.attached]
            for remark in choosing.remarks(written, link.call("model/resolve", {"model": written}), shown):
                self._out.note(remark)

    def _permit(self, link: Link, wanted: Wanted) -> None:
        if wanted.mode:
            link.call("session/set", {"session": self._session, "preferences": {"mode": wanted.mode}})
        for verdict, rule in wanted.rules:
            link.call("permission/add", {"session": self._session, "rule": rule, "verdict": verdict})

    def _prompt(self, link: Link, wanted: Wanted, model: str) -> None:
        for attachment in wanted.attached:
            blobs.put(link.call, self._session, attachment.blob, attachment.content)
        parts = [{"kind": "text", "text": wanted.prompt}, *(attachment.part for attachment in wanted.attached)]
        params = {"session": self._session, "parts": parts, "interactive": False, "model": model, "max_steps": wanted.max_steps}
        if wanted.schema is not None:
            params["schema"] = wanted.schema
        if wanted.max_cost:
            params["max_cost"] = wanted.max_cost
        prompted = link.call("session/prompt", {**params, "key": new_key()})
        self._result = TurnResult(prompted["input"], prompted["turn"])
        if prompted["turn"] is None:
            self._out.detail("the session is busy: the prompt waits for its turn")

    def _follow(self, link: Link) -> tuple[int, AgentError | None]:
        assert self._result is not None
        try:
            self._take(link, self._result, timeout=None)
        except KeyboardInterrupt:
            return Interrupted.exit_code, self._cancel(link, self._result)
        assert self._result.finished is not None
        error = failure(self._result.finished)
        denied = self._result.finished["denials"]
        if denied:
            return Denied.exit_code, error or Denied(_denials(denied, self._result))
        if self._result.finished["outcome"] == "cancelled":
            return Interrupted.exit_code, error
        return (error.exit_code if error else 0), error

    def _take(self, link: Link, result: TurnResult, *, timeout: float | None) -> None:
        for event in link.events(timeout=timeout):
            if event["kind"] == REPLACED:
                raise CursorExpired(
                    "the session's history was replaced while the turn ran (was a backup restored?); what became of the prompt is "
                    f"not known: see `agentctl session show {self._session}`"
                )
            result.feed(event["kind"], event["data"])
            ours = result.concerns(event["data"])
            self._report.event(event, ours=ours)
            if ours and event["kind"] == "assistant_message" and event["data"]["stop"] == "length":
                self._out.note("the reply reached its length limit: it is not complete")
            if result.finished:
                return

    def _cancel(self, link: Link, result: TurnResult) -> AgentError:
        """Ctrl-C: the turn is cancelled, and its end awaited, for a while; another Ctrl-C ends this program at once."""
        if result.turn is None:
            return Interrupted(f"interrupted; the prompt stays in the queue of session {self._session}")
        try:
            self._report.cut()
            link.renew()
            link.call("session/cancel", {"session": self._session})
            self._take(link, result, timeout=CANCEL_SECONDS)
        except AgentError as error:
            return Interrupted(f"interrupted, but the turn may go on: {error.message}")
        return Interrupted("interrupted: the turn is cancelled")

    def _document(self, error: AgentError | None) -> dict[str, Any]:
        result = self._result
        finished = result.finished if result and result.finished else {}
        document: dict[str, Any] = {
            "type": "result",
            "is_error": error is not None and not isinstance(error, Denied),
            "result": result.text if result else "",
            "session_id": self._session or None,
            "usage": finished.get("usage"),
            "cost": finished.get("cost"),
            "num_turns": finished.get("steps", 0),
            "permission_denials": result.denials if result else [],
        }
        if error is not None:
            document["error"] = {"code": error.code, "message": error.message, "retryable": error.retryable}
            if error.retry_after:
                document["error"]["retry_after"] = error.retry_after
        return document


def greet(initialized: Mapping[str, Any], out: Output) -> None:
    """What the daemon has to say before the first prompt: a different environment, the embedded model."""
    if warning := other_variables(initialized):
        out.warn(warning)
    if initialized.get("notice") and out.error_tty:
        out.note(out.safe(initialized["notice"]))


def new_session() -> dict[str, Any]:
    """Parameters of `session/create` from where we are."""
    return {"cwd": os.getcwd(), "environment": tool_environment(os.environ)}


def new_key() -> str:
    """An idempotency key: a request repeated after a lost reply has no second effect."""
    return os.urandom(16).hex()


def newest_here(listed: Mapping[str, Any]) -> dict[str, Any]:
    """The first of a session list. Raises NotFound if it is empty."""
    if not listed["sessions"]:
        raise NotFound(f"there is no session in {os.getcwd()} yet; leave out -c to begin one")
    newest: dict[str, Any] = listed["sessions"][0]
    return newest


def _denials(count: int, result: TurnResult) -> str:
    names = ", ".join(dict.fromkeys(call["tool_name"] for call in result.denials))
    calls = "a tool call was" if count == 1 else f"{count} tool calls were"
    which = f" ({names})" if names else ""
    why = next((denial["reason"].removeprefix("denied: ") for denial in result.denials if denial["reason"]), "")
    return (
        f"{calls} denied{which}{': ' * bool(why)}{why}. Allow it with --allow RULE or `agentctl permission add`, or use the chat."
    )
