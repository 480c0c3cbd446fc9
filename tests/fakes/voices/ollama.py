"""Ollama's own /api/chat: a line of JSON for each piece (its docs/api.md, and what its server writes)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from tests.fakes.voices import Spend, frame, ndjson

_HEAD = '{"model":"scripted-1","created_at":"2026-08-21T18:48:22.385406455Z","message":{"role":"assistant",'


def _line(message: Mapping[str, Any], end: str = '},"done":false}') -> bytes:
    fields = json.dumps(message, ensure_ascii=False, separators=(",", ":"))[1:-1]
    return frame(f"{_HEAD}{fields}{end}\n".encode())


@lru_cache(maxsize=16)
def _encoded(key: str, pieces: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(_line({"content": "", key: piece}) for piece in pieces)


class OllamaVoice:
    """Calls come whole: one that is not valid JSON or misses pieces is never said."""

    content_type = "application/x-ndjson"

    def __init__(self) -> None:
        self._calls = 0

    def begin(self, usage: Spend | None) -> bytes:
        return b""

    def text(self, piece: str) -> bytes:
        return _line({"content": piece})

    def texts(self, pieces: tuple[str, ...]) -> Sequence[bytes]:
        return _encoded("content", pieces)

    def thoughts(self, pieces: tuple[str, ...], *, key: str, signature: str) -> Sequence[bytes]:
        return _encoded("thinking", pieces)

    def redacted(self, data: str) -> bytes:
        return b""

    def call(self, name: str, pieces: Sequence[str], *, id: str, whole: bool) -> Sequence[bytes]:
        with suppress(ValueError):
            if whole:
                function = {"index": self._calls, "name": name, "arguments": json.loads("".join(pieces))}
                self._calls += 1
                return [_line({"content": "", "tool_calls": [{"id": id or f"call_{self._calls}", "function": function}]})]
        return []

    def cite(self, url: str, title: str) -> bytes:
        return b""

    def value(self, value: Mapping[str, Any]) -> bytes:
        return ndjson(value)

    def ping(self) -> bytes:
        return frame(b"\n")

    def broken(self, message: str, code: str) -> bytes:
        return ndjson({"error": message})

    def end(self, finish: str | None, usage: Spend | None, *, done: bool) -> bytes:
        if not done:
            return b""
        reason = {None: "stop", "tool_calls": "stop"}.get(finish, finish)
        spent = usage and {
            "prompt_eval_count": usage.input,
            "prompt_eval_duration": 1,
            "eval_count": usage.output,
            "eval_duration": 1,
        }
        fields = {**({"done_reason": reason} if reason else {}), "total_duration": 1, "load_duration": 1, **(spent or {})}
        return _line({"content": ""}, f'}},"done":true,{json.dumps(fields)[1:]}')

    @staticmethod
    def error(message: str, *, status: int, code: str | None, kind: str) -> str:
        return json.dumps({"error": "the input length exceeds the context length" if code and "context" in code else message})

    @staticmethod
    def models(names: Sequence[str]) -> Mapping[str, Any]:
        details = {"format": "gguf", "family": "llama", "parameter_size": "3.2B", "quantization_level": "Q4_K_M"}
        more = {"modified_at": "2026-08-21T18:48:22Z", "size": 2019393189, "digest": "a80c4f17acd5", "details": details}
        return {"models": [{"name": name, "model": name, **more} for name in names]}

    @staticmethod
    def messages(body: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [{**message, "content": message.get("content") or ""} for message in body["messages"]]
