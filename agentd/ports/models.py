"""What core asks of models, and what passes between them: messages, prompts, the pieces of a reply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from operator import attrgetter
from typing import Any, Literal, NamedTuple, Protocol

from attrs import field, frozen

from agentd.ports.tools import ToolSpec
from agentwire.types import (
    BlobRef,
    ModelInfo,
    Part,
    PartKind,
    Reasoning,
    StopReason,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)

PER_MESSAGE = 16
"""Characters a message costs beside its text (roles, separators)."""


@frozen
class Message:
    """One entry of a conversation as a model sees it. Tool results have role `tool`.

    What every request asks of every message is worked out once. It has private names: a snapshot holds the public ones.
    """

    role: Literal["user", "assistant", "tool"]
    parts: tuple[Part, ...]
    _size: int = field(init=False, eq=False, repr=False, default=0)
    _calls: tuple[str, ...] = field(init=False, eq=False, repr=False, default=())

    def __attrs_post_init__(self) -> None:
        size, calls = PER_MESSAGE, []
        for part in self.parts:
            match part:
                case Text():
                    size += len(part.text)
                case ToolCall():
                    size += len(part.name) + len(part.arguments_json)
                    calls.append(part.id)
                case ToolResult():
                    size += sum([len(inner.head if isinstance(inner, BlobRef) else inner.text) for inner in part.parts])
                    calls.append(part.call)
                case Reasoning():
                    pass  # not sent back, except by the vendor that made it
                case _:
                    raise TypeError(f"not a part: {part!r}")
        object.__setattr__(self, "_size", size)
        object.__setattr__(self, "_calls", tuple(calls))

    @property
    def size(self) -> int:
        """Characters it costs in a request."""
        return self._size

    @property
    def calls(self) -> tuple[str, ...]:
        """The ids of the calls that it asks for, or that it answers."""
        return self._calls


size_of: Callable[[Message], int] = attrgetter("_size")
calls_of: Callable[[Message], tuple[str, ...]] = attrgetter("_calls")
"""For maps over a whole history: in C, at a fifth of what the properties cost."""


@frozen(kw_only=True)
class Prompt:
    """One model request. `model` is the vendor's name without our provider prefix; `session` lets a vendor route to its cache.

    `continuing`: the last message is the assistant's own, cut off; the reply must go on from there.
    """

    model: str
    system: str
    messages: Sequence[Message]
    tools: Sequence[ToolSpec] = ()
    max_output: int = 0
    session: str = ""
    continuing: bool = False


@frozen(kw_only=True)
class ModelLimits:
    """`context` and `max_output` in tokens, `chars_per_token` to estimate. `family` picks the system prompt."""

    context: int
    max_output: int
    chars_per_token: float = 3.5
    family: Literal["large", "embedded"] = "large"
    tools: bool = True


class PartStart(NamedTuple):
    """A part begins. `part` counts from 0 in the reply; `name` is the tool's, for a tool call."""

    part: int
    type: PartKind
    name: str = ""


class PartText(NamedTuple):
    """More of a part's text (for a tool call: of its arguments' JSON)."""

    part: int
    text: str


class Stop(NamedTuple):
    """The reply ended cleanly."""

    reason: StopReason


class Spent(NamedTuple):
    """Tokens as reported; the last report holds."""

    usage: Usage


Delta = PartStart | PartText | Stop | Spent


class Stream(Protocol):
    """One reply on its way."""

    async def drain(self, sink: Callable[[Sequence[Delta]], None]) -> None:
        """Feed `sink` with all that each read brought until the reply ends; returns after a `Stop` was given.

        Error handling: raises ProviderError when the stream breaks before its `Stop`; what was given until then stays given.
        """


class Provider(Protocol):
    """A model vendor's endpoint."""

    name: str

    def limits(self, model: str) -> ModelLimits: ...

    def stream(self, prompt: Prompt) -> AbstractAsyncContextManager[Stream]:
        """Send one request. The scope owns the HTTP exchange: leaving it, also by cancellation, closes it.

        Error handling: entering raises a ProviderError (AuthFailed, RateLimited, ProviderDown, ...).
        """

    async def models(self) -> Sequence[ModelInfo]: ...

    async def prewarm(self) -> None:
        """Load what the first request would have to wait for; cheap when it is there already. Failures show at the request."""

    def status(self) -> tuple[str, str]:
        """(state, detail) for `agentctl status`: ready, idle, starting, unavailable, ..."""

    async def run(self, *, task_status: Any) -> None:
        """Long-lived service of the provider (a child process, upkeep); calls `task_status.started()` first."""

    async def aclose(self) -> None: ...


class Models(Protocol):
    """What core asks for a stream: the router."""

    def limits(self, model: str) -> ModelLimits: ...

    def stream(self, model: str, prompt: Prompt) -> AbstractAsyncContextManager[Stream]: ...
