"""OpenAI's Chat Completions dialect, sans-IO: a prompt -> the request's bytes (the reply: chat_dialect.py).

Hosts differ from the original in many small ways; each tolerance below has the reason beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from agentd.ports import Message, Prompt, ToolSpec
from agentd.providers.catalog import ModelData
from agentd.providers.contents import SHOWN, as_text, data_url, images_of, instead, result_text, usable
from agentd.providers.encoding import EncodedTools, as_json
from agentd.providers.kept import EncodedHistories
from agentd.providers.names import plain, short_id
from agentd.providers.openai_schema import strict
from agentwire.types import File, Image, Reasoning, Text, ToolCall, ToolResult

CONTINUE: Final = (
    "[Your last message was cut off by a network failure. Go on exactly where it stopped, in the middle of the word if need be. "
    "Do not repeat anything, do not comment on this.]"
)
"""Asks for the rest of a reply where the host cannot continue an assistant message itself."""

_NAME = 64  # characters of a tool's name
_arguments = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Manner(NamedTuple):
    """How messages are written, for whom: with images, with files, with the model's own reasoning."""

    images: bool
    files: bool
    echo: bool


class ChatRequests:
    """Writes the requests to one endpoint. `provider`: its name, by which it knows its own models' reasoning.

    `official`: the host is OpenAI's own, which wants `max_completion_tokens` (its reasoning models refuse the old name) and routes
    by `prompt_cache_key`; every compatible host understands `max_tokens`, and not all the new name.
    """

    def __init__(self, provider: str, *, official: bool = False) -> None:
        self._provider, self._official = provider, official
        self._histories: dict[_Manner, EncodedHistories] = {}
        self._tools = EncodedTools(functions)

    def encode(self, prompt: Prompt, data: ModelData) -> list[bytes]:
        """The body in blocks."""
        manner = _Manner(images=data.images, files=data.files, echo=echoes(data))
        if manner not in self._histories:
            self._histories[manner] = EncodedHistories(_Writer(self._provider, manner).encode)
        history = self._histories[manner].blocks(prompt.session, prompt.messages, prompt.blobs)
        first = b"," + as_json({"role": "system", "content": prompt.system}) if prompt.system else b""
        last = b"," + as_json({"role": "user", "content": CONTINUE}) if _asks_on(prompt, data) else b""
        blocks = [block for block in (first, *history, last) if block]
        if blocks:
            blocks[0] = blocks[0][1:]
        fields = {**self._fields(prompt, data), **data.extra}
        head = as_json({"model": fields.pop("model")})[:-1] + b',"messages":['
        return [head, *blocks, b"]," + as_json(fields)[1:]]

    def _fields(self, prompt: Prompt, data: ModelData) -> dict[str, Any]:
        """Everything but the messages."""
        fields: dict[str, Any] = {"model": prompt.model, "stream": True, "stream_options": {"include_usage": True}}
        if prompt.tools:
            fields["tools"] = self._tools.json(prompt.tools)
        if prompt.max_output:
            fields["max_completion_tokens" if self._official else "max_tokens"] = prompt.max_output
        if self._official and prompt.session:
            fields["prompt_cache_key"] = prompt.session
        if data.temperature is not None and "no-temperature" not in data.quirks:
            fields["temperature"] = data.temperature
        if prompt.schema is not None and data.schema == "native":
            fields["response_format"] = {"type": "json_schema", "json_schema": _followed(prompt.schema)}
        return fields | _thinking(data)


def echoes(data: ModelData) -> bool:
    """Whether the host wants the model's reasoning back.

    DeepSeek's refuses a request with tools if a single assistant message of its history has no `reasoning_content`, be it empty,
    also one without calls; without tools it passes over it.
    """
    return "echo-reasoning" in data.quirks and data.effort != "none"


def _thinking(data: ModelData) -> dict[str, Any]:
    """Whether it shall think, and how much, as its host is told: a model that cannot do otherwise is not told whether."""
    fields: dict[str, Any] = {}
    told = data.effort and "always-thinking" not in data.quirks
    if "enable-thinking" in data.quirks:  # Qwen: a default of its own for each model, and no effort
        thinks = data.effort != "none" if data.effort else data.thinking
        return {} if "always-thinking" in data.quirks else {"enable_thinking": thinks}
    if "thinking-type" in data.quirks and told:  # DeepSeek
        fields["thinking"] = {"type": "disabled" if data.effort == "none" else "enabled"}
        if data.effort == "none":
            return fields
    if data.asked_effort and (data.thinking or not data.known):
        fields["reasoning_effort"] = data.asked_effort
    return fields


