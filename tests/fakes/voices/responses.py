"""OpenAI's Responses, as it is streamed: https://platform.openai.com/docs/api-reference/responses-streaming."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from tests.fakes.voices import Spend, sse, text_of

_ID = "resp_68af4030baa48193b0b43b4c2a176a1a0e6967589f080e78"
_RESPONSE: Mapping[str, Any] = {
    "id": _ID,
    "object": "response",
    "created_at": 1700000000,
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "model": "scripted-1",
    "output": [],
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "usage": None,
}
_INCOMPLETE: Mapping[str, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Finish reasons with which a reply is not complete."""


def _event(kind: str, number: int, fields: Mapping[str, Any]) -> bytes:
    return sse({"type": kind, "sequence_number": number, **fields}, kind)


@lru_cache(maxsize=16)
def _deltas(kind: str, number: int, where: tuple[tuple[str, Any], ...], pieces: tuple[str, ...]) -> tuple[bytes, ...]:
    fields = dict(where)
    return tuple(_event(kind, number + count, {**fields, "delta": piece}) for count, piece in enumerate(pieces))


class ResponsesVoice:
    """Items are numbered; the last one stays open for more of its kind, and is closed when another begins or the reply ends."""

    content_type = "text/event-stream"

    def __init__(self) -> None:
        self._number = 0
        self._items: list[dict[str, Any]] = []
        self._open = False
        self._said = ""  # in the open part
        self._kind = ""  # of the open part's events
        self._cited = 0

    def begin(self, usage: Spend | None) -> bytes:
        response = {**_RESPONSE, "status": "in_progress"}
        return self._send("response.created", response=response) + self._send("response.in_progress", response=response)

    def text(self, piece: str) -> bytes:
        opened = self._message()
        self._said += piece
        return opened + self._send("response.output_text.delta", **self._where(), delta=piece)

    def texts(self, pieces: tuple[str, ...]) -> Sequence[bytes]:
        return [self._message(), *self._say(pieces)]

    def thoughts(self, pieces: tuple[str, ...], *, key: str, signature: str) -> Sequence[bytes]:
        """Several in a row are paragraphs of one thought; a signature closes it. `key` reasoning_text: itself, no summary."""
        begun = self._thought(summed=key != "reasoning_text")
        said = self._say(pieces)
        if signature:
            self._items[-1]["encrypted_content"] = signature
        return [begun, *said, *([self._close()] if signature else [])]

    def redacted(self, data: str) -> bytes:
        return self._close() + self._add({"type": "reasoning", "summary": [], "encrypted_content": data}) + self._close()

    def call(self, name: str, pieces: Sequence[str], *, id: str, whole: bool) -> Sequence[bytes]:
        call = {"type": "function_call", "name": name, "call_id": id or f"call_{len(self._items)}", "arguments": ""}
        begun = self._close() + self._add(call)
        self._kind = "response.function_call_arguments"
        said = self._say(tuple(pieces))
        return [begun, *said, *([self._close()] if whole else [])]

    def cite(self, url: str, title: str) -> bytes:
        about = {"type": "url_citation", "url": url, "title": title, "start_index": 0, "end_index": len(self._said)}
        self._cited += 1
        event = "response.output_text.annotation.added"
        return self._message() + self._send(event, **self._where(), annotation=about, annotation_index=self._cited - 1)

    def value(self, value: Mapping[str, Any]) -> bytes:
        return sse(value, str(value.get("type", "")))

    def ping(self) -> bytes:
        return self._send("keepalive")

    def broken(self, message: str, code: str) -> bytes:
        return self._send("error", code=code, message=message, param=None)

    def end(self, finish: str | None, usage: Spend | None, *, done: bool) -> bytes:
        closed = self._close()
        if finish == "" or not done:
            return closed
        reason = _INCOMPLETE.get(finish or "")
        status = "incomplete" if reason else "completed"
        details = {"reason": reason} if reason else None
        response = {**_RESPONSE, "status": status, "incomplete_details": details, "output": self._items, "usage": _usage(usage)}
        return closed + self._send(f"response.{status}", response=response)

    @staticmethod
    def error(message: str, *, status: int, code: str | None, kind: str) -> str:
        return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})

    @staticmethod
    def models(names: Sequence[str]) -> Mapping[str, Any]:
        return {"object": "list", "data": [{"id": name, "object": "model", "created": 1, "owned_by": "openai"} for name in names]}

    @staticmethod
    def messages(body: Mapping[str, Any]) -> list[dict[str, Any]]:
        system = [{"role": "system", "content": body["instructions"]}] if body.get("instructions") else []
        return [*system, *filter(None, map(_message, body["input"]))]

    # --- events ----------------------------------------------------------------------------------------------------------------

    def _send(self, kind: str, **fields: Any) -> bytes:
        self._number += 1
        return _event(kind, self._number - 1, fields)

    def _where(self) -> dict[str, Any]:
        item = self._items[-1]
        where = {"output_index": len(self._items) - 1, "item_id": item["id"]}
        match item["type"]:
            case "message":
                return {**where, "content_index": 0}
            case "reasoning" if "content" in item:
                return {**where, "content_index": len(item["content"])}
            case "reasoning":
                return {**where, "summary_index": len(item["summary"])}
        return where

    def _say(self, pieces: tuple[str, ...]) -> Sequence[bytes]:
        events = _deltas(f"{self._kind}.delta", self._number, tuple(self._where().items()), pieces)
        self._number += len(pieces)
        self._said += "".join(pieces)
        return events

    def _is_open(self, kind: str) -> bool:
        return self._open and self._items[-1]["type"] == kind

    def _add(self, item: dict[str, Any]) -> bytes:
        item["id"] = f"{item['type'][:3]}_{len(self._items):04x}"
        self._items.append(item)
        self._open, self._said, self._kind, self._cited = True, "", "", 0
        return self._send("response.output_item.added", output_index=len(self._items) - 1, item={**item, "status": "in_progress"})

    def _message(self) -> bytes:
        """An open message."""
        if self._is_open("message"):
            return b""
        opened = self._close() + self._add({"type": "message", "role": "assistant", "content": []})
        self._kind = "response.output_text"
        return opened + self._send("response.content_part.added", **self._where(), part=_output(""))

    def _thought(self, *, summed: bool) -> bytes:
        """An open paragraph of a thought."""
        if self._is_open("reasoning"):
            opened = self._end_paragraph()
        else:
            kind = {} if summed else {"content": list[Any]()}
            opened = self._close() + self._add({"type": "reasoning", "summary": [], **kind, "encrypted_content": None})
        self._kind = "response.reasoning_summary_text" if summed else "response.reasoning_text"
        self._said = ""
        if not summed:
            return opened
        return opened + self._send("response.reasoning_summary_part.added", **self._where(), part=_summary(""))

    def _end_paragraph(self) -> bytes:
        item, where = self._items[-1], self._where()
        ended = self._send(f"{self._kind}.done", **where, text=self._said)
        if "content" in item:
            item["content"].append({"type": "reasoning_text", "text": self._said})
            return ended
        item["summary"].append(_summary(self._said))
        return ended + self._send("response.reasoning_summary_part.done", **where, part=_summary(self._said))

    def _close(self) -> bytes:
        """End the open item, if there is one."""
        if not self._open:
            return b""
        item, where, ended = self._items[-1], self._where(), b""
        if item["type"] == "message":
            item["content"] = [_output(self._said)]
            ended = self._send("response.output_text.done", **where, text=self._said, logprobs=[])
            ended += self._send("response.content_part.done", **where, part=_output(self._said))
        elif item["type"] == "function_call":
            item["arguments"] = self._said
            ended = self._send("response.function_call_arguments.done", **where, name=item["name"], arguments=self._said)
        elif self._kind:
            ended = self._end_paragraph()
        item["status"], self._open = "completed", False
        return ended + self._send("response.output_item.done", output_index=len(self._items) - 1, item=item)


def _output(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _summary(text: str) -> dict[str, Any]:
    return {"type": "summary_text", "text": text}


def _usage(spend: Spend | None) -> dict[str, Any] | None:
    if spend is None:
        return None
    return {
        "input_tokens": spend.input,
        "input_tokens_details": {"cached_tokens": spend.cached, "cache_write_tokens": 0},
        "output_tokens": spend.output,
        "output_tokens_details": {"reasoning_tokens": spend.reasoning},
        "total_tokens": spend.input + spend.output,
    }


def _message(item: Mapping[str, Any]) -> dict[str, Any]:
    """Empty for a thought."""
    match item["type"]:
        case "message":
            return {**item, "content": text_of(item["content"])}
        case "function_call":
            return {**item, "role": "assistant", "content": ""}
        case "function_call_output":
            return {**item, "role": "tool", "content": text_of(item["output"])}
    return {}
