"""What hosts of Chat Completions take for a valid request: https://platform.openai.com/docs/api-reference/chat/create, and what
DeepSeek (https://api-docs.deepseek.com/guides/thinking_mode) demands beyond it."""

from __future__ import annotations

import json
from typing import Any

_KEYS = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "tool_calls", "reasoning_content"},
    "tool": {"role", "content", "tool_call_id"},
}
_PARTS = {"text": {"type", "text"}, "image_url": {"type", "image_url"}, "file": {"type", "file"}}


def valid(body: dict[str, Any]) -> None:
    """Fails if a host would refuse it."""
    assert isinstance(body["model"], str)
    messages = body["messages"]
    assert messages, "there must be a message"
    open_calls: list[str] = []
    for index, message in enumerate(messages):
        role = message["role"]
        assert message.keys() <= _KEYS[role], f"unknown fields: {message}"
        assert role != "system" or index == 0
        if role == "tool":
            assert message["tool_call_id"] in open_calls, "a result without its call right before it"
            open_calls.remove(message["tool_call_id"])
            assert isinstance(message["content"], str)
        else:
            assert not open_calls, "a call without its result right behind it"
            _content(message)
            open_calls = _calls(message)
    assert not open_calls, "a call without its result at the end"


def valid_for_deepseek(body: dict[str, Any]) -> None:
    """In its thinking mode every message of the model must bring its reasoning along, be it empty; no other message has any."""
    valid(body)
    for message in body["messages"]:
        assert ("reasoning_content" in message) == (message["role"] == "assistant")
        assert isinstance(message.get("reasoning_content", ""), str)


def _content(message: dict[str, Any]) -> None:
    content = message["content"]
    if content is None:
        assert message["role"] == "assistant"
        assert message["tool_calls"], "an empty message"
    elif isinstance(content, str):
        assert content, "an empty message"
    else:
        assert content, "an empty message"
        assert message["role"] == "user"
        for part in content:
            assert part.keys() == _PARTS[part["type"]]
            assert part[part["type"]], "an empty part"


def _calls(message: dict[str, Any]) -> list[str]:
    calls = message.get("tool_calls", [])
    assert "tool_calls" not in message or calls
    for call in calls:
        assert call.keys() == {"id", "type", "function"}
        assert isinstance(json.loads(call["function"]["arguments"]), dict), "arguments are an object, as JSON"
    ids = [call["id"] for call in calls]
    assert len(set(ids)) == len(ids)
    return ids
