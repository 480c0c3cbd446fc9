"""Ollama's own dialect, sans-IO: the bytes of a reply in any split -> deltas, and what its errors mean (the request:
ollama_request.py).

Theory of operation: a reply is lines of JSON, the last of which is `done` and has the usage. Text and thoughts are fields of one
message; tool calls come whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from agentd.ports import Prompt
from agentd.providers.catalog import ModelData
from agentd.providers.chat_errors import classify
from agentd.providers.decoding import Decoding
from agentd.providers.dialect import Listed, Rehearse
from agentd.providers.ollama_lines import LineReader
from agentd.providers.ollama_request import OllamaRequests
from agentwire.config_kinds import OLLAMA
from agentwire.errors import BadRequest, ProviderError, ProviderOverloaded
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


_lines = msgspec.json.Decoder(_Line)

_REASONS: Mapping[str, StopReason] = {"length": "length"}
"""Any other word means that the model stopped by itself."""


class OllamaDecoder(Decoding):
    """A `Decoder` (dialect.py)."""

    def __init__(self, who: str) -> None:
        super().__init__(who, LineReader())
        self._text: int | None = None
        self._thought: int | None = None

    def _event(self, event: bytes) -> bool:
        self.events += 1
        line = self._decoded(_lines, event, "line of a reply")
        if line.error is not None:
            raise refused(self._who, None, {"error": line.error})
        if line.message is not None:
            self._say(line.message)
        if line.done:
            self._usage = Usage(input=line.prompt_eval_count or 0, output=line.eval_count or 0)
            self._reason = _REASONS.get(line.done_reason or "", "end")
        return line.done

    def _say(self, message: _Message) -> None:
        if message.thinking:
            if self._thought is None:
                self._thought = self._start("reasoning")
            self._add(self._thought, message.thinking)
        if message.content:
            if self._text is None:
                self._text = self._start("text")
            self._add(self._text, message.content)
        for call in message.tool_calls or ():
            self._add(self._start("tool_call", call.function.name), _arguments(call.function.arguments))


def _arguments(raw: msgspec.Raw) -> str:
    """The object as it came; models that were trained otherwise put its text into a string, which hosts leave there."""
    text = bytes(raw).decode("utf-8", "replace")
    if text == "null":
        return "{}"
    return msgspec.json.decode(text, type=str) if text.startswith('"') else text


# --- errors --------------------------------------------------------------------------------------------------------------------

_MISSING = re.compile(r"model [\"']?([^\"']+?)[\"']? not found")
_BUSY = re.compile(r"server busy|maximum pending requests")
_NO_TOOLS = re.compile(r"does not support tools")


def refused(who: str, status: int | None, body: object, *, retry_after: float | None = None, name: str = "ollama") -> ProviderError:
    """See `Dialect.refused`; `name`: the provider's.

    Ollama says `{"error": "text"}`; from version 0.34 on the text may be the JSON of llama.cpp's own error.
    """
    said = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(said, str):
        return classify(who, status, body, retry_after=retry_after)
    if said.startswith("{"):
        with suppress(ValueError, RecursionError):
            return classify(who, status, json.loads(said), retry_after=retry_after)
    if status == 404 and (missing := _MISSING.search(said)):
        return BadRequest(f"{who} has no model {missing[1]}. Fetch it: agentctl model pull {name}/{missing[1]}")
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
    capabilities: list[str] = []


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

    def __init__(self, name: str = "ollama") -> None:
        """`name`: the provider's, for the command that fetches a model."""
        self._name = name
        self._requests = OllamaRequests()

    def encode(self, prompt: Prompt, data: ModelData) -> list[bytes]:
        return self._requests.encode(prompt, data)

    def decoder(self, who: str, prompt: Prompt, data: ModelData) -> OllamaDecoder:
        return OllamaDecoder(who)

    def refused(self, who: str, status: int | None, body: object, *, retry_after: float | None = None) -> ProviderError:
        return refused(who, status, body, retry_after=retry_after, name=self._name)

    def listed(self, body: bytes) -> Sequence[Listed]:
        return [Listed(name=entry.name, note=_note(entry)) for entry in _tags.decode(body).models]

    def rehearse(self) -> Rehearse:
        return _rehearse


_HEADERS: Final = {"content-type": "application/json", "accept": "application/x-ndjson", "accept-encoding": "identity"}


def _note(entry: _Entry) -> str:
    """As `3.2B Q4_K_M, 2.0 GB, up to 131,072 tokens, tools`: newer versions say what a model could. (Its context is what it is
    asked with: `num_ctx`.)"""
    about = entry.details or _Details()
    size = f"{entry.size / 1e9:.1f} GB" if entry.size else ""
    longest = f"up to {about.context_length:,} tokens" if about.context_length else ""
    able = [word for word in entry.capabilities if word != "completion"]
    return ", ".join(filter(None, (f"{about.parameter_size} {about.quantization_level}".strip(), size, longest, *able)))


async def _rehearse(http: httpx2.AsyncClient, base_url: str, key: str, headers: Mapping[str, str]) -> None:
    """A key is for Ollama behind a gate, and for ollama.com."""
    allowed = {"authorization": f"Bearer {key}"} if key else {}
    await http.post(base_url.rstrip("/") + OllamaDialect.path, headers={**_HEADERS, **allowed, **headers}, content=b"{}")
