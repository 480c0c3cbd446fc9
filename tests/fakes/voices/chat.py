"""Chat Completions, as OpenAI streams them: https://platform.openai.com/docs/api-reference/chat-streaming."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from tests.fakes.voices import Spend, frame, text_of

_HEAD = '"id":"chatcmpl-5d4f1c3b2a","object":"chat.completion.chunk","created":1700000000,"model":"scripted-1"'


def _event(value: Mapping[str, Any]) -> bytes:
    fields = json.dumps(value, ensure_ascii=False, separators=(",", ":"))[1:]
    return frame(f"data: {{{_HEAD},{fields}\n\n".encode())


def _delta(delta: Mapping[str, Any]) -> bytes:
    return _event({"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]})


@lru_cache(maxsize=16)
def _encoded(key: str, pieces: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(_delta({key: piece}) for piece in pieces)


class ChatVoice:
    """Calls have an index of their own; text and reasoning are fields of the same message."""

    content_type = "text/event-stream"

    def __init__(self) -> None:
        self._calls = 0

    def begin(self, usage: Spend | None) -> bytes:
        return _event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})

    def text(self, piece: str) -> bytes:
        return _delta({"content": piece})

    def texts(self, pieces: tuple[str, ...]) -> Sequence[bytes]:
        return _encoded("content", pieces)

    def thoughts(self, pieces: tuple[str, ...], *, key: str, signature: str) -> Sequence[bytes]:
        return _encoded(key, pieces)

    def redacted(self, data: str) -> bytes:
        return b""

    def call(self, name: str, pieces: Sequence[str], *, id: str, whole: bool) -> Sequence[bytes]:
        index = self._calls
        self._calls += 1
        head = {"index": index, "id": id or f"call_{index}", "type": "function", "function": {"name": name, "arguments": ""}}
        rest = [{"index": index, "function": {"arguments": piece}} for piece in pieces]
        return [_delta({"tool_calls": [delta]}) for delta in (head, *rest)]

    def cite(self, url: str, title: str) -> bytes:
        about = {"url": url, "title": title, "start_index": 0, "end_index": 0}
        return _delta({"annotations": [{"type": "url_citation", "url_citation": about}]})

    def value(self, value: Mapping[str, Any]) -> bytes:
        return frame(b"data: " + json.dumps(value).encode() + b"\n\n")

    def ping(self) -> bytes:
        return frame(b": ping\n\n")

    def broken(self, message: str, code: str) -> bytes:
        return self.value({"error": {"message": message, "code": code}})

    def end(self, finish: str | None, usage: Spend | None, *, done: bool) -> bytes:
        out = bytearray()
        if finish is None:
            finish = "tool_calls" if self._calls else "stop"
        if finish:
            out += _event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        if usage is not None:
            out += _event({"choices": [], "usage": _usage(usage)})
        if done:
            out += frame(b"data: [DONE]\n\n")
        return bytes(out)

    @staticmethod
    def error(message: str, *, status: int, code: str | None, kind: str) -> str:
        return json.dumps({"error": {"message": message, "type": kind, "code": code, "param": None}})

    @staticmethod
    def models(names: Sequence[str]) -> Mapping[str, Any]:
        return {"object": "list", "data": [{"id": name, "object": "model"} for name in names]}

    @staticmethod
    def messages(body: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [{**message, "content": text_of(message.get("content"))} for message in body["messages"]]


def _usage(spend: Spend) -> dict[str, Any]:
    return {
        "prompt_tokens": spend.input,
        "completion_tokens": spend.output,
        "total_tokens": spend.input + spend.output,
        "prompt_tokens_details": {"cached_tokens": spend.cached},
        "completion_tokens_details": {"reasoning_tokens": spend.reasoning},
    }
