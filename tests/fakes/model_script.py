"""What a scripted model server says: replies as small frozen values, and how they become bytes of a chunked HTTP body.

A reply is a sequence of steps that are played in order. A step yields actions: bytes to send, seconds to wait, or an `Act`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum, auto
from functools import lru_cache
from typing import Any

from attrs import evolve, field, frozen


class Act(Enum):
    """What a server can do besides sending."""

    CLOSE = auto()  # end the connection (FIN)
    RESET = auto()  # end the connection (RST)
    HANG = auto()  # say nothing more until the client goes away


Action = bytes | float | Act


# --- bytes ---------------------------------------------------------------------------------------------------------------------

_HEAD = '"id":"chatcmpl-5d4f1c3b2a","object":"chat.completion.chunk","created":1700000000,"model":"scripted-1"'


def frame(payload: bytes) -> bytes:
    """One chunk of an HTTP/1.1 chunked body."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def event(value: Mapping[str, Any]) -> bytes:
    """One server-sent event with a chat completion chunk, framed."""
    fields = json.dumps(value, ensure_ascii=False, separators=(",", ":"))[1:]
    return frame(f"data: {{{_HEAD},{fields}\n\n".encode())


def _delta(delta: Mapping[str, Any]) -> bytes:
    return event({"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]})


@lru_cache(maxsize=16)
def _encoded(key: str, pieces: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(_delta({key: piece}) for piece in pieces)


@lru_cache(maxsize=16)
def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"w{number} " for number in range(count))


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\S+\s*|\s+", text))


def _paced(chunks: Sequence[bytes], delay: float) -> Iterator[Action]:
    if not delay:
        yield b"".join(chunks)
        return
    for chunk in chunks:
        yield delay
        yield chunk


# --- steps: each plays itself; `calls` is how many tool calls the reply has begun before ------------------------------------------


@frozen
class Say:
    """Text, one chunk per word, `delay` seconds before each. A schedule kept from the reply's beginning: no drift."""

    text: str
    delay: float = 0.0

    def pieces(self) -> tuple[str, ...]:
        return _words(self.text)

    def actions(self, calls: int) -> Iterator[Action]:
        return _paced(_encoded("content", self.pieces()), self.delay)


@frozen
class Tokens:
    """`count` numbered words, one chunk each, `delay` seconds before each. `stamp`: each is its time.monotonic_ns() instead."""

    count: int
    delay: float = 0.0
    stamp: bool = False

    def pieces(self) -> tuple[str, ...]:
        return _numbered(self.count)

    def actions(self, calls: int) -> Iterator[Action]:
        return self._stamped() if self.stamp else _paced(_encoded("content", self.pieces()), self.delay)

    def _stamped(self) -> Iterator[Action]:
        for _ in range(self.count):
            yield self.delay
            yield _delta({"content": f"{time.monotonic_ns()} "})


@frozen
class Think:
    """Reasoning, one chunk per word."""

    text: str
    delay: float = 0.0
    key: str = "reasoning_content"

    def actions(self, calls: int) -> Iterator[Action]:
        return _paced(_encoded(self.key, _words(self.text)), self.delay)


@frozen
class Call:
    """A tool call, its arguments in `pieces` chunks; calls of one reply are parallel calls. `cut`: only so many of the pieces."""

    name: str
    arguments: Mapping[str, Any] | str = field(factory=dict)
    id: str = ""
    pieces: int = 3
    delay: float = 0.0
    cut: int | None = None

    def actions(self, calls: int) -> Iterator[Action]:
        arguments = self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)
        size = max(1, -(-len(arguments) // self.pieces))
        pieces = [arguments[start : start + size] for start in range(0, len(arguments), size)][: self.cut]
        function = {"name": self.name, "arguments": ""}
        head = {"index": calls, "id": self.id or f"call_{calls}", "type": "function", "function": function}
        rest = [{"index": calls, "function": {"arguments": piece}} for piece in pieces]
        return _paced([_delta({"tool_calls": [delta]}) for delta in (head, *rest)], self.delay)


@frozen
class Raw:
    """Bytes as they are, inside one HTTP chunk."""

    data: bytes

    def actions(self, calls: int) -> Iterator[Action]:
        yield frame(self.data)


@frozen
class Event:
    """One server-sent event with this JSON value."""

    value: Mapping[str, Any]

    def actions(self, calls: int) -> Iterator[Action]:
        yield frame(b"data: " + json.dumps(self.value).encode() + b"\n\n")


@frozen
class Huge:
    """One line of so many bytes: no client should hold it in memory."""

    size: int = 64 * 1024 * 1024

    def actions(self, calls: int) -> Iterator[Action]:
        piece = b"x" * 65536
        yield frame(b"data: ")
        yield from (frame(piece) for _ in range(self.size // len(piece)))
        yield frame(b"\n\n")


@frozen
class Pause:
    seconds: float

    def actions(self, calls: int) -> Iterator[Action]:
        yield self.seconds


@frozen
class Cut:
    """The connection ends here."""

    reset: bool = False

    def actions(self, calls: int) -> Iterator[Action]:
        yield Act.RESET if self.reset else Act.CLOSE


@frozen
class Hang:
    """Nothing more, for ever."""

    def actions(self, calls: int) -> Iterator[Action]:
        yield Act.HANG


@frozen
class Pings:
    """Nothing but comments from here on, `every` seconds."""

    every: float = 0.005

    def actions(self, calls: int) -> Iterator[Action]:
        while True:
            yield self.every
            yield frame(b": ping\n\n")


Step = Say | Tokens | Think | Call | Raw | Event | Huge | Pause | Cut | Hang | Pings

# --- answers -------------------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Spend:
    """The usage to report."""

    input: int = 10
    output: int = 5
    cached: int = 0
    reasoning: int = 0


def _steps(steps: Iterable[Step]) -> tuple[Step, ...]:
    return tuple(steps)


@frozen
class Reply:
    """A streamed reply. `finish`: the finish reason, chosen by the steps if None, left out if empty. `role`: begins with a chunk
    that has only the role, as OpenAI does."""

    steps: tuple[Step, ...] = field(default=(), converter=_steps)
    finish: str | None = None
    usage: Spend | None = Spend()
    done: bool = True
    role: bool = True
    content_type: str = "text/event-stream"

    def actions(self) -> Iterator[Action]:
        if self.role:
            yield event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})
        calls = 0
        for step in self.steps:
            yield from step.actions(calls)
            calls += isinstance(step, Call)
        finish = ("tool_calls" if calls else "stop") if self.finish is None else self.finish
        if finish:
            yield event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        if self.usage is not None:
            yield event({"choices": [], "usage": _usage(self.usage)})
        if self.done:
            yield frame(b"data: [DONE]\n\n")

    def resumed(self, partial: str) -> Reply:
        """What is left of this reply for a client that has `partial` of its text already."""
        rest, steps = partial, list[Step]()
        for step in self.steps:
            if not rest or not isinstance(step, (Say, Tokens, Think)):
                steps.append(step)
            elif isinstance(step, (Say, Tokens)):
                text = "".join(step.pieces())
                known = next((i for i, (a, b) in enumerate(zip(text, rest, strict=False)) if a != b), min(len(text), len(rest)))
                rest = rest[known:]
                steps.append(Say(text[known:], step.delay))
        return evolve(self, steps=tuple(steps))


@frozen
class Fail:
    """An answer that is no stream: an error status, a redirect, a page."""

    status: int
    body: str = '{"error": {"message": "scripted failure", "type": "server_error", "code": null}}'
    headers: Mapping[str, str] = field(factory=dict)
    content_type: str = "application/json"


@frozen
class Drop:
    """The connection ends before any answer."""

    reset: bool = False


@frozen
class Silent:
    """No answer at all; the connection stays open."""


Answer = Reply | Fail | Drop | Silent


def error(status: int, message: str = "scripted failure", *, code: str | None = None, kind: str = "error", **headers: str) -> Fail:
    """An error answer in OpenAI's shape. Header names are given with underscores."""
    body = {"error": {"message": message, "type": kind, "code": code, "param": None}}
    return Fail(status, json.dumps(body), {name.replace("_", "-"): value for name, value in headers.items()})


def text(words: str, **options: Any) -> Reply:
    """The commonest reply."""
    return Reply([Say(words)], **options)


def _usage(spend: Spend) -> dict[str, Any]:
    return {
        "prompt_tokens": spend.input,
        "completion_tokens": spend.output,
        "total_tokens": spend.input + spend.output,
        "prompt_tokens_details": {"cached_tokens": spend.cached},
        "completion_tokens_details": {"reasoning_tokens": spend.reasoning},
    }
