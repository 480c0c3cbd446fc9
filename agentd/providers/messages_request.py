"""Anthropic's Messages dialect, sans-IO: a prompt -> the request's bytes (the reply: messages_dialect.py).

Theory of operation: every message is encoded by itself, and neighbours of one role are left to the host, which combines them: so a
history is encoded once (kept.py). What changes with every request is put around it. The cache of the vendor is told where to look
by marks on blocks: on the last tool, on the system prompt, on the last message, and on the one that was the last in the request
before, for the vendor looks no more than 20 blocks back. A mark is written into the bytes of a block that is encoded already: each
message ends with `}]}`, the end of its last block (https://platform.claude.com/docs/en/build-with-claude/prompt-caching).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from agentd.ports import Message, Prompt, ToolSpec
from agentd.providers.catalog import ModelData
from agentd.providers.chat_request import CONTINUE
from agentd.providers.encoding import EncodedTools, as_json
from agentd.providers.kept import EncodedHistories
from agentd.providers.messages_blocks import THOUGHTS, Way, in_role, text_block
from agentd.providers.messages_schema import strict

FIRST: Final = "[The conversation begins with your own message.]"
"""Said by the user where the history begins with the assistant, which hosts refuse."""

_BUDGETS: Mapping[str, int] = {"minimal": 1024, "low": 4000, "medium": 10_000, "high": 32_000}
"""Tokens to think with, by effort, for models that want a number; half of the longest output at most."""
_LEAST_BUDGET = 1024  # the least that the vendor takes
_MARK: dict[str, Any] = {"cache_control": {"type": "ephemeral"}}
_BLOCK_END, _MARKED_END = b"}]}", b',"cache_control":{"type":"ephemeral"}}]}'


class MessagesRequests:
    """Writes the requests to one endpoint. `provider`: the name under which its signatures are kept."""

    def __init__(self, provider: str) -> None:
        self._thinker = provider  # whose thoughts go back
        self._histories: dict[Way, EncodedHistories] = {}
        self._tools = EncodedTools(_described)

    def forget_thoughts(self) -> bool:
        """None go back from now on; false if none did before."""
        had, self._thinker = self._thinker, ""
        self._histories.clear()
        return bool(had)

    def encode(self, prompt: Prompt, data: ModelData) -> list[bytes]:
        """The body in blocks."""
        way = Way(self._thinker, prompt.model, images=data.images, files=data.files)
        histories = self._histories.get(way)
        if histories is None:
            histories = self._histories[way] = EncodedHistories(way.encode)
        messages = prompt.messages
        while messages and messages[-1].role == "assistant" and not way.said(messages[-1], prompt.blobs):
            messages = messages[:-1]  # a reply that broke off before it said anything
        new, half = _new(messages), None
        if messages and messages[-1].role == "assistant":
            messages, new, half = messages[:-1], 0, messages[-1]
        blocks = histories.blocks(prompt.session, messages, prompt.blobs, apart=new)
        _mark(blocks, 0, len(blocks) - new)
        _mark(blocks, len(blocks) - new, len(blocks))
        thinking = _thinking(prompt, data, way)
        if half is not None:
            blocks += _gone_on(prompt, data, way.said(half, prompt.blobs), thinks=bool(thinking))
        return self._body(prompt, data, [block for block in blocks if block], thinking)

    def _body(self, prompt: Prompt, data: ModelData, messages: list[bytes], thinking: Mapping[str, Any]) -> list[bytes]:
        """The body around the encoded messages, each of which begins with a comma."""
        fields: dict[str, Any] = {"model": prompt.model, "max_tokens": prompt.max_output or data.max_output, "stream": True}
        if prompt.tools:
            fields["tools"] = self._tools.json(prompt.tools)
        if prompt.system.strip():
            fields["system"] = [text_block(prompt.system) | _MARK]
        if thinking:
            fields["thinking"] = thinking
        elif data.temperature is not None and "no-temperature" not in data.quirks:
            fields["temperature"] = data.temperature
        if output := _output(prompt, data):
            fields["output_config"] = output
        fields |= data.extra
        head = as_json({"model": fields.pop("model")})[:-1] + b',"messages":['
        if messages and messages[0].startswith(b',{"role":"assistant"'):
            messages = [in_role("user", [text_block(FIRST)]), *messages]
        if messages:
            messages[0] = messages[0][1:]
        return [head, *messages, b"]," + as_json(fields)[1:]]


def _new(messages: Sequence[Message]) -> int:
    """How many there are from the last reply on: what is before it was in the request that it answers."""
    return next((number for number, message in enumerate(reversed(messages), 1) if message.role == "assistant"), len(messages))


def _gone_on(prompt: Prompt, data: ModelData, said: list[dict[str, Any]], *, thinks: bool) -> list[bytes]:
    """The reply that broke off, which said this much, and what the model must be told to go on from it."""
    if _prefills(prompt, data, said, thinks=thinks):
        said[-1]["text"] = said[-1]["text"].rstrip()  # hosts refuse it; the decoder knows of the seam
        return [in_role("assistant", said)]
    return [in_role("assistant", said), in_role("user", [text_block(CONTINUE)])]


def _prefills(prompt: Prompt, data: ModelData, said: Sequence[Mapping[str, Any]], *, thinks: bool) -> bool:
    """Whether the host goes on from the last reply by itself: not if it is to think first, or to follow a schema."""
    return prompt.continuing and data.prefill and not thinks and not _schema(prompt, data) and said[-1]["type"] == "text"


def _mark(blocks: list[bytes], first: int, end: int) -> None:
    """Let the vendor's cache reach up to the end of what those from `first` to `end` say. Changes the list, no block."""
    for index in range(end - 1, first - 1, -1):
        if blocks[index]:
            blocks[index] = blocks[index].removesuffix(_BLOCK_END) + _MARKED_END
            return


