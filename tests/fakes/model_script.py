"""What a scripted model server says: replies as small frozen values, and what a server does to play them.

A reply is a sequence of steps that are played in order, in the voice of a dialect (tests/fakes/voices). A step yields actions:
bytes of a chunked HTTP body, seconds to wait, or an `Act`.
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

from tests.fakes.voices import Spend as Spend
from tests.fakes.voices import Voice, frame


class Act(Enum):
    """What a server can do besides sending."""

    CLOSE = auto()  # end the connection (FIN)
    RESET = auto()  # end the connection (RST)
    HANG = auto()  # say nothing more until the client goes away


Action = bytes | float | Act


# --- pieces --------------------------------------------------------------------------------------------------------------------


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


# --- steps: each plays itself ---------------------------------------------------------------------------------------------------


@frozen
class Say:
    """Text, one chunk per word, `delay` seconds before each. A schedule kept from the reply's beginning: no drift."""

    text: str
    delay: float = 0.0

    def pieces(self) -> tuple[str, ...]:
        return _words(self.text)

    def actions(self, voice: Voice) -> Iterator[Action]:
        return _paced(voice.texts(self.pieces()), self.delay)


@frozen
class Tokens:
    """`count` numbered words, one chunk each, `delay` seconds before each. `stamp`: each is its time.monotonic_ns() instead."""

    count: int
    delay: float = 0.0
    stamp: bool = False

    def pieces(self) -> tuple[str, ...]:
        return _numbered(self.count)

    def actions(self, voice: Voice) -> Iterator[Action]:
        return self._stamped(voice) if self.stamp else _paced(voice.texts(self.pieces()), self.delay)

    def _stamped(self, voice: Voice) -> Iterator[Action]:
        for _ in range(self.count):
            yield self.delay
            yield voice.text(f"{time.monotonic_ns()} ")


@frozen
class Think:
    """Reasoning, one chunk per word. `key`: the field it comes in, where hosts differ; `signature` seals it, where vendors do."""

    text: str
    delay: float = 0.0
    key: str = "reasoning_content"
    signature: str = ""

    def actions(self, voice: Voice) -> Iterator[Action]:
        return _paced(voice.thoughts(_words(self.text), key=self.key, signature=self.signature), self.delay)


@frozen
class Call:
    """A tool call, its arguments in `pieces` chunks; calls of one reply are parallel calls. `cut`: only so many of the pieces."""

    name: str
    arguments: Mapping[str, Any] | str = field(factory=dict)
    id: str = ""
    pieces: int = 3
    delay: float = 0.0
    cut: int | None = None

    def actions(self, voice: Voice) -> Iterator[Action]:
        arguments = self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)
        size = max(1, -(-len(arguments) // self.pieces))
        pieces = [arguments[start : start + size] for start in range(0, len(arguments), size)][: self.cut]
        whole = self.cut is None or self.cut >= self.pieces
        return _paced(voice.call(self.name, pieces, id=self.id, whole=whole), self.delay)


@frozen
class Redacted:
    """Reasoning that only the vendor can read."""

    data: str

    def actions(self, voice: Voice) -> Iterator[Action]:
        yield voice.redacted(self.data)


@frozen
class Cite:
    """Where the text before it comes from."""

    url: str
    title: str = ""

    def actions(self, voice: Voice) -> Iterator[Action]:
        yield voice.cite(self.url, self.title)


@frozen
class Raw:
    """Bytes as they are, inside one HTTP chunk."""

    data: bytes

    def actions(self, voice: Voice) -> Iterator[Action]:
        yield frame(self.data)


@frozen
class Event:
    """One event with this JSON value."""

    value: Mapping[str, Any]

    def actions(self, voice: Voice) -> Iterator[Action]:
        yield voice.value(self.value)


@frozen
class Broken:
    """An error in the middle of the reply, as the dialect reports it."""

    message: str = "broke"
    code: str = "server_error"

    def actions(self, voice: Voice) -> Iterator[Action]:
        yield voice.broken(self.message, self.code)


@frozen
class Huge:
    """One line of so many bytes: no client should hold it in memory."""

    size: int = 64 * 1024 * 1024

    def actions(self, voice: Voice) -> Iterator[Action]:
        piece = b"x" * 65536
        yield frame(b"data: ")
        yield from (frame(piece) for _ in range(self.size // len(piece)))
        yield frame(b"\n\n")


@frozen
class Pause:
    seconds: float

    def actions(self, voice: Voice) -> Iterator[Action]:
        yield self.seconds


@frozen
class Cut:
    """The connection ends here."""

    reset: bool = False

    def actions(self, voice: Voice) -> Iterator[Action]:
        yield Act.RESET if self.reset else Act.CLOSE


@frozen
class Hang:
    """Nothing more, for ever."""

    def actions(self, voice: Voice) -> Iterator[Action]:
        yield Act.HANG


@frozen
class Pings:
    """Nothing but signs of life from here on, `every` seconds."""

    every: float = 0.005

    def actions(self, voice: Voice) -> Iterator[Action]:
        while True:
            yield self.every
            yield voice.ping()


Step = Say | Tokens | Think | Redacted | Call | Cite | Raw | Event | Broken | Huge | Pause | Cut | Hang | Pings

# --- answers -------------------------------------------------------------------------------------------------------------------


def _steps(steps: Iterable[Step]) -> tuple[Step, ...]:
    return tuple(steps)


@frozen
class Reply:
    """A streamed reply. `finish`: the finish reason, chosen by the steps if None, left out if empty. `role`: begins as the
    dialect does before anything is said. Empty `content_type`: the dialect's."""

    steps: tuple[Step, ...] = field(default=(), converter=_steps)
    finish: str | None = None
    usage: Spend | None = field(factory=Spend)
    done: bool = True
    role: bool = True
    content_type: str = ""

    def actions(self, voice: Voice) -> Iterator[Action]:
        if self.role:
            yield voice.begin(self.usage)
        for step in self.steps:
            yield from step.actions(voice)
        yield voice.end(self.finish, self.usage, done=self.done)

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
    """An answer that is no stream: an error status, a redirect, a page. `body` None: an error as the dialect reports it."""

    status: int
    body: str | None = None
    headers: Mapping[str, str] = field(factory=dict)
    content_type: str = "application/json"
    message: str = "scripted failure"
    code: str | None = None
    kind: str = "server_error"


@frozen
class Drop:
    """The connection ends before any answer."""

    reset: bool = False


@frozen
class Silent:
    """No answer at all; the connection stays open."""


Answer = Reply | Fail | Drop | Silent


def error(status: int, message: str = "scripted failure", *, code: str | None = None, kind: str = "error", **headers: str) -> Fail:
    """An error answer in the dialect's shape. Header names are given with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fail(status, headers=named, message=message, code=code, kind=kind)


def text(words: str, **options: Any) -> Reply:
    """The commonest reply."""
    return Reply([Say(words)], **options)
