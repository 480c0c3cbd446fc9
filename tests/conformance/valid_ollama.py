"""What Ollama takes for a valid request to /api/chat: its api/types.go and docs/api.md."""

from __future__ import annotations

from typing import Any

_KEYS = {
    "system": {"role", "content"},
    "user": {"role", "content", "images"},
    "assistant": {"role", "content", "tool_calls", "thinking"},
    "tool": {"role", "content", "tool_name", "tool_call_id"},
}


def valid(body: dict[str, Any]) -> None:
    """Fails if Ollama would refuse it, or its models' templates would make nonsense of it."""
    assert isinstance(body["model"], str)
    assert body["messages"], "there must be a message"
    assert (body["truncate"], body["shift"]) == (False, False)
    assert body["options"]["num_ctx"] > 0
    assert body.get("think") in (None, True, False, "low", "medium", "high", "max")
    open_calls: dict[str, str] = {}
    for index, message in enumerate(body["messages"]):
        role = message["role"]
        assert message.keys() <= _KEYS[role], f"unknown fields: {message}"
        assert isinstance(message["content"], str), "a list of parts is another dialect's"
        assert role != "system" or index == 0
        if role == "tool":
            assert open_calls.pop(message["tool_call_id"]) == message["tool_name"], "a result under another tool's name"
            continue
        assert not open_calls, "a call without its result right behind it"
        assert message["content"] or message.get("tool_calls") or message.get("images"), "an empty message"
        open_calls = {call["id"]: _name(call) for call in message.get("tool_calls", ())}
    assert not open_calls, "a call without its result at the end"


def _name(call: dict[str, Any]) -> str:
    assert isinstance(call["function"]["arguments"], dict), "arguments are an object, not its text"
    name: str = call["function"]["name"]
    return name