def _thinking(prompt: Prompt, data: ModelData, way: Way) -> Mapping[str, Any]:
    """How the model shall think before it answers; empty if that is left to it, or it does not.

    With a budget, a reply whose calls were answered must begin with its thoughts: if these are not at hand (another model's are
    none), it goes on without any more of them.
    """
    if _silenced(data):
        return {"type": "disabled"}
    if not data.thinking:
        return {}
    if "adaptive-thinking" in data.quirks:
        return {"type": "adaptive", "display": "summarized"}
    budget = min(_BUDGETS.get(data.effort or "medium", _BUDGETS["high"]), (prompt.max_output or data.max_output) // 2)
    if data.effort == "none" or budget < _LEAST_BUDGET:
        return {}
    replies = (way.said(message, prompt.blobs) for message in reversed(prompt.messages) if message.role == "assistant")
    last = [block["type"] for block in next(filter(None, replies), ())]
    return {} if "tool_use" in last and last[0] not in THOUGHTS else {"type": "enabled", "budget_tokens": budget}


def _silenced(data: ModelData) -> bool:
    """Whether the model would think by itself, and shall not."""
    return data.effort == "none" and "adaptive-thinking" in data.quirks and "always-thinking" not in data.quirks


def _output(prompt: Prompt, data: ModelData) -> Mapping[str, Any]:
    output: dict[str, Any] = {}
    effort = data.asked_effort
    if effort not in {"", "none"} and "adaptive-thinking" in data.quirks and not _silenced(data):
        output["effort"] = "low" if effort == "minimal" else effort
    if schema := _schema(prompt, data):
        output["format"] = {"type": "json_schema", "schema": strict(schema)}
    return output


def _schema(prompt: Prompt, data: ModelData) -> Mapping[str, Any] | None:
    """The schema that the host itself sees to."""
    return prompt.schema if data.schema == "native" else None


def _described(tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    said = [
        {"name": tool.name, "description": tool.description, "input_schema": {"type": "object", **tool.parameters}}
        for tool in tools
    ]
    return [*said[:-1], said[-1] | _MARK]
