"""Values to lines: how one thing looks in the transcript. Pure; every text from models, tools and files is made harmless here."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from agentctl.output import duration
from agentctl.text import one_line, sentence, visible

ARGUMENTS_WIDTH = 72
RESULT_WIDTH = 72
ONLY_USER = "local"
"""What the daemon calls whoever comes over its socket; to a person it would read like the embedded model's provider."""
TAIL_ROWS = 3
"""Of what a running call has said lately."""
DETAIL_ROWS = 40
"""Of a result whose details are shown."""


class Line(NamedTuple):
    """One printed line without its newline. `style` is a class of `screen.STYLE`."""

    text: str
    style: str = ""


def line(text: str, style: str = "") -> Line:
    """The only way to make a Line: neutralised, and certainly one line."""
    return Line(visible(text).replace("\n", " "), style)


def lines(text: str, style: str = "") -> list[Line]:
    """Several lines of the same style."""
    return [line(row, style) for row in visible(text).split("\n")]


def user(text: str) -> list[Line]:
    """What a person said, here or in another client."""
    first, *rest = visible(text).strip("\n").split("\n")
    return [line(f"> {first}", "user"), *(line(f"  {row}", "user") for row in rest)]


def seam(text: str) -> Line:
    """A place where the transcript is not what it would have been without a break."""
    return line(f"── {text} ──", "seam")


def replaced() -> Line:
    """What stands above is not the session's past any more: a backup was restored, or its log was repaired."""
    return seam("the session's history was replaced; from here on as it is now")


def earlier(parent: str) -> Line:
    """Stands above what was said elsewhere."""
    return seam(f"earlier, in session {short(parent)}" if parent else "earlier")


def configured(preferences: Mapping[str, Any], variables: Mapping[str, str | None]) -> Line:
    """Settings that were changed; an empty preference is as configured again."""
    told = [_preference(name, value) for name, value in preferences.items() if value is not None]
    told += [
        f"var.{name} taken away" if value is None else f"var.{name}={one_line(value, 60)}" for name, value in variables.items()
    ]
    return line(f"settings: {', '.join(told)}", "notice")


def _preference(name: str, value: object) -> str:
    if isinstance(value, bool):
        return f"{name}={str(value).lower()}"
    return f"{name}={one_line(str(value), 60)}" if value else f"{name} as configured"


def held_up(data: Mapping[str, Any]) -> Line:
    """Nothing comes for a while."""
    return line(f"waiting {data['seconds']:g} s for {one_line(data['model'], 60)}: {one_line(data['reason'], 200)}", "notice")


def sources(parts: Sequence[Mapping[str, Any]]) -> list[Line]:
    """What a reply cites, each once, in order."""
    cited = [part for part in parts if part["kind"] == "citation"]
    told = dict.fromkeys(f"{one_line(part['title'] or part['quote'], 100)} {one_line(part['url'], 300)}".strip() for part in cited)
    return [line(f"  [{number}] {text}", "notice") for number, text in enumerate(filter(None, told), 1)]


def text_of(parts: Sequence[Mapping[str, Any]]) -> str:
    """The text of an input's or result's parts; of a blob its beginning and end, of an image or file its name."""
    return "\n".join(str(part["text"]) if "text" in part else _ends(part) or attached(part) for part in parts)


def _ends(part: Mapping[str, Any]) -> str:
    head, tail = part.get("head", ""), part.get("tail", "")
    return f"{head}\n… {part['bytes']:,} bytes in all …\n{tail}" if tail else head


def attached(part: Mapping[str, Any]) -> str:
    """An image or file as it stands in the conversation."""
    return f"[{one_line(part.get('name') or part['media'], 100)}]" if part.get("media") else ""


def arguments(arguments_json: str, width: int = ARGUMENTS_WIDTH) -> str:
    """A call's arguments on one line: `path='a.txt', limit=3`; what is no JSON object as it stands."""
    try:
        value = json.loads(arguments_json)
    except ValueError:
        return one_line(arguments_json, width)
    if not isinstance(value, dict):
        return one_line(arguments_json, width)
    return one_line(", ".join(f"{key}={_short(item)}" for key, item in value.items()), width)


