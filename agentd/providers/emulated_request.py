"""A prompt with tools or a schema -> one for a model that has neither, and how its reply is to be read. Pure.

The forms: a call is `{"name": ..., "arguments": {...}}`, an answer `{"answer": ...}` or, where the host cannot hold the model to a
schema, just text. Calls that were made are shown to the model in that form, their results as messages of the user.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from attrs import evolve, frozen

from agentd.ports import Message, Prompt, ToolSpec
from agentd.providers import emulated_small
from agentd.providers.catalog import ModelData
from agentd.providers.emulated_reply import CallReader, StructuredReader, Translator
from agentwire.types import Part, Text, ToolCall, ToolResult

_CALLS: Final = """
# Tools
To call a tool, reply with this JSON and nothing else: {"name": "the tool's name", "arguments": {...}}. Its result is the next \
message. Call one tool at a time, and only when you need it.
"""
_ANSWER: Final = 'To answer the user, reply with this JSON: {"answer": "..."}.\n'
_NO_TOOL: Final = "To answer the user, reply in plain text.\n"
_SCHEMA: Final = "\nReply with a JSON object and nothing else, no words before or after it. It must follow this JSON schema: "
_RESPOND: Final = "\nGive your final answer only by calling the tool `{name}`; its arguments are the answer."


@frozen
class Emulated:
    """`prompt` is what the model's host is sent. `translator` None: its deltas are right as they come."""

    prompt: Prompt
    translator: Callable[[], Translator] | None = None


def emulate(prompt: Prompt, data: ModelData, *, small: bool) -> Emulated | None:
    """None if the prompt has nothing that the host lacks. `small`: the model can follow one instruction, not several."""
    tools = data.tools == "emulated" and (bool(prompt.tools) or any(message.calls for message in prompt.messages))
    if tools and small:
        return _small(prompt, data)
    if tools:
        return _tools(prompt, data)
    return _structured(prompt, data) if prompt.schema is not None and data.schema == "emulated" else None


def _small(prompt: Prompt, data: ModelData) -> Emulated:
    """Only the tools that the question speaks of, if any; where none is left nothing of tools is in the prompt."""
    offered = () if _shown(prompt) else emulated_small.offered(prompt.messages, prompt.tools)
    told = evolve(prompt, messages=emulated_small.told(prompt.messages), tools=())
    if not offered:
        return _structured(told, data) or Emulated(told)
    system = prompt.system + emulated_small.described(offered)
    held = _union(offered, prompt.schema) if data.schema == "native" else None
    return Emulated(evolve(told, system=system, schema=held), _calls)


def _calls() -> Translator:
    return Translator(CallReader())


# --- calls -----------------------------------------------------------------------------------------------------------------------


def _tools(prompt: Prompt, data: ModelData) -> Emulated:
    told = evolve(prompt, messages=[*_told(prompt.messages)], tools=())
    if not prompt.tools:
        return _structured(told, data) or Emulated(told)
    held = data.schema == "native"
    system = prompt.system + _CALLS + "".join(map(_described, prompt.tools)) + (_ANSWER if held else _NO_TOOL)
    if held and _shown(prompt):
        return Emulated(evolve(told, system=system, schema=None))  # the half answer goes on as text: no schema fits its rest
    if held:
        return Emulated(evolve(told, system=system, schema=_union(prompt.tools, prompt.schema)), _calls)
    if prompt.schema is not None:
        system += _SCHEMA + _json(prompt.schema)
    begun = _shown(prompt)
    return Emulated(evolve(told, system=system, schema=None), lambda: Translator(CallReader(begun=begun)))


def _described(tool: ToolSpec) -> str:
    return f"- {tool.name}: {tool.description} Arguments, as a JSON schema: {_json(tool.parameters)}\n"


def _union(tools: Sequence[ToolSpec], answer: Mapping[str, Any] | None) -> dict[str, Any]:
    """The schema of a reply that is an answer or one call. What `answer` and the tools refer to in themselves has moved."""
    forms = [_object(answer=_moved(answer, "#/anyOf/0/properties/answer") if answer else {"type": "string"})]
    for number, tool in enumerate(tools, 1):
        arguments = _moved(tool.parameters, f"#/anyOf/{number}/properties/arguments")
        forms.append(_object(name={"const": tool.name}, arguments=arguments))
    return {"anyOf": forms}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def _moved(schema: Any, root: str) -> Any:
    """`schema` as it must be where its root is at `root`."""
    if isinstance(schema, Mapping):
        return {key: _pointer(value, root) if key == "$ref" else _moved(value, root) for key, value in schema.items()}
    return [_moved(value, root) for value in schema] if isinstance(schema, list | tuple) else schema


def _pointer(reference: Any, root: str) -> Any:
    return root + reference[1:] if isinstance(reference, str) and reference.startswith("#") else reference


# --- the history -----------------------------------------------------------------------------------------------------------------


def _told(messages: Sequence[Message]) -> Iterator[Message]:
    """The same conversation without calls and results. Messages that have none stay the very same."""
    names: dict[str, str] = {}
    for message in messages:
        if message.role == "tool":
            yield Message("user", (Text(text="\n".join(_results(message, names))),))
        elif message.calls:
            names |= {part.id: part.name for part in message.parts if isinstance(part, ToolCall)}
            yield Message("assistant", tuple(map(_as_text, message.parts)))
        else:
            yield message


def _as_text(part: Part) -> Part:
    return Text(text=f'{{"name": {_json(part.name)}, "arguments": {_arguments(part)}}}') if isinstance(part, ToolCall) else part


def _arguments(call: ToolCall) -> str:
    """The call's arguments as JSON, also where the model wrote none."""
    try:
        msgspec.json.decode(call.arguments_json)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return _json(call.arguments_json)
    return call.arguments_json


def _results(message: Message, names: Mapping[str, str]) -> Iterator[str]:
    for part in message.parts:
        if isinstance(part, ToolResult):
            failed = " (it failed)" if part.is_error else ""
            yield f"Result of {names.get(part.call, 'a tool')}{failed}: {emulated_small.result_text(part)}"


def _shown(prompt: Prompt) -> bool:
    """Whether a half reply must go on of which the user has seen text."""
    if not prompt.continuing or not prompt.messages or prompt.messages[-1].role != "assistant":
        return False
    return any(isinstance(part, Text) and part.text for part in prompt.messages[-1].parts)


# --- structured output -----------------------------------------------------------------------------------------------------------


def _structured(prompt: Prompt, data: ModelData) -> Emulated | None:
    """A tool whose arguments are the answer, where the host has tools; else words that say what is wanted."""
    if prompt.schema is None or data.schema == "native":
        return None
    told = evolve(prompt, system=prompt.system + _SCHEMA + _json(prompt.schema), schema=None)
    if _shown(prompt):
        return Emulated(told)  # half of the JSON is there: its rest is no object, and no call
    if data.tools != "native":
        return Emulated(told, lambda: Translator(StructuredReader()))
    name = _free("respond", prompt.tools)
    tool = ToolSpec(name=name, description="Give the final answer.", parameters=prompt.schema)
    told = evolve(prompt, system=prompt.system + _RESPOND.format(name=name), tools=(*prompt.tools, tool), schema=None)
    return Emulated(told, lambda: Translator(StructuredReader(), respond=name))


def _free(name: str, tools: Sequence[ToolSpec]) -> str:
    taken = {tool.name for tool in tools}
    while name in taken:
        name += "_"
    return name


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
