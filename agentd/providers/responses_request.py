"""OpenAI's Responses dialect, sans-IO: a prompt -> the request's bytes (the reply: responses_decoder.py).

Theory of operation: nothing is kept at the vendor (`store` is false), so all that was said goes with every request, the model's own
thoughts among it, which it gave us encrypted. A message becomes items: what is said, and each thought, call and result by itself.
A thought goes back to the model whose it was, in front of the message or call that came of it, for the vendor refuses one that
leads to nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from agentd.ports import Message, Prompt, ToolSpec
from agentd.providers.catalog import ModelData
from agentd.providers.chat_request import CONTINUE
from agentd.providers.contents import as_text, data_url, images_of, instead, result_text, usable
from agentd.providers.encoding import EncodedTools, as_json
from agentd.providers.kept import EncodedHistories
from agentd.providers.names import plain
from agentd.providers.openai_schema import strict
from agentwire.types import File, Image, Reasoning, Text, ToolCall, ToolResult

SUMMARY: Final = "reasoning.summary"
SEALS: Final = "encrypted_content"
"""What a host may refuse to give or to take back; it is not asked for again then."""

_WAYS = 8
"""Models whose histories are kept as they were encoded: names of models come from users."""
_LEAST_OUTPUT = 16  # tokens; the vendor refuses less
_NAME = 64  # characters of a tool's name

_arguments = msgspec.json.Decoder(dict[str, msgspec.Raw])

# --- the request ---------------------------------------------------------------------------------------------------------------


class ResponsesRequests:
    """Writes the requests to one endpoint. `provider`: the name under which its thoughts are kept."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._without: set[str] = set()
        self._histories: dict[_Way, EncodedHistories] = {}
        self._tools = EncodedTools(_described)

    def leave_out(self, what: str) -> None:
        """SUMMARY or SEALS, of all requests from now on."""
        self._without.add(what)

    def encode(self, prompt: Prompt, data: ModelData) -> list[bytes]:
        """The body in blocks."""
        owner = "" if SEALS in self._without else self._provider
        way = _Way(owner, prompt.model, images=data.images, files=data.files)
        histories = self._histories.get(way)
        if histories is None:
            if len(self._histories) == _WAYS:
                del self._histories[next(iter(self._histories))]
            histories = self._histories[way] = EncodedHistories(way.encode)
        blocks = histories.blocks(prompt.session, prompt.messages, prompt.blobs)
        if _asks_on(prompt, way):
            blocks.append(b"," + as_json(_message("user", [_text("input", CONTINUE)])))
        blocks = [block for block in blocks if block]
        if blocks:
            blocks[0] = blocks[0][1:]
        fields = _merged(self._fields(prompt, data), data.extra)
        head = as_json({"model": fields.pop("model")})[:-1] + b',"input":['
        return [head, *blocks, b"]," + as_json(fields)[1:]]

    def _fields(self, prompt: Prompt, data: ModelData) -> dict[str, Any]:
        fields: dict[str, Any] = {"model": prompt.model, "stream": True, "store": False}
        if prompt.system:
            fields["instructions"] = prompt.system
        if prompt.tools:
            fields["tools"] = self._tools.json(prompt.tools)
        if prompt.schema is not None and data.schema == "native":
            fields["text"] = {"format": _format(prompt.schema)}
        if data.thinking:
            fields["reasoning"] = self._reasoning(data)
            if SEALS not in self._without:
                fields["include"] = ["reasoning.encrypted_content"]
        if data.temperature is not None and "no-temperature" not in data.quirks:
            fields["temperature"] = data.temperature
        if prompt.max_output:
            fields["max_output_tokens"] = max(prompt.max_output, _LEAST_OUTPUT)
        if prompt.session:
            fields["prompt_cache_key"] = prompt.session
        return fields

    def _reasoning(self, data: ModelData) -> dict[str, Any]:
        effort = {"effort": data.asked_effort} if data.asked_effort else {}
        return effort if SUMMARY in self._without else {**effort, "summary": "auto"}


def _asks_on(prompt: Prompt, way: _Way) -> bool:
    """Whether the model must be told to go on from its last reply, if there is anything of it."""
    if not prompt.continuing:
        return False
    last = next((message for message in reversed(prompt.messages) if message.role != "tool"), None)
    return last is not None and last.role == "assistant" and any(way.said(last, {}))