def _short(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def running(name: str, arguments_json: str, said: str = "") -> list[Line]:
    """A call under way, with the last of what it has said."""
    tail = [row for row in visible(said).split("\n") if row.strip()][-TAIL_ROWS:]
    head = line(f"● {one_line(name, 60)}({arguments(arguments_json)}) …", "tool")
    return [head, *(line(f"  │ {one_line(row, 200)}", "notice") for row in tail)]


def difference(name: str, parts: Sequence[Mapping[str, Any]]) -> list[Line]:
    """What a change of a file looks like; nothing for other calls."""
    rows = visible(text_of(parts)).split("\n") if name in ("edit", "write") else []
    changed = [row for row in rows if row[:1] in "+-" and row[:3] not in ("+++", "---") and row[:1]]
    shown = [line(f"  {one_line(row, 200)}", "added" if row[0] == "+" else "removed") for row in changed[:DETAIL_ROWS]]
    hidden = len(changed) - DETAIL_ROWS
    return [*shown, *([line(f"  … and {hidden} more lines (Ctrl+O)", "notice")] if hidden > 0 else [])]


def details(name: str, arguments_json: str, parts: Sequence[Mapping[str, Any]]) -> list[Line]:
    """A call's arguments and result, as far as they are not too long."""
    rows = [f"{name} {arguments_json}", *text_of(parts).split("\n")]
    shown = [line(f"  │ {one_line(row, 400)}", "notice") for row in rows[:DETAIL_ROWS]]
    hidden = len(rows) - DETAIL_ROWS
    return [*shown, *([line(f"  │ … and {hidden} more lines", "notice")] if hidden > 0 else [])]


def job(number: int, text: str) -> Line:
    """Something about a background process."""
    return line(f"● job {number} {one_line(text, 200)}", "tool")


def called(name: str, arguments_json: str, finished: Mapping[str, Any]) -> Line:
    """A call that ended, with what came of it. The outcome is ours, the result the tool's."""
    outcome = str(finished["outcome"])
    result = one_line(text_of(finished["parts"]).strip(), RESULT_WIDTH)
    seconds = float(finished.get("seconds", 0.0))
    time = f" ({seconds:.1f} s)" if seconds >= 1 else ""
    label = outcome.replace("_", " ")
    said = result or "done" if outcome == "ok" or result.startswith(f"{label}:") else f"{label}: {result}"
    head = f"● {one_line(name, 60)}({arguments(arguments_json)})"
    return line(f"{head} → {said}{time}", "tool" if outcome == "ok" else "tool-bad")


def answer(decision: str, name: str, by: str, note: str) -> Line:
    """How an approval was decided, and by whom if there is more than one it could be."""
    if by == "deadline":
        return line(f"✗ {one_line(name, 60)} was denied: nobody answered in time", "tool-bad")
    verb = "allowed" if decision == "allow" else "denied"
    reason = f": {one_line(note, 200)}" if note else ""
    mark, style = ("✓", "tool") if decision == "allow" else ("✗", "tool-bad")
    who = "" if by == ONLY_USER else f" by {one_line(by, 40)}"
    return line(f"{mark} {one_line(name, 60)} was {verb}{who}{reason}", style)


def ended(outcome: str, error: Mapping[str, Any] | None) -> list[Line]:
    """How a turn ended, if it was not simply done."""
    why = one_line(str(error["message"]), 1000) if error else ""
    match outcome:
        case "done":
            return []
        case "cancelled":
            return [seam("interrupted")]
        case "failed":
            why = why or "the turn failed"
            if error and error.get("retryable"):
                wait = f" in {duration(math.ceil(error['retry_after']))}" if error.get("retry_after") else ""
                why = f"{sentence(why)} Send the message again{wait} to retry."
            return [line(f"error: {why}", "error")]
        case _:
            return [seam(f"the turn was interrupted{': ' + why if why else ''}")]


def waiting(text: str, delivery: str) -> Line:
    """An input that no turn has taken yet."""
    label = {"queue": "queued", "steer": "steering", "interrupt": "next"}.get(delivery, delivery)
    return line(f"  {label}: {one_line(text, 100)}", "queued")


def tokens(usage: Mapping[str, Any]) -> str:
    """A turn's tokens for the status line; empty if the vendor said nothing."""
    read, written = int(usage.get("input", 0)), int(usage.get("output", 0))
    return f"{_count(read)} in, {_count(written)} out" if read or written else ""


def _count(number: int) -> str:
    return str(number) if number < 10_000 else f"{number / 1000:.0f}k"


def short(session: str) -> str:
    """A session id as people see it; the daemon takes any unique beginning."""
    return one_line(session, 200)[:8]
