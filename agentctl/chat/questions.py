"""Questions to the user: what a tool call would do and may do from then on, or what the model wants to know. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from agentctl.chat.render import Line, line
from agentctl.text import one_line, visible

LINES = 200
"""A question shows its arguments whole; beyond this many lines it says how many it hides."""
ASK_USER = "ask_user"
"""The tool whose call is the question itself."""


@dataclass(frozen=True)
class Approval:
    """A question that waits for an answer. `proposes`: the rules that an answer for longer would add."""

    call: str
    name: str
    arguments_json: str
    arguments_hash: str
    accesses: Sequence[Mapping[str, Any]] = ()
    why: str = ""
    proposes: Sequence[str] = ()

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Approval:
        """As the daemon tells of it, in an event or in a view. (An older one does not say what a call would do.)"""
        more = {name: data.get(name, default) for name, default in (("accesses", ()), ("why", ""), ("proposes", ()))}
        return cls(data["call"], data["name"], data["arguments_json"], data["arguments_hash"], **more)

    @property
    def arguments(self) -> Mapping[str, Any]:
        """Empty if they are no object."""
        try:
            value = json.loads(self.arguments_json)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def options(self) -> list[str]:
        """The answers that the model offers."""
        offered = self.arguments.get("options") if self.name == ASK_USER else None
        return [str(option) for option in offered] if isinstance(offered, list) else []


class Answer(NamedTuple):
    decision: str
    note: str = ""
    remember: str = ""


def question(approval: Approval) -> list[Line]:
    """What is asked, whole: nobody should allow what he cannot see."""
    if approval.name == ASK_USER:
        asked = visible(str(approval.arguments.get("question", ""))).strip().split("\n")
        options = [
            line(f"    {number} {one_line(option, 200)}", "question-body") for number, option in enumerate(approval.options, 1)
        ]
        return [line(f"? {asked[0]}", "question"), *(line(f"  {row}", "question") for row in asked[1:]), *options]
    rules = [line(f"    s or a would allow from then on: {rule}", "question-body") for rule in approval.proposes]
    why = [line(f"    asked because {one_line(approval.why, 400)}", "question-body")] if approval.why else []
    head = line(f"? The model wants to use {one_line(approval.name, 60)}:", "question")
    return [head, *_bounded(_arguments(approval)), *map(_access, _telling(approval)), *why, *rules]


def _arguments(approval: Approval) -> list[Line]:
    """Texts as they are, one under the other; what is more involved as JSON."""
    given = approval.arguments
    if not given or not all(isinstance(value, str | int | float | bool) for value in given.values()):
        return [line(f"    {row}", "question-body") for row in visible(_pretty(approval.arguments_json)).split("\n")]
    change = {"old", "new"} if approval.name == "edit" and {"old", "new"} <= given.keys() else set()
    rows: list[Line] = []
    for name, value in given.items():
        if name in change:
            continue
        first, *rest = visible(value if isinstance(value, str) else json.dumps(value)).split("\n")
        head = f"{one_line(name, 60)}: "
        rows.append(line(f"    {head}{first}", "question-body"))
        rows += [line(f"    {' ' * len(head)}{row}", "question-body") for row in rest]
    return rows + (_change(str(given["old"]), str(given["new"])) if change else [])


def _change(old: str, new: str) -> list[Line]:
    """Both texts whole: what they begin and end with alike stands there once."""
    before, after = visible(old).split("\n"), visible(new).split("\n")
    most = min(len(before), len(after))
    head = next((place for place in range(most) if before[place] != after[place]), most)
    tail = next((place for place in range(most - head) if before[-1 - place] != after[-1 - place]), most - head)
    return [
        *(line(f"      {row}", "question-body") for row in before[:head]),
        *(line(f"    - {row}", "removed") for row in before[head : len(before) - tail]),
        *(line(f"    + {row}", "added") for row in after[head : len(after) - tail]),
        *(line(f"      {row}", "question-body") for row in before[len(before) - tail :]),
    ]


def _pretty(arguments_json: str) -> str:
    try:
        return json.dumps(json.loads(arguments_json), ensure_ascii=False, indent=2)
    except ValueError:
        return arguments_json


def _bounded(rows: list[Line]) -> list[Line]:
    hidden = len(rows) - LINES
    return [*rows[:LINES], *([line(f"    … and {hidden} more lines, not shown", "warning")] if hidden > 0 else [])]


def _telling(approval: Approval) -> list[Mapping[str, Any]]:
    """What the arguments do not say by themselves: several commands, paths, hosts."""
    commands = sum(access["kind"] == "command" for access in approval.accesses)
    return [access for access in approval.accesses if access["kind"] != "command" or commands > 1]


def _access(access: Mapping[str, Any]) -> Line:
    target = one_line(str(access.get("target", "")), 300)
    match access["kind"]:
        case "command":
            return line(f"    · runs {one_line(' '.join(access.get('words', ())), 300)}", "question-body")
        case "read" | "write" as kind:
            return line(f"    · {kind}s {target}", "question-body")
        case "network":
            return line(f"    · {'uses the network' if target == '*' else f'reaches {target}'}", "warning")
        case _:
            return line(f"    · cannot be told: {target}", "warning")


def prompt(approval: Approval) -> str:
    """What the status line says of it."""
    if approval.name == ASK_USER:
        return "answer with a number or in your words, then Enter" if approval.options else "your answer, then Enter"
    longer = ", s for this session, a always" if approval.proposes else ""
    return f"allow {one_line(approval.name, 40)}? y, n [REASON]{longer}, then Enter"


def hint(approval: Approval) -> str:
    """What to say of an answer that is none."""
    longer = ", s for the whole session, a always" if approval.proposes else ""
    return f"a question is open: y allows, n denies (n REASON tells the model why){longer}"


def answer(text: str, approval: Approval) -> Answer | None:
    """`y`, `yes`; `n`, `no`, with a reason if you like; `s` and `a` where rules are proposed. None if it is no answer."""
    said = text.strip()
    if approval.name == ASK_USER:
        chosen = approval.options[int(said) - 1] if said.isdecimal() and 1 <= int(said) <= len(approval.options) else said
        return Answer("allow", chosen) if chosen else None
    word, _, note = said.partition(" ")
    match word.rstrip(",.:;").lower():
        case "y" | "yes" if not note:
            return Answer("allow")
        case "s" | "session" if not note and approval.proposes:
            return Answer("allow", "", "session")
        case "a" | "always" if not note and approval.proposes:
            return Answer("allow", "", "always")
        case "n" | "no":
            return Answer("deny", note.strip())
    return None
