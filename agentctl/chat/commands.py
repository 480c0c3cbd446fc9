"""Slash commands: what was typed, parsed. Pure; what they do is in chat.py."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from agentctl import costs
from agentctl.chat.render import short
from agentctl.text import one_line

HELP = {
    "help": "this list",
    "new": "a new session (begins with your next message)",
    "resume": "the recent sessions; /resume NUMBER or ID goes on with one",
    "fork": "goes on in a copy of this session; /fork TITLE gives it a title",
    "rewind": "the last messages; /rewind NUMBER goes back to before one (Esc Esc)",
    "export": "/export FILE writes the session: .md to be read, .json with everything",
    "model": "the models; /model NAME uses one from the next message on",
    "mode": "what becomes of calls that no rule is about; /mode NAME changes it (Shift+Tab)",
    "permissions": "the rules in force; /permissions add|remove allow|ask|deny RULE changes those of this session",
    "tools": "the tools and how often they were used",
    "todo": "what is to be done, and what runs in the background (Ctrl+T)",
    "cost": "what this turn, this session and today have used",
    "status": "how the daemon and this session are",
    "queue": "what waits; /queue TEXT sends after the running turn, as Enter does",
    "steer": "/steer TEXT reaches the running turn before its next step (Alt+S)",
    "interrupt": "stops the running turn (Esc); /interrupt TEXT goes on with TEXT",
    "quit": "leave; what runs goes on in the daemon",
}
KEYS = {
    "Enter": "send",
    "Alt+Enter, Ctrl+J": "a new line",
    "Alt+S": "send to the running turn",
    "Esc": "interrupt the running turn",
    "Esc Esc": "go back to an earlier message",
    "Shift+Tab": "the next permission mode",
    "Ctrl+T": "to-do list and background jobs",
    "Ctrl+O": "details of tool calls, on and off",
    "!COMMAND": "run a shell command yourself, in the session's directory",
    "Ctrl+R": "search the history",
    "Ctrl+C": "clear, then leave",
    "Ctrl+D": "leave",
}
_SHAPE = re.compile(r"/([a-z]*)(?:\s+(.*))?", re.DOTALL)


class Command(NamedTuple):
    """A slash command; `argument` is what follows it, stripped."""

    name: str
    argument: str


def parse(text: str) -> Command | None:
    """The command in `text`; None if it is a message (a path like /etc/hosts is one). The name may be unknown."""
    match = _SHAPE.fullmatch(text.strip())
    return Command(match[1], (match[2] or "").strip()) if match else None


def unknown(name: str) -> str:
    """One line for a command that does not exist."""
    near = get_close_matches(name, HELP, 1)
    return f"there is no command /{name}; {f'did you mean /{near[0]}?' if near else '/help lists them'}"


def help_rows() -> list[str]:
    """What /help prints."""
    slash = [f"  {f'/{name}':20}{text}" for name, text in HELP.items()]
    return [*slash, *(f"  {key:20}{text}" for key, text in KEYS.items())]


def session_row(number: int, info: Mapping[str, Any]) -> str:
    """One line of /resume."""
    title = one_line(info["title"], 50) or "(no title)"
    return f"  {number:2}  {short(info['id'])}  {title}  {info['status']}  {one_line(info['cwd'], 60)}"


def input_row(number: int, text: str) -> str:
    """One line of /rewind."""
    return f"  {number:2}  {one_line(text, 100)}"


def model_row(model: Mapping[str, Any]) -> str:
    """One line of /model."""
    gone = "" if model["available"] else " (not available)"
    note = f"  {one_line(model['note'], 100)}" if model["note"] else ""
    return f"{'*' if model['default'] else ' '} {one_line(model['id'], 80)}{gone}{note}"


def cost_rows(own: Mapping[str, Any] | None, today: Mapping[str, Any]) -> list[str]:
    """What /cost prints: `own` is the report of the session's newest turn, `today` of everything since midnight UTC."""
    rows = []
    if own is not None and own["rows"]:
        turn = own["rows"][0]
        rows += [f"turn {turn['key']}: {costs.brief(turn)}", f"session: {costs.brief(own['total'])}"]
    rows.append(f"today (UTC): {costs.brief(today['total'])}")
    return [*rows, *costs.footnotes(own or today), *costs.budgets((own or today)["budgets"], session=own is not None)]
