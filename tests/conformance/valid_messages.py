"""What Anthropic's Messages takes for a valid request: https://platform.claude.com/docs/en/api/messages, and its pages on tool use,
thinking, prompt caching, vision and errors."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_THOUGHTS = frozenset(("thinking", "redacted_thinking"))
_MARKED = 4  # breakpoints of one request

Block = Mapping[str, Any]


def valid(body: Mapping[str, Any], *, prefill: bool = False) -> None:
    """Fails if the vendor would refuse it. `prefill`: it is for a model that goes on from a last assistant message."""
    assert isinstance(body["model"], str) and body["max_tokens"] >= 1 and body["stream"] is True
    turns = _combined(body["messages"])
    assert turns, "at least one message is required"
    assert turns[0][0] == "user", "the first message must use the user role"
    for role, blocks in turns:
        for block in blocks:
            _check_block(role, block)
    _check_pairs(turns)
    _check_thinking(body, turns)
    _check_end(body, turns, prefill=prefill)
    marks = sum("cache_control" in block for block in _markable(body, turns))
    assert marks <= _MARKED, "a maximum of 4 blocks with cache_control may be provided"


def _combined(messages: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Block]]]:
    """Consecutive messages of one role are a single turn."""
    turns: list[tuple[str, list[Block]]] = []
    for message in messages:
        assert message["role"] in {"user", "assistant"}
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
        assert blocks, "messages must have non-empty content"
        if turns and turns[-1][0] == message["role"]:
            turns[-1][1].extend(blocks)
        else:
            turns.append((message["role"], blocks))
    return turns


def _check_block(role: str, block: Block) -> None:
    match block["type"]:
        case "text":
            assert block["text"].strip(), "text content blocks must contain non-whitespace text"
        case "tool_use":
            assert role == "assistant" and isinstance(block["input"], dict)
            assert _ID.fullmatch(block["id"]) and _NAME.fullmatch(block["name"])
        case "tool_result":
            assert role == "user" and _ID.fullmatch(block["tool_use_id"])
            content = block.get("content")
            if isinstance(content, list):
                assert not block.get("is_error"), "all content must be type text if is_error is true"
                for inner in content:
                    assert inner["type"] in ("text", "image")
                    _check_block("user", inner)
            else:
                assert content is None or content.strip()
            assert content or not block.get("is_error"), "content cannot be empty if is_error is true"
        case "thinking":
            assert role == "assistant" and block["signature"] and isinstance(block["thinking"], str)
        case "redacted_thinking":
            assert role == "assistant" and block["data"]
        case "image" | "document":
            source = block["source"]
            assert role == "user" and source["type"] == "base64" and b64decode(source["data"], validate=True) is not None
            kinds = {"image/jpeg", "image/png", "image/gif", "image/webp"} if block["type"] == "image" else {"application/pdf"}
            assert source["media_type"] in kinds
        case kind:
            raise AssertionError(f"no such block: {kind}")


def _check_pairs(turns: Sequence[tuple[str, Sequence[Block]]]) -> None:
    """Each call is answered once, at the beginning of the next message; nothing else is answered."""
    asked: list[str] = []
    for _, blocks in turns:
        kinds = [block["type"] == "tool_result" for block in blocks]
        assert kinds == sorted(kinds, reverse=True), "tool results come first"
        told = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        assert sorted(told) == sorted(asked), "tool_use ids without tool_result blocks immediately after, or the reverse"
        asked = [block["id"] for block in blocks if block["type"] == "tool_use"]
        assert len(set(asked)) == len(asked), "tool_use ids must be unique"
    assert not asked


def _check_thinking(body: Mapping[str, Any], turns: Sequence[tuple[str, Sequence[Block]]]) -> None:
    for role, blocks in turns:
        if role == "assistant":
            assert blocks[-1]["type"] not in _THOUGHTS, "the final block in an assistant message cannot be thinking"
    thinking = body.get("thinking", {"type": "disabled"})
    if thinking["type"] == "disabled":
        return
    assert "temperature" not in body and turns[-1][0] == "user", "thinking forbids a temperature, and prefill"
    if thinking["type"] == "enabled":
        assert 1024 <= thinking["budget_tokens"] < body["max_tokens"]
        if any(block["type"] == "tool_result" for block in turns[-1][1]) and len(turns) > 1:
            assert turns[-2][1][0]["type"] in _THOUGHTS, "when thinking is enabled, a final assistant message must start with it"


def _check_end(body: Mapping[str, Any], turns: Sequence[tuple[str, Sequence[Block]]], *, prefill: bool) -> None:
    if turns[-1][0] == "assistant":
        assert prefill, "prefilling assistant messages is not supported for this model"
        last = turns[-1][1][-1]
        assert last["type"] == "text" and last["text"] == last["text"].rstrip(), "no trailing whitespace at the end"
        assert "format" not in body.get("output_config", {}), "no prefill with structured output"


def _markable(body: Mapping[str, Any], turns: Sequence[tuple[str, Sequence[Block]]]) -> Iterator[Block]:
    yield from body.get("tools", ())
    yield from body.get("system", ())
    for _, blocks in turns:
        for block in blocks:
            assert "cache_control" not in block or block["type"] not in _THOUGHTS
            yield block
