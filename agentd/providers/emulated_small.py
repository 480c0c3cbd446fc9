"""What a very small model is shown of tools: only those that the question speaks of, in one line each.

Measured with SmolLM2-135M on 20 questions of general knowledge and 6 for two tools. With both tools always offered it answered 0 to
9 of the 20 (17 without any), for it calls a tool whenever there is one. Offered only where the question shares a word with the
tool, it answers the same 17, and calls the right tool in 5 of 6. After a result it is offered none: it would make the same call for
ever. Of ten ways to tell it the result the one below, in front of the question, was understood best; as a message of its own, after
a call in JSON, it repeats the call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final

from attrs import evolve

from agentd.ports import Message, ToolSpec
from agentd.providers import contents
from agentwire.types import Part, Text, ToolCall, ToolResult

_MOST = 3  # tools at once
_ROOM = 400  # characters for all of them: the whole prompt shall stay below 200 tokens, which take two seconds to read
_LINE = 160

_EMPTY_WORDS: Final = """
about all and any are can could current currently did does for from get give has have her here him his how into its let make may
many need not now off one our out over please say she should some tell than that the their them then there these they this too use
much used was were what when where which who why will with would yes you your
"""
_STOP: Final = frozenset(_EMPTY_WORDS.split())
"""Words that say nothing of what a question is about."""


def offered(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> tuple[ToolSpec, ...]:
    """The tools that the last question speaks of, the likeliest first; none once one of them has answered."""
    asked = next((index for index in range(len(messages) - 1, -1, -1) if messages[index].role == "user"), None)
    if asked is None or any(message.calls for message in messages[asked:]):
        return ()
    question = _words(_text(messages[asked].parts))
    alike = [(_likeness(question, tool), _simple(tool)) for tool in tools if _within_reach(tool)]
    likely = [tool for count, tool in sorted(alike, key=lambda found: -found[0]) if count]
    kept: list[ToolSpec] = []
    for tool in likely[:_MOST]:
        if not kept or len(described([*kept, tool])) <= _ROOM:
            kept.append(tool)
    return tuple(kept)


def _within_reach(tool: ToolSpec) -> bool:
    """What changes something and takes several arguments it would call with one made up: asked for a poem, it writes files."""
    return tool.effect == "read" or len(tool.parameters.get("required", ())) <= 1


def _simple(tool: ToolSpec) -> ToolSpec:
    """Without what may be left out: it gives every argument that it is shown, whatever comes to its mind."""
    needed = tool.parameters.get("required", ())
    properties = {name: about for name, about in tool.parameters.get("properties", {}).items() if name in needed}
    return evolve(tool, parameters={**tool.parameters, "properties": properties}) if properties else tool


def described(tools: Sequence[ToolSpec]) -> str:
    """For the end of the system prompt."""
    return "\nAnswer in JSON. You can call a tool:\n" + "".join([f"{_line(tool)}\n" for tool in tools])


def _line(tool: ToolSpec) -> str:
    call = json.dumps(
        {"name": tool.name, "arguments": dict.fromkeys(tool.parameters.get("properties", {}), "...")}, ensure_ascii=False
    )
    return f"{call}: {_first_sentence(tool.description)}"


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.!?])\s", text.strip(), maxsplit=1)[0][:_LINE]


def _likeness(question: set[str], tool: ToolSpec) -> int:
    """How many words the question has of the tool; 0 unless it names it, or a part of its name and something else of it. A dozen
    tools have the common words of every question in their descriptions: asked to "name three rivers" it would look for files."""
    named, shared = _words(tool.name), question & _speaks_of(tool)
    return len(shared) if named and (named <= question or (named & question and len(shared) > 1)) else 0


def _speaks_of(tool: ToolSpec) -> set[str]:
    return _words(" ".join([tool.name, _first_sentence(tool.description), *tool.parameters.get("properties", {})]))


def _words(text: str) -> set[str]:
    """The words that say something, without their endings."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower()
    return {_stem(word) for word in re.findall(r"[^\W_]+", apart) if (len(word) > 2 or not word.isascii()) and word not in _STOP}


def _stem(word: str) -> str:
    for ending in ("ing", "es", "ed", "s"):
        if word.endswith(ending) and len(word) - len(ending) > 2:
            return word.removesuffix(ending).removesuffix("e")
    return word.removesuffix("e")


# --- the history -----------------------------------------------------------------------------------------------------------------


def told(messages: Sequence[Message]) -> Sequence[Message]:
    """The same conversation with the results in front of the question that they are for, and without the calls."""
    if not any(message.calls for message in messages):
        return messages
    out: list[Message] = []
    asked = 0
    results: list[str] = []
    calls: dict[str, str] = {}
    for message in messages:
        if message.role == "tool":
            results += [
                f"{calls.get(part.call, 'tool')}: {result_text(part)}" for part in message.parts if isinstance(part, ToolResult)
            ]
        elif message.calls:
            calls |= {part.id: _called(part) for part in message.parts if isinstance(part, ToolCall)}
        else:
            _tell(out, asked, results)
            asked = len(out) if message.role == "user" else asked
            out.append(message)
    _tell(out, asked, results)
    return out


def _tell(out: list[Message], asked: int, results: list[str]) -> None:
    if results and out:
        before = Text(text="\n".join(results) + "\n\n")
        out[asked] = Message("user", (before, *out[asked].parts))
    results.clear()


def _called(call: ToolCall) -> str:
    """`weather, city Paris`: a call in words, for in JSON it would be repeated."""
    try:
        arguments = json.loads(call.arguments_json)
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        return f"{call.name}, {call.arguments_json}"
    return ", ".join([call.name, *(f"{name} {value}" for name, value in arguments.items())])


def result_text(result: ToolResult) -> str:
    """What a tool said, as text."""
    return "".join([contents.result_text(part) for part in result.parts])


def _text(parts: Sequence[Part]) -> str:
    return "".join([part.text for part in parts if isinstance(part, Text)])
