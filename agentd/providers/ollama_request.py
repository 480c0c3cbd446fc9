"""Ollama's own dialect, sans-IO: a prompt -> the bytes of a request to /api/chat (the reply: ollama_dialect.py).

Theory of operation: Ollama cuts a prompt that is longer than `num_ctx` at its front, and says nothing. So each request says how
long a context it needs, and that nothing may be cut (`truncate`, `shift`): what still does not fit is an error. A model is loaded
anew whenever `num_ctx` changes, which takes seconds: it grows in doublings and never shrinks, whichever session asks.

Old versions of Ollama ignore the fields that they do not know.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from agentd.ports import Message, Prompt
from agentd.ports.models import PER_IMAGE, attached_to
from agentd.providers.catalog import ModelData
from agentd.providers.chat_request import CONTINUE, functions
from agentd.providers.contents import SHOWN, as_text, encoded, images_of, instead, result_text, usable
from agentd.providers.encoding import EncodedTools, as_json
from agentd.providers.kept import EncodedHistories
from agentwire.types import File, Image, Reasoning, Text, ToolCall, ToolResult

_SMALLEST = 8192
"""Tokens of `num_ctx` at least: an agent's system prompt, its tools and a reply take half of it."""
_PER_TOKEN = 3.0
"""Bytes of a request for each token, at worst: English prose has 4 to 5, code and Chinese about 3."""
_REPLY = 4096
"""Tokens left for a reply that may be as long as the model likes."""
_FOLLOW = "\n\nYour final answer must be nothing but JSON that follows this JSON schema: "

_arguments = msgspec.json.Decoder(dict[str, msgspec.Raw])


class OllamaRequests:
    """Writes the requests to one endpoint."""

    def __init__(self) -> None:
        self._messages: dict[tuple[bool, bool], _Messages] = {}
        self._tools = EncodedTools(functions)
        self._contexts: dict[str, int] = {}  # of each model, the longest so far

    def encode(self, prompt: Prompt, data: ModelData) -> list[bytes]:
        """The body in blocks."""
        kind = (data.images, data.thinking)
        if kind not in self._messages:
            self._messages[kind] = _Messages(images=data.images, thinking=data.thinking)
        blocks = [block for block in (_system(prompt), *self._messages[kind].encode(prompt), _last(prompt)) if block]
        if blocks:
            blocks[0] = blocks[0][1:]
        fields, extra = self._fields(prompt, data), dict(data.extra)
        size = sum(map(len, blocks)) + len(as_json(fields)) - _images(prompt, data)
        fields["options"] = _options(prompt, data) | {"num_ctx": self._context(prompt, data, size)} | extra.pop("options", {})
        head = as_json({"model": prompt.model})[:-1] + b',"messages":['
        return [head, *blocks, b"]," + as_json(fields | extra)[1:]]

    def _context(self, prompt: Prompt, data: ModelData, size: int) -> int:
        """`num_ctx` for a request of so many bytes and its reply."""
        needed = size / min(_PER_TOKEN, data.chars_per_token) + (prompt.max_output or _REPLY)
        context = max(self._contexts.get(prompt.model, 0), _SMALLEST)
        while context < needed:
            context *= 2
        context = self._contexts[prompt.model] = min(context, data.context)
        return context

    def _fields(self, prompt: Prompt, data: ModelData) -> dict[str, Any]:
        fields: dict[str, Any] = {"stream": True, "truncate": False, "shift": False}
        if prompt.tools:
            fields["tools"] = self._tools.json(prompt.tools)
        elif prompt.schema is not None:  # beside tools it would forbid every call: it holds for all that the model says
            fields["format"] = prompt.schema
        if data.thinking:  # a model that does not think refuses to be told
            fields["think"] = _think(data)
        return fields


def _think(data: ModelData) -> bool | str:
    """How much, of a model that knows levels; else whether at all."""
    if data.efforts and data.effort:
        return data.asked_effort
    return data.effort != "none" or "always-thinking" in data.quirks


def _options(prompt: Prompt, data: ModelData) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if prompt.max_output:
        options["num_predict"] = prompt.max_output
    if data.temperature is not None:
        options["temperature"] = data.temperature
    return options


