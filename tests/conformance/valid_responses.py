"""What OpenAI's Responses takes for a valid request: https://platform.openai.com/docs/api-reference/responses/create, and the types
of its SDK."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

_CONTENT = {
    ("user", "input_text"): {"type", "text"},
    ("user", "input_image"): {"type", "image_url", "detail"},
    ("user", "input_file"): {"type", "filename", "file_data"},
    ("assistant", "output_text"): {"type", "text"},
}


def valid(body: Mapping[str, Any]) -> None:
    """Fails if the vendor would refuse it."""
    assert isinstance(body["model"], str)
    assert body["store"] is False
    assert body["input"], "there must be an item"
    for item in body["input"]:
        _CHECKS[item["type"]](item)
    _paired(body["input"])
    for item, after in pairwise([*body["input"], {"type": "nothing"}]):
        if item["type"] == "reasoning":
            led_to = after.get("role", after["type"])
            assert led_to in {"reasoning", "function_call", "assistant"}, "a thought that led to nothing"


def _paired(items: list[Mapping[str, Any]]) -> None:
    """Calls are answered before anything else is said to the model."""
    open_calls: list[str] = []
    for item in items:
        if item["type"] == "function_call":
            assert item["call_id"] not in open_calls
            open_calls.append(item["call_id"])
        elif item["type"] == "function_call_output":
            assert item["call_id"] in open_calls, "an output without its call before it"
            open_calls.remove(item["call_id"])
        elif item.get("role") == "user":
            assert not open_calls, "a call without its output"
    assert not open_calls, "a call without its output at the end"


def _message(item: Mapping[str, Any]) -> None:
    assert item.keys() == {"type", "role", "content"}
    assert item["content"], "an empty message"
    for part in item["content"]:
        assert part.keys() == _CONTENT[item["role"], part["type"]]
        assert all(part.values()), "an empty part"


def _call(item: Mapping[str, Any]) -> None:
    assert item.keys() == {"type", "call_id", "name", "arguments"}
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", item["name"])
    assert 0 < len(item["call_id"]) <= 64
    assert isinstance(item["arguments"], str)


def _output(item: Mapping[str, Any]) -> None:
    assert item.keys() == {"type", "call_id", "output"}
    if not isinstance(item["output"], str):
        _message({"type": "message", "role": "user", "content": item["output"]})


def _thought(item: Mapping[str, Any]) -> None:
    assert item.keys() == {"type", "id", "summary", "encrypted_content"}
    assert item["encrypted_content"], "nothing is stored: it is all that the vendor knows of it"
    assert all(part == {"type": "summary_text", "text": part["text"]} for part in item["summary"])


_CHECKS = {"message": _message, "function_call": _call, "function_call_output": _output, "reasoning": _thought}
