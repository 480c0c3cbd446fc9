"""OpenAI's Chat Completions dialect, sans-IO: the response's bytes in any split -> deltas (the request: chat_request.py).

Hosts differ from the original in many small ways; each tolerance below has the reason beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from agentd.ports import Stop
from agentd.providers.chat_errors import classify
from agentd.providers.decoding import Decoding
from agentwire.errors import ProviderDown, ProviderOverloaded
from agentwire.types import Citation, StopReason, Usage

_QUOTE = 500  # characters of a source's own words


class _Function(Struct, gc=False):
    name: str | None = None
    arguments: Any = None  # a string; some hosts send the object itself


class _CallDelta(Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _UrlCitation(Struct, gc=False):
    url: str | None = None
    title: str | None = None
    content: str | None = None  # OpenRouter


class _Annotation(Struct, gc=False):
    type: str = ""
    url_citation: _UrlCitation | None = None


class _DeltaBody(Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None  # DeepSeek, Qwen, llama.cpp, vLLM
    reasoning: str | None = None  # OpenRouter, Ollama
    refusal: str | None = None
    tool_calls: list[_CallDelta] | None = None
    annotations: list[_Annotation] | None = None


class _Choice(Struct, gc=False):
    delta: _DeltaBody | None = None
    message: _DeltaBody | None = None  # some hosts end with the whole message, and have the sources only there
    finish_reason: str | None = None
    index: int | None = 0


class _InputDetails(Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(Struct, gc=False):
    reasoning_tokens: int | None = None


class _Usage(Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    prompt_cache_hit_tokens: int | None = None  # DeepSeek


class _Chunk(Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


_chunks = msgspec.json.Decoder(_Chunk)

_REASONS: Mapping[str, StopReason] = {
    "stop": "end",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",  # Mistral
    "content_filter": "refused",
}
"""Any other word means that the model stopped by itself ("eos", "end_turn", ...)."""

_BROKEN: Mapping[str, type[ProviderDown]] = {
    "error": ProviderDown,  # OpenRouter, when its upstream broke
    "abort": ProviderDown,  # vLLM
    "insufficient_system_resource": ProviderOverloaded,  # DeepSeek
}
"""Words for a reply that is not whole."""


class _Call:
    """A tool call under way: its part, the id it was begun with, and, if that is empty, what was `said` of its arguments."""

    __slots__ = ("id", "part", "said")

    def __init__(self, call_id: str | None, part: int) -> None:
        self.id = call_id
        self.part = part
        self.said = ""

    @property
    def whole(self) -> bool:
        """Its arguments are: what follows under its index is another call (Gemini's have no ids, and all the same index)."""
        try:
            return bool(self.said) and isinstance(json.loads(self.said), dict)
        except ValueError:
            return False


class ChatDecoder(Decoding):
    """A `Decoder` (dialect.py) of one streamed reply. `seal`: what goes with its reasoning, if that is wanted back.

    It is `complete` with its finish reason; `events` are its chunks, comments are none.
    """

    def __init__(self, who: str = "The model server", seal: Mapping[str, Any] | None = None) -> None:
        super().__init__(who)
        self._seal = seal
        self._text: int | None = None
        self._thought: int | None = None
        self._calls: dict[int, _Call] = {}
        self._cited: set[Citation] = set()
        self._refused = False

    def _event(self, event: bytes) -> bool:
        if event == b"[DONE]":
            return self.complete  # without a finish reason it is a cut
        self.events += 1
        chunk = self._decoded(_chunks, event, "chat completion chunk")
        if chunk.choices:
            for choice in chunk.choices:
                if not choice.index and self._reason is None:
                    self._choice(choice)
        elif chunk.error is not None or chunk.choices is None:
            self._check_error(chunk, event)
        if chunk.usage is not None:
            self._usage = _usage(chunk.usage)
        return False

    def _stop(self) -> Stop:
        stop = super()._stop()
        return Stop("refused") if self._refused else stop

    def _check_error(self, chunk: _Chunk, event: bytes) -> None:
        """Errors come as `{"error": ...}`, or, from old vLLM, as the bare error object."""
        if chunk.error is not None:
            raise classify(self._who, None, {"error": chunk.error})
        whole = json.loads(event.decode("utf-8", "replace"))
        if whole.get("object") == "error" or ("message" in whole and "code" in whole):
            raise classify(self._who, None, whole)

    def _choice(self, choice: _Choice) -> None:
        if (delta := choice.delta) is not None:
            if thought := delta.reasoning_content or delta.reasoning:
                self._think(thought)
            if text := delta.content or delta.refusal:
                if self._text is None:
                    self._text = self._start("text")
                self._add(self._text, text)
                self._refused = self._refused or bool(delta.refusal)
            if delta.tool_calls:
                for call in delta.tool_calls:
                    self._call(call)
            if delta.annotations:
                self._cite(delta.annotations)
        if choice.message is not None and choice.message.annotations:
            self._cite(choice.message.annotations)
        if choice.finish_reason:
            if broken := _BROKEN.get(choice.finish_reason):
                raise broken(f"{self._who} broke off the reply: {choice.finish_reason.replace('_', ' ')}")
            self._reason = _REASONS.get(choice.finish_reason, "end")

    def _think(self, thought: str) -> None:
        if self._thought is None:
            self._thought = self._start("reasoning")
            if self._seal is not None:
                self._reply.seal(self._thought, dict(self._seal))
        self._add(self._thought, thought)

    def _cite(self, annotations: Sequence[_Annotation]) -> None:
        """Behind the text so far; what comes after is another part. Some hosts send with each chunk all that they sent before."""
        for annotation in annotations:
            about = annotation.url_citation
            if about is None or not about.url:
                continue
            citation = Citation(url=about.url, title=about.title or "", quote=(about.content or "")[:_QUOTE])
            if citation not in self._cited:
                self._cited.add(citation)
                self._reply.cite(citation)
                self._text = None

    def _call(self, delta: _CallDelta) -> None:
        """Calls are told apart by index. Id and name belong to the first delta only, but some hosts repeat them, and some send
        several whole calls under one index or none: a named delta with another id, or without index, is another call."""
        function = delta.function or _Function()
        index = delta.index
        if index is None:
            index = len(self._calls) if function.name else len(self._calls) - 1
        call = self._calls.get(index)
        if call is None or (function.name and (delta.id != call.id if delta.id else call.whole)):
            call = self._calls[index] = _Call(delta.id, self._start("tool_call", function.name or ""))
        arguments = function.arguments
        if arguments is not None and not isinstance(arguments, str):
            arguments = msgspec.json.encode(arguments).decode()
        if arguments:
            self._add(call.part, arguments)
            if not call.id:
                call.said += arguments

    def _tolerated(self, value: Any) -> Any:
        """Mistral's contents in pieces, numbers as ids, fractions of tokens, empty lists for no details."""
        if not isinstance(value, dict):
            return value
        for choice in filter(_is_object, _listed(value.get("choices"))):
            for body in filter(_is_object, (choice.get("delta"), choice.get("message"))):
                _flatten(body)
        if isinstance(usage := value.get("usage"), dict):
            value["usage"] = {name: _counted(count) for name, count in usage.items()}
        return value


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _flatten(body: dict[str, Any]) -> None:
    if isinstance(pieces := body.get("content"), list):
        thoughts = [inner for piece in filter(_is_object, pieces) for inner in _listed(piece.get("thinking"))]
        body["content"], thought = _joined(pieces), _joined(thoughts)
        if thought:
            body["reasoning_content"] = thought
    for call in filter(_is_object, _listed(body.get("tool_calls"))):
        if call.get("id") is not None:
            call["id"] = str(call["id"])


def _joined(pieces: list[Any]) -> str:
    return "".join([piece["text"] for piece in filter(_is_object, pieces) if isinstance(piece.get("text"), str)])


def _counted(count: Any) -> Any:
    if isinstance(count, dict):
        return {name: _counted(inner) for name, inner in count.items()}
    return int(count) if isinstance(count, float) else None if isinstance(count, list) else count


def _usage(usage: _Usage) -> Usage:
    inputs, outputs = usage.prompt_tokens_details, usage.completion_tokens_details
    return Usage(
        input=usage.prompt_tokens or 0,
        output=usage.completion_tokens or 0,
        cached=(inputs and inputs.cached_tokens) or usage.prompt_cache_hit_tokens or 0,
        written=(inputs and inputs.cache_write_tokens) or 0,
        reasoning=(outputs and outputs.reasoning_tokens) or 0,
    )
