"""Messages, as Anthropic streams them: https://platform.claude.com/docs/en/build-with-claude/streaming."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from tests.fakes.voices import Spend, sse, text_of

_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_REASONS: Mapping[str, str] = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


def _event(kind: str, **fields: Any) -> bytes:
    return sse({"type": kind, **fields}, kind)


def _delta(index: int, kind: str, **fields: Any) -> bytes:
    return _event("content_block_delta", index=index, delta={"type": kind, **fields})


@lru_cache(maxsize=16)
def _encoded(index: int, key: str, pieces: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(_delta(index, f"{key}_delta", **{key: piece}) for piece in pieces)


class MessagesVoice:
    """Every part is a block, begun before its first piece and ended by whatever comes next."""

    content_type = "text/event-stream; charset=utf-8"

    def __init__(self) -> None:
        self._begun = self._called = False
        self._blocks = 0
        self._open = ""  # the kind of the block that is not ended yet

    @property
    def _index(self) -> int:
        return self._blocks - 1

    def begin(self, usage: Spend | None) -> bytes:
        self._begun = True
        spent = usage or Spend(input=0, output=0)
        message: dict[str, Any] = {
            "id": "msg_4QpJur2dWWDjF6C758FbBw5vm12BaVipnK",
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": "scripted-1",
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _input(spent) | {"output_tokens": min(1, spent.output)},
        }
        return _event("message_start", message=message)

    def _block(self, kind: str, **fields: Any) -> bytes:
        """Ends the open block and begins another."""
        out = b"" if self._begun else self.begin(None)
        out += self._close()
        self._blocks += 1
        self._open = kind
        return out + _event("content_block_start", index=self._index, content_block={"type": kind, **fields})

    def _close(self) -> bytes:
        ended = _event("content_block_stop", index=self._index) if self._open else b""
        self._open = ""
        return ended

    def _within(self, kind: str, **fields: Any) -> bytes:
        """What begins such a block, if none is open."""
        return b"" if self._open == kind else self._block(kind, **fields)

    def text(self, piece: str) -> bytes:
        return self._within("text", text="") + _delta(self._index, "text_delta", text=piece)

    def texts(self, pieces: tuple[str, ...]) -> Sequence[bytes]:
        return _after(self._within("text", text=""), _encoded(self._index, "text", pieces))

    def thoughts(self, pieces: tuple[str, ...], *, key: str, signature: str) -> Sequence[bytes]:
        chunks = _after(self._within("thinking", thinking="", signature=""), _encoded(self._index, "thinking", pieces))
        if not signature:
            return chunks
        return [*chunks, _delta(self._index, "signature_delta", signature=signature) + self._close()]

    def redacted(self, data: str) -> bytes:
        return self._block("redacted_thinking", data=data) + self._close()

    def call(self, name: str, pieces: Sequence[str], *, id: str, whole: bool) -> Sequence[bytes]:
        self._called = True
        head = self._block("tool_use", id=id or f"toolu_{self._blocks}", name=name, input={})
        deltas = [_delta(self._index, "input_json_delta", partial_json=piece) for piece in ("", *pieces)]
        return [head, *deltas, *([self._close()] if whole else ())]

    def cite(self, url: str, title: str) -> bytes:
        citation = {"type": "web_search_result_location", "url": url, "title": title, "encrypted_index": "Eo8", "cited_text": ""}
        cited = self._within("text", text="", citations=[]) + _delta(self._index, "citations_delta", citation=citation)
        return cited + self._close()

    def value(self, value: Mapping[str, Any]) -> bytes:
        return sse(value, str(value.get("type", "message")))

    def ping(self) -> bytes:
        return _event("ping")

    def broken(self, message: str, code: str) -> bytes:
        return _event("error", error={"type": _type(code, 500), "message": message})

    def end(self, finish: str | None, usage: Spend | None, *, done: bool) -> bytes:
        out = (b"" if self._begun else self.begin(usage)) + self._close()
        if finish is None:
            finish = "tool_use" if self._called else "end_turn"
        if finish:
            delta = {"stop_reason": _REASONS.get(finish, finish), "stop_sequence": None}
            out += _event("message_delta", delta=delta, **({} if usage is None else {"usage": _usage(usage)}))
        return out + _event("message_stop") if done else out

    @staticmethod
    def error(message: str, *, status: int, code: str | None, kind: str) -> str:
        if code and "context" in code:
            message = f"prompt is too long: {message}"
        return json.dumps(
            {"type": "error", "error": {"type": _type(code or kind, status), "message": message}, "request_id": "req_1"}
        )

    @staticmethod
    def models(names: Sequence[str]) -> Mapping[str, Any]:
        entries = [
            {"type": "model", "id": name, "display_name": name.title(), "created_at": "2026-01-01T00:00:00Z", "lifecycle": "active"}
            for name in names
        ]
        return {"data": entries, "first_id": names[0], "has_more": False, "last_id": names[-1]} if names else {"data": []}

    @staticmethod
    def messages(body: Mapping[str, Any]) -> list[dict[str, Any]]:
        system = [{"role": "system", "content": text_of(body["system"])}] if body.get("system") else []
        return [*system, *(told for message in body["messages"] for told in _told(message))]


def _after(head: bytes, chunks: Sequence[bytes]) -> Sequence[bytes]:
    if not head:
        return chunks
    return [head + chunks[0], *chunks[1:]] if chunks else [head]


def _told(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    content = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    results = [block for block in blocks if block["type"] == "tool_result"]
    for result in results:
        yield {"role": "tool", "content": text_of(result.get("content")), "tool_call_id": result["tool_use_id"]}
    rest = [block for block in blocks if block["type"] != "tool_result"]
    if rest or not results:
        yield {"role": message["role"], "content": text_of(rest)}


def _input(spend: Spend) -> dict[str, int]:
    return {"input_tokens": spend.input - spend.cached, "cache_creation_input_tokens": 0, "cache_read_input_tokens": spend.cached}


def _usage(spend: Spend) -> dict[str, Any]:
    return _input(spend) | {"output_tokens": spend.output, "output_tokens_details": {"thinking_tokens": spend.reasoning}}


def _type(word: str, status: int) -> str:
    """An error's type in the vendor's words, from those of Chat Completions, or by the status."""
    if word in _TYPES.values():
        return word
    if "rate_limit" in word:
        return "rate_limit_error"
    if "quota" in word or "billing" in word:
        return "billing_error"
    return _TYPES.get(status, "api_error")
