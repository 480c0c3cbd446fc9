"""Markdown as messages: our own exports exactly, anybody else's by its `## User` and `## Assistant` headings. Pure.

Errors name the line; they are InvalidParams.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from agentctl.archive.markdown import END, VERSION, attached, unescaped
from agentwire.errors import InvalidParams

_MARK = re.compile(r"<!-- agentd:(\w+)(?: (\{.*\}))? -->")
_FENCE = re.compile(r"(`{3,})(.*)")
_ROLES = ("user", "assistant", "tool")
_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*\s*")
_SPEAKERS = {
    "user": "user",
    "human": "user",
    "you": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "model": "assistant",
    "bot": "assistant",
}


class Found(NamedTuple):
    """What a file says. Messages as they go over the wire."""

    title: str
    cwd: str
    model: str
    messages: list[dict[str, Any]]


def parse(text: str) -> Found:
    """The conversation in `text`."""
    first, _, _ = text.partition("\n")
    if first.endswith("\r"):  # an editor or a version control gave every line its own end
        text = text.replace("\r\n", "\n")
    if first.startswith("<!-- agentd:session"):
        return _ours(text.split("\n"))
    return _foreign(text.replace("\r\n", "\n").split("\n"))


# --- our own ----------------------------------------------------------------------------------------------------------------------


def _ours(lines: list[str]) -> Found:
    head = _attributes(lines[0], 1)
    if head.get("version") != VERSION:
        raise InvalidParams(f"line 1: the file has version {head.get('version')}, this agentctl reads version {VERSION}")
    messages: list[dict[str, Any]] = []
    at = 1
    while at < len(lines):
        match = _MARK.fullmatch(lines[at])
        at += 1
        if match is None:
            continue
        if match[1] in _ROLES:
            messages.append({"role": match[1], "parts": []})
            continue
        if not messages:
            raise InvalidParams(f"line {at}: a {match[1]} outside of any message")
        end = _end(lines, at)
        messages[-1]["parts"].append(_part(match[1], _attributes(lines[at - 1], at), lines[at:end], at))
        at = end + 1
    title, cwd, model = (str(head.get(name, "")) for name in ("title", "cwd", "model"))
    return Found(title, cwd, model, [message for message in messages if message["parts"]])


def _attributes(line: str, number: int) -> dict[str, Any]:
    match = _MARK.fullmatch(line.rstrip())
    try:
        value = json.loads(match[2] or "{}") if match else None
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InvalidParams(f"line {number}: this mark is damaged")
    return value


def _end(lines: Sequence[str], begin: int) -> int:
    for at in range(begin, len(lines)):
        if lines[at] == END:
            return at
        if _MARK.fullmatch(lines[at]):
            break
    raise InvalidParams(f"line {begin}: what begins here has no end (a line `{END}`)")


def _part(kind: str, attributes: dict[str, Any], body: Sequence[str], number: int) -> dict[str, Any]:
    if kind == "text":
        return {"kind": "text", "text": unescaped("\n".join(body))}
    blocks = list(_blocks(body, number))
    try:
        match kind:
            case "citation":
                return {"kind": kind, **{name: str(attributes[name]) for name in ("url", "title", "quote")}}
            case "image" | "file":
                return {"kind": "text", "text": attached(attributes)}
            case "reasoning":
                return {"kind": kind, "text": blocks[0], "vendor": None}
            case "tool_call":
                return {"kind": kind, "id": attributes["id"], "name": attributes["name"], "arguments_json": blocks[0]}
            case "tool_result":
                texts = [{"kind": "text", "text": block} for block in blocks]
                return {"kind": kind, "call": attributes["call"], "parts": texts, "is_error": attributes["is_error"]}
    except (KeyError, IndexError):
        raise InvalidParams(f"line {number}: this {kind} is damaged") from None
    raise InvalidParams(f"line {number}: there is no such mark as {kind}")


def _blocks(body: Sequence[str], number: int) -> Iterator[str]:
    """The texts in the fenced blocks of `body`, which begins behind line `number`."""
    at = 0
    while at < len(body):
        match = _FENCE.fullmatch(body[at])
        at += 1
        if match is None:
            continue
        begin = at
        while at < len(body) and body[at] != match[1]:
            at += 1
        if at == len(body):
            raise InvalidParams(f"line {number + begin}: the fenced block has no end")
        yield unescaped("\n".join(body[begin:at]))
        at += 1


# --- anybody's --------------------------------------------------------------------------------------------------------------------


def _foreign(lines: Sequence[str]) -> Found:
    title, level, fence = "", 0, ""
    said: list[tuple[str, list[str]]] = []
    for line in lines:
        speaker = ""
        if not fence and (heading := _HEADING.fullmatch(line)):
            speaker = "" if level and len(heading[1]) != level else _SPEAKERS.get(heading[2].strip("*_:").lower(), "")
            title = title or ("" if said or speaker else heading[2])
        if speaker:
            level = len(heading[1]) if heading else level
            if not said or said[-1][0] != speaker:  # two of the same are one message with a pause
                said.append((speaker, []))
        elif said:
            said[-1][1].append(line)
        fence = _fence(line, fence)
    messages = [_message(role, "\n".join(body).strip("\n")) for role, body in said if "".join(body).strip()]
    if not messages:
        raise InvalidParams("no conversation found: each message wants a heading, `## User` or `## Assistant`, and text below it")
    return Found(title[:200], "", "", messages)


def _fence(line: str, open_fence: str) -> str:
    """The fence that is open after `line`; a heading within is code."""
    match = re.match(r" {0,3}(`{3,}|~{3,})(.*)", line)
    if match is None:
        return open_fence
    if not open_fence:
        return match[1]
    closes = match[1].startswith(open_fence) and not match[2].strip()
    return "" if closes else open_fence


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"kind": "text", "text": text}]}
