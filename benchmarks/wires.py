"""The dialects of model servers as the floors speak them, and what makes a daemon use such a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from attrs import frozen


@frozen(kw_only=True)
class Wire:
    """`said`: the text in one line of a reply's body, empty for lines that have none. `bar`: microseconds of CPU that the daemon
    may need for a token that did not come alone. `model`: its full name; `environment`: how a daemon is told of the port."""

    name: str
    path: str
    body: Callable[[str], Mapping[str, Any]]
    said: Callable[[bytes], str]
    bar: float
    model: str
    environment: Callable[[int], Mapping[str, str]]

    def post(self, prompt: str) -> bytes:
        """A streaming request as it goes over the wire."""
        body = msgspec.json.encode(self.body(prompt))
        head = f"POST {self.path} HTTP/1.1\r\nhost: bare\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        return head.encode() + body


def _user(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


# --- Chat Completions ------------------------------------------------------------------------------------------------------------


class _Delta(msgspec.Struct):
    content: str = ""


class _Choice(msgspec.Struct):
    delta: _Delta


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []


_chunk = msgspec.json.Decoder(_Chunk).decode


def _chat_said(line: bytes) -> str:
    return "".join([choice.delta.content for choice in _chunk(line[6:]).choices]) if line.startswith(b"data: {") else ""


def _openai(port: int, **more: str) -> Mapping[str, str]:
    return {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "OPENAI_API_KEY": "benchmark-key", **more}


CHAT = Wire(
    name="chat",
    path="/v1/chat/completions",
    body=lambda prompt: {"model": "scripted-1", "messages": _user(prompt), "stream": True},
    said=_chat_said,
    bar=15,
    model="openai/scripted-1",
    environment=_openai,
)

# --- Responses -------------------------------------------------------------------------------------------------------------------


class _Typed(msgspec.Struct):
    type: str
    delta: Any = None


_typed = msgspec.json.Decoder(_Typed).decode


def _responses_said(line: bytes) -> str:
    if not line.startswith(b"data: {"):
        return ""
    event = _typed(line[6:])
    return event.delta if event.type == "response.output_text.delta" else ""


RESPONSES = Wire(
    name="responses",
    path="/v1/responses",
    body=lambda prompt: {"model": "scripted-1", "input": [{"type": "message", **_user(prompt)[0]}], "stream": True},
    said=_responses_said,
    bar=15,
    model="openai/scripted-1",
    environment=lambda port: _openai(port, AGENTD_PROVIDERS_OPENAI_DIALECT="responses"),
)

# --- Messages --------------------------------------------------------------------------------------------------------------------


class _BlockDelta(msgspec.Struct):
    text: str = ""


class _BlockEvent(msgspec.Struct):
    delta: _BlockDelta | None = None


_block = msgspec.json.Decoder(_BlockEvent).decode


def _messages_said(line: bytes) -> str:
    delta = _block(line[6:]).delta if line.startswith(b"data: {") else None
    return delta.text if delta else ""


MESSAGES = Wire(
    name="anthropic",
    path="/v1/messages",
    body=lambda prompt: {"model": "scripted-1", "max_tokens": 1000, "messages": _user(prompt), "stream": True},
    said=_messages_said,
    bar=20,
    model="anthropic/scripted-1",
    environment=lambda port: {"ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}", "ANTHROPIC_API_KEY": "benchmark-key"},
)

# --- Ollama ----------------------------------------------------------------------------------------------------------------------


class _LineMessage(msgspec.Struct):
    content: str = ""


class _Line(msgspec.Struct):
    message: _LineMessage


_line = msgspec.json.Decoder(_Line).decode

OLLAMA = Wire(
    name="ollama",
    path="/api/chat",
    body=lambda prompt: {"model": "scripted-1", "messages": _user(prompt)},
    said=lambda line: _line(line).message.content if line.startswith(b"{") else "",
    bar=20,
    model="ollama/llama3.2",
    environment=lambda port: {"OLLAMA_HOST": f"127.0.0.1:{port}"},
)

WIRES = (CHAT, RESPONSES, MESSAGES, OLLAMA)
BY_NAME: Mapping[str, Wire] = {wire.name: wire for wire in WIRES}
