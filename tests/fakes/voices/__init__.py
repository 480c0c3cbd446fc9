"""What the pieces of a scripted reply become on the wire: one `Voice` per dialect, chosen by the path of the request.

To add a dialect: a module beside chat.py with a class that keeps this Protocol, and its line in by_path.py. Steps
(model_script.py), rules (model_rules.py) and the server then speak it, too. What a voice has no word for it leaves out (`b""`, no
chunks).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from attrs import frozen


@frozen(kw_only=True)
class Spend:
    """The usage to report."""

    input: int = 10
    output: int = 5
    cached: int = 0
    reasoning: int = 0


class Voice(Protocol):
    """One reply: made for it without arguments, called in the order in which its pieces are said; it numbers, opens and closes the
    parts as its dialect does. What it gives are chunks of a chunked HTTP body (`sse`, `ndjson`), one for each piece.

    `texts` is what benchmarks use: keep what was encoded (`lru_cache`, as chat.py does), by pieces and whatever else is in them.
    """

    content_type: str

    def begin(self, usage: Spend | None) -> bytes:
        """What comes before any piece. Not called in a reply that has `role=False`: then the first piece begins it."""

    def text(self, piece: str) -> bytes:
        """One piece of text, not kept."""

    def texts(self, pieces: tuple[str, ...]) -> Sequence[bytes]:
        """Many pieces of text."""

    def thoughts(self, pieces: tuple[str, ...], *, key: str, signature: str) -> Sequence[bytes]:
        """Reasoning. `key`: the field it comes in, where hosts differ. `signature`: what seals it, if not empty."""

    def redacted(self, data: str) -> bytes:
        """Reasoning that only the vendor can read."""

    def call(self, name: str, pieces: Sequence[str], *, id: str, whole: bool) -> Sequence[bytes]:
        """A tool call, its arguments in pieces. Empty `id`: the voice makes one up. Not `whole`: pieces are missing at the end."""

    def cite(self, url: str, title: str) -> bytes:
        """Where the text before it comes from."""

    def value(self, value: Mapping[str, Any]) -> bytes:
        """One event with this JSON value."""

    def ping(self) -> bytes:
        """A sign of life that says nothing."""

    def broken(self, message: str, code: str) -> bytes:
        """An error in the middle of the reply."""

    def end(self, finish: str | None, usage: Spend | None, *, done: bool) -> bytes:
        """The reply's end. `finish` in the words of Chat Completions (stop, length, tool_calls, content_filter; others as they
        are); None: as the pieces were, empty: not said. Not `done`: the very last event is missing."""

    @staticmethod
    def error(message: str, *, status: int, code: str | None, kind: str) -> str:
        """The body of an answer that is an error. `kind`: its type, in OpenAI's words or the vendor's own."""

    @staticmethod
    def models(names: Sequence[str]) -> Mapping[str, Any]:
        """The answer to the question which models there are."""

    @staticmethod
    def messages(body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The request's messages as Chat Completions has them: `role` system, user, assistant or tool (one for each tool result),
        `content` a str (the texts joined; what a tool result says), further fields as the dialect has them."""


def frame(payload: bytes) -> bytes:
    """One chunk of an HTTP/1.1 chunked body."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def sse(value: Mapping[str, Any], event: str = "") -> bytes:
    """One server-sent event, framed."""
    name = f"event: {event}\n" if event else ""
    return frame(f"{name}data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n".encode())


def ndjson(value: Mapping[str, Any]) -> bytes:
    """One line of JSON, framed."""
    return frame(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")


def text_of(content: Any) -> str:
    """The text of a message whose content is a text, or a list of parts of which some have a text."""
    if isinstance(content, str) or content is None:
        return content or ""
    return "".join(str(part.get("text") or "") for part in content)
