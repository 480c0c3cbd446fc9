"""One turn as a client sees it: events in, text to print and a result out. Pure.

Theory of operation: what is printed cannot be taken back, but a draft can be: the daemon may die and go on from what it had saved,
or try a reply again. So the text of the open step is kept beside what was shown of it. When the daemon states the text anew
(`draft_reset`, `assistant_message`), everything shown is expected to come again: as long as it does, nothing is printed; where it
goes on, the printing goes on; where it differs, a new line begins with the text as it is now.
"""

from __future__ import annotations

import json
from contextlib import suppress
from os.path import commonprefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from agentwire.errors import AgentError

RECONNECTED = "reconnected"
"""Not on the wire: `agentctl.link` says with it that the connection was lost and found, and whether the daemon is a new one."""
REPLACED = "history_replaced"
"""Nor this: the log does not go on from what was seen of it (a backup was restored). Its data is a fresh `seq` and `view`."""


class TurnText:
    """The text of one turn in the order it may be printed. `feed` every event of the turn; print what comes back."""

    def __init__(self) -> None:
        self.seams = 0
        """How often what was shown turned out not to be the text."""
        self._parts: dict[int, int] = {}  # part -> code points known
        self._known: list[str] = []  # the open step's text
        self._expected = ""  # shown before, not yet come again
        self._repeated = ""  # come again since the daemon last stated the text, and not printed twice
        self._separate = False  # the next text begins a new paragraph
        self._ends_line = True

    def feed(self, kind: str, data: Mapping[str, Any]) -> str:
        """The text to print for one event: often empty."""
        if kind == "delta":
            return self._delta(data["parts"])
        if kind == "draft_reset":
            return self._restate(data["parts"], "type")
        if kind == "assistant_message":
            text = self._restate(data["parts"], "kind")
            self._close(interrupted=data["stop"] == "interrupted")
            return text
        if kind == RECONNECTED and data["restarted"]:
            self._forget()
        return ""

    def end(self) -> str:
        """The newline that a text without one at its end needs."""
        newline = "" if self._ends_line else "\n"
        self._ends_line = True
        return newline

    def _delta(self, parts: Iterable[Mapping[str, Any]]) -> str:
        out = ""
        for part in parts:
            if part["type"] == "text":
                have = self._parts.get(part["part"], 0)
                fresh = part["text"][max(have - part["offset"], 0) :]
                self._parts[part["part"]] = have + len(fresh)
                out += self._print(fresh)
        return out

    def _restate(self, parts: Iterable[Mapping[str, Any]], tag: str) -> str:
        self._forget()
        out = ""
        for index, part in enumerate(parts):
            if part[tag] == "text":
                self._parts[part.get("part", index)] = len(part["text"])
                out += self._print(part["text"])
        self._repeated = ""
        return out

    def _forget(self) -> None:
        self._expected = "".join(self._known) + self._expected
        self._repeated = ""
        self._known.clear()
        self._parts.clear()

    def _close(self, *, interrupted: bool) -> None:
        """The step's text is final. An interrupted one is continued by the next; after another, text is a new paragraph."""
        self._known.clear()
        self._parts.clear()
        if not interrupted:
            self.seams += bool(self._expected)
            self._expected = ""
            self._separate = True

    def _print(self, text: str) -> str:
        if not text:
            return ""
        self._known.append(text)
        # commonprefix goes character by character, which for the usual case, everything as shown, is not needed.
        same = len(text) if self._expected.startswith(text) else len(commonprefix([text, self._expected]))
        self._expected = self._expected[same:]
        fresh = text[same:]
        if self._expected and fresh:  # something else came
            fresh = "\n" + self._repeated + text
            self.seams += 1
            self._expected = ""
        if not self._expected:
            self._repeated = ""
        else:
            self._repeated += text[:same]
        return self._out(fresh)

    def _out(self, fresh: str) -> str:
        if not fresh:
            return ""
        if self._separate:
            self._separate = False
            fresh = fresh if self._ends_line else "\n" + fresh
        self._ends_line = fresh.endswith("\n")
        return fresh


class TurnResult:
    """What became of one input: its turn, the answer, the calls that were denied. `feed` every event of the session."""

    def __init__(self, number: int, turn: int | None) -> None:
        self.turn = turn
        """None while the input waits behind another turn."""
        self.text = ""
        """The last message of the model, put together where it was interrupted and went on."""
        self.finished: Mapping[str, Any] | None = None
        """The data of `turn_finished`."""
        self.denials: list[dict[str, Any]] = []
        self._input = number
        self._continues = False
        self._planned: dict[str, Mapping[str, Any]] = {}

    def concerns(self, data: Mapping[str, Any]) -> bool:
        """Whether an event with this data belongs to the turn."""
        return self.turn is not None and data.get("turn") == self.turn

    def feed(self, kind: str, data: Mapping[str, Any]) -> None:
        """Takes note of one event, of any turn."""
        if kind == "turn_started" and data["input"] == self._input:
            self.turn = data["turn"]
        if not self.concerns(data):
            return
        if kind == "assistant_message":
            self._message(data)
        elif kind == "tool_planned":
            self._planned[data["call"]] = data
        elif kind == "tool_finished" and data["outcome"] == "denied":
            self._denied(self._planned.get(data["call"], data), data.get("parts", ()))
        elif kind == "turn_finished":
            self.finished = data

    def _message(self, data: Mapping[str, Any]) -> None:
        text = "".join(part["text"] for part in data["parts"] if part["kind"] == "text")
        if text:
            self.text = self.text + text if self._continues else text
        self._continues = data["stop"] == "interrupted"

    def _denied(self, call: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> None:
        arguments: Any = call.get("arguments_json", "")
        with suppress(ValueError):  # if the model wrote no JSON, its own words are shown
            arguments = json.loads(arguments)
        denial = {"tool_name": call.get("name", ""), "tool_use_id": call["call"], "tool_input": arguments}
        self.denials.append({**denial, "reason": "".join(str(part.get("text", "")) for part in parts)})


def failure(finished: Mapping[str, Any]) -> AgentError | None:
    """Why a turn did not get done, as the error with its exit code; None if it did."""
    from agentwire.errors import BY_CODE, AgentError

    if finished["outcome"] == "done":
        return None
    error = finished.get("error")
    if error is None:
        return AgentError(f"the turn was {finished['outcome']}")
    return BY_CODE.get(error["code"], AgentError)(error["message"], retry_after=error.get("retry_after"))
