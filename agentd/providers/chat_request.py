"""OpenAI's Chat Completions dialect, sans-IO: a prompt -> the request's bytes (the reply: chat_dialect.py).

Hosts differ from the original in many small ways; each tolerance below has the reason beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from agentd.ports import Message, Prompt, ToolSpec
from agentd.providers.kept import EncodedHistories
from agentwire.types import BlobRef, Reasoning, Text, ToolCall, ToolResult

CONTINUE: Final = (
    "[Your last message was cut off by a network failure. Go on exactly where it stopped, in the middle of the word if need be. "
    "Do not repeat anything, do not comment on this.]"
)
"""Asks for the rest of a reply where the host cannot continue an assistant message itself."""

_encoder = msgspec.json.Encoder()
_arguments = msgspec.json.Decoder(dict[str, msgspec.Raw])

# --- the request ---------------------------------------------------------------------------------------------------------------


class ChatRequests:
    """Writes the requests to one endpoint. `official` and `reasoning` as for `encode_request`."""

    def __init__(self, *, official: bool = False, reasoning: bool = False) -> None:
        self._official, self._reasoning = official, reasoning
        self._histories = EncodedHistories(partial(_encode, reasoning=reasoning))

    def encode(self, prompt: Prompt) -> list[bytes]:
        """The body in blocks: together the bytes of `encode_request`."""
        history = self._histories.blocks(prompt.session, prompt.messages, prompt.blobs)
        return _body(prompt, history, official=self._official, reasoning=self._reasoning)


def encode_request(
    prompt: Prompt,
    *,
    official: bool = False,
    reasoning: bool = False,
    prefill: bool = False,
    extra: Mapping[str, Any] | None = None,
) -> bytes:
    """The body of a streaming request.

    `official`: the host is OpenAI's own, which wants `max_completion_tokens` (its reasoning models refuse the old name) and routes
    by `prompt_cache_key`; every compatible host understands `max_tokens`, and not all the new name. `reasoning`: assistant messages
    with tool calls carry `reasoning_content`, which DeepSeek demands. `prefill`: the host goes on from a last assistant message by
    itself. `extra` is added on top, for a host's own fields.
    """
    pieces = [_encode(message, prompt.blobs, reasoning=reasoning) for message in prompt.messages]
    return b"".join(_body(prompt, pieces, official=official, reasoning=reasoning, prefill=prefill, extra=extra))


def _body(
    prompt: Prompt,
    history: list[bytes],
    *,
    official: bool,
    reasoning: bool,
    prefill: bool = False,
    extra: Mapping[str, Any] | None = None,
) -> list[bytes]:
    """The body around the encoded messages, each of which begins with a comma."""
    fields: dict[str, Any] = {"model": prompt.model, "stream": True, "stream_options": {"include_usage": True}}
    if prompt.tools:
        fields["tools"] = [_tool(tool) for tool in prompt.tools]
    if prompt.max_output:
        fields["max_completion_tokens" if official else "max_tokens"] = prompt.max_output
    if official and prompt.session:
        fields["prompt_cache_key"] = prompt.session
    fields |= extra or {}
    head = _json({"model": fields.pop("model")})[:-1] + b',"messages":['
    first = b"," + _json({"role": "system", "content": prompt.system}) if prompt.system else b""
    last = b"," + _json({"role": "user", "content": CONTINUE}) if _asks_on(prompt, prefill=prefill, reasoning=reasoning) else b""
    blocks = [block for block in (first, *history, last) if block]
    if blocks:
        blocks[0] = blocks[0][1:]
    return [head, *blocks, b"]," + _json(fields)[1:]]


def _asks_on(prompt: Prompt, *, prefill: bool, reasoning: bool) -> bool:
    """Whether the host must be told to go on from the last reply, if that is there at all."""
    if prefill or not prompt.continuing:
        return False
    last = next((message for message in reversed(prompt.messages) if message.role != "tool"), None)
    return last is not None and last.role == "assistant" and bool(_assistant(last, reasoning=reasoning))


def _json(value: Any) -> bytes:
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:  # a lone surrogate: replaced, as on our own wire
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


# --- messages ------------------------------------------------------------------------------------------------------------------


def _encode(message: Message, blobs: Mapping[str, bytes], *, reasoning: bool) -> bytes:
    """What the host gets for a message, each behind a comma: one message, several for several results, nothing for an empty one."""
    return b"".join([b"," + _json(said) for said in _said(message, reasoning=reasoning)])


def _said(message: Message, *, reasoning: bool) -> Iterator[dict[str, Any]]:
    if message.role == "tool":
        yield from (_result(part) for part in message.parts if isinstance(part, ToolResult))
    elif message.role == "user":
        yield {"role": "user", "content": _text(message)}
    elif said := _assistant(message, reasoning=reasoning):
        yield said


def _text(message: Message) -> str:
    return "".join([part.text for part in message.parts if isinstance(part, Text)])


def _assistant(message: Message, *, reasoning: bool) -> dict[str, Any]:
    """Empty if there is nothing in it to send (only thoughts, or cut off at once): hosts refuse an empty message."""
    calls = [_tool_call(part) for part in message.parts if isinstance(part, ToolCall)]
    text = _text(message)
    if not calls:
        return {"role": "assistant", "content": text} if text else {}
    said: dict[str, Any] = {"role": "assistant", "content": text or None, "tool_calls": calls}
    if reasoning:
        said["reasoning_content"] = "".join([part.text for part in message.parts if isinstance(part, Reasoning)])
    return said


def _tool_call(call: ToolCall) -> dict[str, Any]:
    """Invalid arguments are wrapped: vLLM and llama.cpp parse them in their chat template and fail the whole request."""
    arguments = call.arguments_json
    try:
        _arguments.decode(arguments)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        arguments = json.dumps({"invalid_json": arguments})
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _result(result: ToolResult) -> dict[str, Any]:
    content = "".join([_output(part) for part in result.parts])
    return {"role": "tool", "tool_call_id": result.call, "content": f"Error: {content}" if result.is_error else content}


def _output(part: Text | BlobRef) -> str:
    if isinstance(part, Text):
        return part.text
    return f"{part.head}\n[only the beginning of {part.bytes} bytes of {part.media}]"


def _tool(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}
