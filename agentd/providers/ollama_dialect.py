"""Ollama's own dialect, sans-IO: the bytes of a reply in any split -> deltas, and what its errors mean (the request:
ollama_request.py).

Theory of operation: a reply is lines of JSON, the last of which is `done` and has the usage. Text and thoughts are fields of one
message; tool calls come whole. All that one `feed` brought becomes at most one `PartText` per part: the caller pays per read, not
per token. A reply without its last line was cut off.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from agentd.ports import Delta, Prompt, Spent, Stop
from agentd.providers.catalog import ModelData
from agentd.providers.chat_errors import classify
from agentd.providers.dialect import Listed, Rehearse
from agentd.providers.ollama_lines import LineReader, LineTooLong
from agentd.providers.ollama_request import OllamaRequests
from agentd.providers.reply_parts import ReplyParts
from agentwire.config_kinds import OLLAMA
from agentwire.errors import BadRequest, ProviderDown, ProviderError, ProviderOverloaded
from agentwire.types import StopReason, Usage

if TYPE_CHECKING:
    import httpx2

# --- the reply -----------------------------------------------------------------------------------------------------------------


class _Function(Struct, gc=False):
    name: str = ""
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


class _Call(Struct, gc=False):
    function: _Function


class _Message(Struct, gc=False):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[_Call] | None = None


class _Line(Struct, gc=False):
    message: _Message | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Line).decode

_REASONS: Mapping[str, StopReason] = {"length": "length"}
"""Any other word means that the model stopped by itself."""


class OllamaDecoder:
    """A `Decoder` (dialect.py)."""

    def __init__(self, who: str) -> None:
        self.finished = False
        self.events = 0
        self.failed: ProviderError | None = None
        self._who = who
        self._reader = LineReader()
        self._parts = ReplyParts()
        self._text: int | None = None
        self._thought: int | None = None
        self._called = False
        self._last: _Line | None = None

    @property
    def complete(self) -> bool:
        return self._last is not None

    def feed(self, data: bytes) -> list[Delta]:
        if self.failed is not None:
            raise self.failed
        try:
            return self._take(self._reader.feed(data))
        except LineTooLong as error:
            return self._take(error.lines, ProviderDown(f"{self._who} sent {error}"))

    def finish(self) -> list[Delta]:
        deltas = [] if self.finished else self.feed(b"\n")  # some proxies take the last one away
        if self.failed is not None:
            raise self.failed
        if not self.finished:
            raise ProviderDown(f"{self._who} cut the reply off before its end")
        return deltas

    def _take(self, lines: list[bytes], broken: ProviderError | None = None) -> list[Delta]:
        """The deltas of `lines`, after which the stream is `broken`. What comes after the last line is nobody's business."""
        if self.finished:
            return []
        for line in lines:
            self.events += 1
            try:
                self._line(line)
            except ProviderError as error:
                broken = error
                break
            if self._last is not None:
                broken = None
                break
        self.failed = broken
        return self._flush()

    def _flush(self) -> list[Delta]:
        deltas = self._parts.take()
        if (last := self._last) is not None:
            self.finished = True
            deltas.append(Spent(Usage(input=last.prompt_eval_count or 0, output=last.eval_count or 0)))
            reason = _REASONS.get(last.done_reason or "", "end")
            deltas.append(Stop("tool_calls" if reason == "end" and self._called else reason))
        return deltas

    def _line(self, data: bytes) -> None:
        try:
            line = _decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            line = self._mend(data)
        if line.error is not None:
            raise refused(self._who, None, {"error": line.error})
        if line.message is not None:
            self._say(line.message)
        elif not line.done:
            raise self._garbage(data)
        if line.done:
            self._last = line

    def _say(self, message: _Message) -> None:
        if message.thinking:
            if self._thought is None:
                self._thought = self._parts.start("reasoning")
            self._parts.add(self._thought, message.thinking)
        if message.content:
            if self._text is None:
                self._text = self._parts.start("text")
            self._parts.add(self._text, message.content)
        for call in message.tool_calls or ():
            self._called = True
            self._parts.add(self._parts.start("tool_call", call.function.name), _arguments(call.function.arguments))

    def _mend(self, data: bytes) -> _Line:
        """Invalid UTF-8 and lone surrogates are replaced; what is still no such line then is garbage."""
        try:
            value = json.loads(data.decode("utf-8", "replace"))
            return _decode(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
        except (ValueError, msgspec.MsgspecError, RecursionError):
            raise self._garbage(data) from None

    def _garbage(self, data: bytes) -> ProviderDown:
        shown = data[:80].decode("utf-8", "replace")
        return ProviderDown(f"{self._who} sent a line that is no part of a reply: {shown!r}")


def _arguments(raw: msgspec.Raw) -> str:
    """The object as it came; models that were trained otherwise put its text into a string, which hosts leave there."""
    text = bytes(raw).decode("utf-8", "replace")
    return msgspec.json.decode(text, type=str) if text.startswith('"') else text


# --- errors --------------------------------------------------------------------------------------------------------------------

_MISSING = re.compile(r"model [\"']?([^\"']+?)[\"']? not found")
_BUSY = re.compile(r"server busy|maximum pending requests")
_NO_TOOLS = re.compile(r"does not support tools")


def refused(who: str, status: int | None, body: object, *, retry_after: float | None = None) -> ProviderError:
    """See `Dialect.refused`. Ollama says `{"error": "text"}`; from 0.34 on the text may be the JSON of llama.cpp's own error."""
    said = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(said, str):
        return classify(who, status, body, retry_after=retry_after)
    if said.startswith("{"):
        with suppress(ValueError, RecursionError):
            return classify(who, status, json.loads(said), retry_after=retry_after)
    if status == 404 and (missing := _MISSING.search(said)):
        return BadRequest(f"{who} has no model {missing[1]}. Fetch it: agentctl model pull ollama/{missing[1]}")
    if _BUSY.search(said):
        return ProviderOverloaded(f"{who} has too much to do: {said}", retry_after=retry_after)
    if status == 400 and _NO_TOOLS.search(said):
        return BadRequest(f'{who} answered 400: {said}. Set tools = "emulated" for this model in the configuration.')
    return classify(who, status, body, retry_after=retry_after)


# --- the dialect ---------------------------------------------------------------------------------------------------------------


class _Details(Struct):
    parameter_size: str = ""
    quantization_level: str = ""
    context_length: int = 0


class _Entry(Struct):
    name: str
    size: int = 0
    details: _Details | None = None


class _Tags(Struct):
    models: list[_Entry]


_tags = msgspec.json.Decoder(_Tags)


class OllamaDialect:
    """A `Dialect` (dialect.py). There is no SDK of the vendor's among ours: the head of its requests is a plain one."""

    base: Final = OLLAMA
    keyed: Final = False
    path: Final = "/api/chat"
    models_path: Final = "/api/tags"
    content_types: Final = ("application/x-ndjson", "application/jsonl", "text/plain", "application/octet-stream", "")
    """Proxies give it vague ones, or none."""

    def __init__(self) -> None:
        self._requests = OllamaRequests()

    def encode(self, prompt: Prompt, data: ModelData) -> list[bytes]:
        return self._requests.encode(prompt, data)

    def decoder(self, who: str, prompt: Prompt, data: ModelData) -> OllamaDecoder:
        return OllamaDecoder(who)

    def refused(self, who: str, status: int | None, body: object, *, retry_after: float | None = None) -> ProviderError:
        return refused(who, status, body, retry_after=retry_after)

    def listed(self, body: bytes) -> Sequence[Listed]:
        return [
            Listed(name=entry.name, context=entry.details.context_length if entry.details else 0, note=_note(entry))
            for entry in _tags.decode(body).models
        ]

    def rehearse(self) -> Rehearse:
        return _rehearse


_HEADERS: Final = {"content-type": "application/json", "accept": "application/x-ndjson", "accept-encoding": "identity"}


def _note(entry: _Entry) -> str:
    """As `3.2B Q4_K_M, 2.0 GB`."""
    about = entry.details or _Details()
    size = f"{entry.size / 1e9:.1f} GB" if entry.size else ""
    return ", ".join(filter(None, (f"{about.parameter_size} {about.quantization_level}".strip(), size)))


async def _rehearse(http: httpx2.AsyncClient, base_url: str, key: str, headers: Mapping[str, str]) -> None:
    """A key is for Ollama behind a gate, and for ollama.com."""
    allowed = {"authorization": f"Bearer {key}"} if key else {}
    await http.post(base_url.rstrip("/") + OllamaDialect.path, headers={**_HEADERS, **allowed, **headers}, content=b"{}")
