"""What OpenAI's Responses refuses in the input of a request, as far as it is known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

_CONTENT = {"user": {"input_text", "input_image", "input_file"}, "assistant": {"output_text"}}


def check(body: Mapping[str, Any]) -> None:
    """Raises AssertionError unless calls have their outputs and the reverse, thoughts lead to something, and nothing is empty."""
    items = body["input"]
    for item in items:
        _CHECKS[item["type"]](item)
    calls = [item["call_id"] for item in items if item["type"] == "function_call"]
    outputs = [item["call_id"] for item in items if item["type"] == "function_call_output"]
    assert len(set(calls)) == len(calls)
    assert sorted(calls) == sorted(outputs), "calls without their outputs, or outputs without their calls"
    for call in calls:
        assert _place(items, "function_call", call) < _place(items, "function_call_output", call)
    for item, after in pairwise([*items, {"type": "nothing"}]):
        if item["type"] == "reasoning":
            assert after["type"] in {"reasoning", "function_call"} or after.get("role") == "assistant", after


def _place(items: list[Mapping[str, Any]], kind: str, call: str) -> int:
    return next(index for index, item in enumerate(items) if item["type"] == kind and item["call_id"] == call)


def _message(item: Mapping[str, Any]) -> None:
    assert item["content"]
    for part in item["content"]:
        assert part["type"] in _CONTENT[item["role"]]
        assert part.get("text") or part.get("image_url") or (part.get("file_data") and part.get("filename"))


def _call(item: Mapping[str, Any]) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", item["name"])
    assert 0 < len(item["call_id"]) <= 64
    assert isinstance(item["arguments"], str)


def _output(item: Mapping[str, Any]) -> None:
    assert item["call_id"]
    assert isinstance(item["output"], str)


def _thought(item: Mapping[str, Any]) -> None:
    assert item["id"]
    assert item["encrypted_content"], "nothing is stored: it is all that the vendor knows of it"
    assert all(part == {"type": "summary_text", "text": part["text"]} for part in item["summary"])


_CHECKS = {"message": _message, "function_call": _call, "function_call_output": _output, "reasoning": _thought}