def _images(prompt: Prompt, data: ModelData) -> int:
    """Bytes that the request's images have beyond what they cost."""
    if not (data.images and prompt.blobs):
        return 0
    shown = (part for message in prompt.messages for part in attached_to(message) if isinstance(part, Image))
    return sum(len(prompt.blobs[part.blob]) * 4 // 3 - PER_IMAGE for part in shown if part.blob in prompt.blobs)


def _system(prompt: Prompt) -> bytes:
    said = prompt.system
    if prompt.schema is not None:  # a model that is held to it but not told may write blanks for ever
        said += _FOLLOW + json.dumps(prompt.schema)
    return b"," + as_json({"role": "system", "content": said}) if said else b""


def _last(prompt: Prompt) -> bytes:
    """Asks for the rest of a reply, if there is anything of it: that the model's template goes on by itself is not certain."""
    if not prompt.continuing:
        return b""
    last = next((message for message in reversed(prompt.messages) if message.role != "tool"), None)
    if last is None or last.role != "assistant" or not (last.calls or _text(last)):
        return b""
    return b"," + as_json({"role": "user", "content": CONTINUE})


# --- messages ------------------------------------------------------------------------------------------------------------------


class _Messages:
    """The messages of all sessions, as a model with these abilities gets them."""

    def __init__(self, *, images: bool, thinking: bool) -> None:
        self._images, self._thinking = images, thinking
        self._histories = EncodedHistories(self._encode)
        self._unread: Iterator[Message] = iter(())  # of the prompt that is being encoded, the newest first
        self._names: dict[str, str] = {}  # of the tools in its calls, as far as results asked for them

    def encode(self, prompt: Prompt) -> list[bytes]:
        self._unread, self._names = reversed(prompt.messages), {}
        return self._histories.blocks(prompt.session, prompt.messages, prompt.blobs)

    def _encode(self, message: Message, blobs: Mapping[str, bytes]) -> bytes:
        return b"".join([b"," + as_json(said) for said in self._said(message, blobs)])

    def _said(self, message: Message, blobs: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
        if message.role == "tool":
            results = [part for part in message.parts if isinstance(part, ToolResult)]
            yield from map(self._result, results)
            if images := images_of(results, blobs, images=self._images):
                yield {"role": "user", "content": SHOWN, "images": [encoded(image, blobs) for image in images]}
        elif message.role == "user":
            yield self._user(message, blobs)
        elif said := self._assistant(message):
            yield said

    def _user(self, message: Message, blobs: Mapping[str, bytes]) -> dict[str, Any]:
        texts, images = [], []
        for part in message.parts:
            if isinstance(part, Text):
                texts.append(part.text)
            elif isinstance(part, Image) and usable(part, blobs, images=self._images, files=False):
                images.append(encoded(part, blobs))
            elif isinstance(part, Image | File):
                text = as_text(part, blobs) if isinstance(part, File) else None
                texts.append(f"\n{text or instead(part)}\n")
        said: dict[str, Any] = {"role": "user", "content": "".join(texts)}
        return said | {"images": images} if images else said

    def _assistant(self, message: Message) -> dict[str, Any]:
        """Empty if there is nothing in it to send: only thoughts, or cut off at once."""
        calls = [_call(part) for part in message.parts if isinstance(part, ToolCall)]
        text = _text(message)
        if not calls:
            return {"role": "assistant", "content": text} if text else {}
        said: dict[str, Any] = {"role": "assistant", "content": text, "tool_calls": calls}
        if self._thinking and (thought := _thoughts(message)):  # what led to a call belongs to it
            said["thinking"] = thought
        return said

    def _result(self, result: ToolResult) -> dict[str, Any]:
        output = "".join([result_text(part) for part in result.parts])
        content = f"Error: {output}" if result.is_error else output
        return {"role": "tool", "tool_name": self._named(result.call), "tool_call_id": result.call, "content": content}

    def _named(self, call: str) -> str:
        """The tool's name, of the newest call with this id: it is found near the end, where what is not yet encoded stands."""
        while call not in self._names:
            message = next(self._unread, None)
            if message is None:
                return ""
            if message.role == "assistant" and message.calls:
                for part in reversed(message.parts):
                    if isinstance(part, ToolCall):
                        self._names.setdefault(part.id, part.name)
        return self._names[call]


def _text(message: Message) -> str:
    return "".join([part.text for part in message.parts if isinstance(part, Text)])


def _thoughts(message: Message) -> str:
    """Those without a vendor's seal: others are sent back by nobody else."""
    return "".join([part.text for part in message.parts if isinstance(part, Reasoning) and part.vendor is None])


def _call(call: ToolCall) -> dict[str, Any]:
    """Arguments are an object here: what is none is wrapped."""
    try:
        arguments: Any = _arguments.decode(call.arguments_json)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        arguments = {"invalid_json": call.arguments_json}
    return {"id": call.id, "function": {"name": call.name, "arguments": arguments}}