def _followed(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": "answer", "schema": schema, "strict": strict(schema)}


def _asks_on(prompt: Prompt, data: ModelData) -> bool:
    """Whether the host must be told to go on from the last reply, if that is there at all."""
    if data.prefill or not prompt.continuing:
        return False
    last = next((message for message in reversed(prompt.messages) if message.role != "tool"), None)
    return last is not None and last.role == "assistant" and bool(last.calls or _text(last))


# --- messages ------------------------------------------------------------------------------------------------------------------


class _Writer:
    """What the host gets for a message, each behind a comma: one, several for several results, nothing for an empty one."""

    def __init__(self, provider: str, manner: _Manner) -> None:
        self._provider, self._manner = provider, manner

    def encode(self, message: Message, blobs: Mapping[str, bytes]) -> bytes:
        return b"".join([b"," + as_json(said) for said in self._said(message, blobs)])

    def _said(self, message: Message, blobs: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
        if message.role == "tool":
            results = [part for part in message.parts if isinstance(part, ToolResult)]
            yield from map(_result, results)
            if images := images_of(
                results, blobs, images=self._manner.images
            ):  # a result is text here: they follow in the user's name
                yield {
                    "role": "user",
                    "content": [{"type": "text", "text": SHOWN}, *(self._part(image, blobs) for image in images)],
                }
        elif message.role == "user":
            yield {"role": "user", "content": self._shown(message, blobs) if message.attached else _text(message)}
        elif said := self._assistant(message):
            yield said

    def _shown(self, message: Message, blobs: Mapping[str, bytes]) -> list[dict[str, Any]]:
        """Text beside images and files."""
        return [self._part(part, blobs) for part in message.parts if isinstance(part, Image | File) or _says(part)]

    def _part(self, part: Any, blobs: Mapping[str, bytes]) -> dict[str, Any]:
        if isinstance(part, Text):
            return {"type": "text", "text": part.text}
        if isinstance(part, File) and (text := as_text(part, blobs)) is not None:
            return {"type": "text", "text": text}
        if not usable(part, blobs, images=self._manner.images, files=self._manner.files):
            return {"type": "text", "text": instead(part)}
        if isinstance(part, Image):
            return {"type": "image_url", "image_url": {"url": data_url(part, blobs)}}
        return {"type": "file", "file": {"filename": part.name, "file_data": data_url(part, blobs)}}

    def _assistant(self, message: Message) -> dict[str, Any]:
        """Empty if there is nothing in it to send (only thoughts, or cut off at once): hosts refuse an empty message."""
        calls = [_tool_call(part) for part in message.parts if isinstance(part, ToolCall)]
        text = _text(message)
        if not (calls or text):
            return {}
        said: dict[str, Any] = {"role": "assistant", "content": text or None}
        if calls:
            said["tool_calls"] = calls
        if self._manner.echo:
            thoughts = [part for part in message.parts if isinstance(part, Reasoning)]
            said["reasoning_content"] = "".join([part.text for part in thoughts if self._made(part)])
        return said

    def _made(self, part: Reasoning) -> bool:
        """Others' reasoning is none of its business."""
        return part.vendor is not None and part.vendor.get("provider") == self._provider


def _says(part: object) -> bool:
    return isinstance(part, Text) and bool(part.text)


def _text(message: Message) -> str:
    return "".join([part.text for part in message.parts if isinstance(part, Text)])


def _tool_call(call: ToolCall) -> dict[str, Any]:
    """Invalid arguments are wrapped: vLLM and llama.cpp parse them in their chat template and fail the whole request."""
    arguments = call.arguments_json
    try:
        _arguments.decode(arguments)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        arguments = json.dumps({"invalid_json": arguments})
    return {"id": short_id(call.id), "type": "function", "function": {"name": plain(call.name, _NAME), "arguments": arguments}}


def _result(result: ToolResult) -> dict[str, Any]:
    content = "".join([result_text(part) for part in result.parts])
    return {"role": "tool", "tool_call_id": short_id(result.call), "content": f"Error: {content}" if result.is_error else content}


def functions(tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    """Tools as this dialect has them."""
    about = [{"name": tool.name, "description": tool.description, "parameters": tool.parameters} for tool in tools]
    return [{"type": "function", "function": function} for function in about]