def _merged(fields: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """A host's own fields laid over ours; of one that has fields itself, over these."""
    for name, value in extra.items():
        ours = fields.get(name)
        fields[name] = {**ours, **value} if isinstance(ours, dict) and isinstance(value, Mapping) else value
    return fields


def _format(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "name": "answer", "schema": schema, "strict": strict(schema)}


def _described(tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    about = [{"name": tool.name, "description": tool.description, "parameters": tool.parameters} for tool in tools]
    return [{"type": "function", **function, "strict": False} for function in about]


# --- messages ------------------------------------------------------------------------------------------------------------------


class _Way(NamedTuple):
    """How messages are encoded: whose thoughts go back to which model, and what that takes."""

    provider: str
    model: str
    images: bool
    files: bool

    def encode(self, message: Message, blobs: Mapping[str, bytes]) -> bytes:
        """Its items, each behind a comma; nothing for an empty one."""
        return b"".join([b"," + as_json(item) for item in self.said(message, blobs)])

    def said(self, message: Message, blobs: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
        if message.role == "tool":
            yield from (self._result(part, blobs) for part in message.parts if isinstance(part, ToolResult))
        elif message.role == "assistant":
            yield from self._reply(message)
        elif content := [*self._content(message, blobs)]:
            yield _message("user", content)

    def _content(self, message: Message, blobs: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
        for part in message.parts:
            if isinstance(part, Image | File):
                yield self._attached(part, blobs)
            elif isinstance(part, Text) and part.text:
                yield _text("input", part.text)

    def _reply(self, message: Message) -> Iterator[dict[str, Any]]:
        """A reply may have no items, if it only thought, or was cut off at once."""
        thoughts: list[dict[str, Any]] = []
        texts: list[dict[str, Any]] = []
        for part in message.parts:
            match part:
                case Text() if part.text:
                    texts.append(_text("output", part.text))
                case Reasoning() if sealed := self._thought(part):
                    if texts:
                        yield from (*thoughts, _message("assistant", texts))
                        thoughts, texts = [], []
                    thoughts.append(sealed)
                case ToolCall():
                    yield from (*thoughts, *([_message("assistant", texts)] if texts else ()), _call(part))
                    thoughts, texts = [], []
        if texts:
            yield from (*thoughts, _message("assistant", texts))

    def _thought(self, part: Reasoning) -> dict[str, Any] | None:
        """Goes back as it came, to the model whose it is: what it cannot decrypt fails the request."""
        vendor = part.vendor or {}
        if (vendor.get("provider"), vendor.get("model")) != (self.provider, self.model) or not vendor.get(SEALS):
            return None
        summary = [{"type": "summary_text", "text": part.text}] if part.text else []
        named = {"id": vendor["id"]} if vendor.get("id") else {}
        return {"type": "reasoning", **named, "summary": summary, SEALS: vendor[SEALS]}

    def _result(self, result: ToolResult, blobs: Mapping[str, bytes]) -> dict[str, Any]:
        output = "".join([result_text(part) for part in result.parts])
        output = f"Error: {output}" if result.is_error else output
        if images := images_of([result], blobs, images=self.images):
            pieces = [_text("input", output), *(self._attached(image, blobs) for image in images)]
            return {"type": "function_call_output", "call_id": result.call, "output": pieces}
        return {"type": "function_call_output", "call_id": result.call, "output": output}

    def _attached(self, part: Image | File, blobs: Mapping[str, bytes]) -> dict[str, Any]:
        if isinstance(part, File) and (text := as_text(part, blobs)) is not None:
            return _text("input", text)
        if not usable(part, blobs, images=self.images, files=self.files):
            return _text("input", instead(part))
        if isinstance(part, Image):
            return {"type": "input_image", "image_url": data_url(part, blobs), "detail": "auto"}
        return {"type": "input_file", "filename": part.name, "file_data": data_url(part, blobs)}


def _message(role: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content}


def _text(way: str, text: str) -> dict[str, Any]:
    return {"type": f"{way}_text", "text": text}


def _call(call: ToolCall) -> dict[str, Any]:
    """Names in the letters that hosts take (models make up others), invalid arguments wrapped: hosts may parse them."""
    arguments = call.arguments_json
    try:
        _arguments.decode(arguments)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        arguments = json.dumps({"invalid_json": arguments})
    name = plain(call.name, _NAME)
    return {"type": "function_call", "call_id": call.id, "name": name, "arguments": arguments}
