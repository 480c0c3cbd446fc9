"""What core asks of models, and what passes between them: messages, prompts, the pieces of a reply."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from operator import attrgetter
from typing import Any, Literal, NamedTuple, Protocol

from attrs import Factory, field, frozen

from agentd.ports.tools import ToolSpec
from agentwire.types import (
    BlobRef,
    Citation,
    File,
    Image,
    ModelInfo,
    Part,
    PartKind,
    Price,
    Reasoning,
    ResultPart,
    StopReason,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)

PER_MESSAGE = 16
"""Characters a message costs beside its text (roles, separators)."""
PER_IMAGE = 5000
"""Characters an image counts for: vendors take 85 to 1,600 tokens for one, by its size."""


@frozen
class Message:
    """One entry of a conversation as a model sees it. Tool results have role `tool`.

    What every request asks of every message is worked out once. It has private names: a snapshot holds the public ones.
    """

    role: Literal["user", "assistant", "tool"]
    parts: tuple[Part, ...]
    _size: int = field(init=False, eq=False, repr=False, default=0)
    _calls: tuple[str, ...] = field(init=False, eq=False, repr=False, default=())
    _attached: tuple[Image | File, ...] = field(init=False, eq=False, repr=False, default=())

    def __attrs_post_init__(self) -> None:
        size, calls = PER_MESSAGE, []
        attached: list[Image | File] = []
        for part in self.parts:
            match part:
                case Text():
                    size += len(part.text)
                case ToolCall():
                    size += len(part.name) + len(part.arguments_json)
                    calls.append(part.id)
                case ToolResult():
                    for inner in part.parts:
                        if isinstance(inner, Image):
                            attached.append(inner)
                        size += _size_of_result(inner)
                    calls.append(part.call)
                case Reasoning() | Citation():
                    pass  # not sent back, except thoughts to the vendor that made them
                case Image():
                    size += PER_IMAGE
                    attached.append(part)
                case File():
                    size += part.bytes // 2  # a guess: the text of a PDF is a part of it, that of a text is all
                    attached.append(part)
                case _:
                    raise TypeError(f"not a part: {part!r}")
        object.__setattr__(self, "_size", size)
        object.__setattr__(self, "_calls", tuple(calls))
        if attached:
            object.__setattr__(self, "_attached", tuple(attached))

    @property
    def size(self) -> int:
        """Characters it costs in a request."""
        return self._size

    @property
    def calls(self) -> tuple[str, ...]:
        """The ids of the calls that it asks for, or that it answers."""
        return self._calls

    @property
    def attached(self) -> tuple[Image | File, ...]:
        """Its images and files."""
        return self._attached


def _size_of_result(part: ResultPart) -> int:
    match part:
        case Text(text=text):
            return len(text)
        case BlobRef(head=head, tail=tail):
            return len(head) + len(tail)
        case _:
            return PER_IMAGE


size_of: Callable[[Message], int] = attrgetter("_size")
calls_of: Callable[[Message], tuple[str, ...]] = attrgetter("_calls")
attached_to: Callable[[Message], tuple[Image | File, ...]] = attrgetter("_attached")
"""For maps over a whole history: in C, at a fifth of what the properties cost."""


@frozen(kw_only=True)
class Prompt:
    """One model request. `model` is the vendor's name without our provider prefix; `session` lets a vendor route to its cache.

    `continuing`: the last message is the assistant's own, cut off; the reply must go on from there. `schema`: the JSON schema that
    the reply's text must follow. `blobs`: the contents of its images and files, by sha256. `key`: which of the provider's API keys.
    """

    model: str
    system: str
    messages: Sequence[Message]
    tools: Sequence[ToolSpec] = ()
    max_output: int = 0
    session: str = ""
    continuing: bool = False
    schema: Mapping[str, Any] | None = None
    blobs: Mapping[str, bytes] = Factory(dict)
    key: int = 0


@frozen(kw_only=True)
class ModelLimits:
    """What core must know of a model to ask it. `context` and `max_output` in tokens, `chars_per_token` to estimate.

    `family` picks the system prompt. `images`, `files`: it takes them as input. `prefill`: its host goes on from a last assistant
    message by itself. `price` None: not known.
    """

    context: int
    max_output: int
    chars_per_token: float = 3.5
    family: Literal["large", "embedded"] = "large"
    tools: bool = True
    images: bool = False
    files: bool = False
    prefill: bool = False
    price: Price | None = None


class PartStart(NamedTuple):
    """A part begins. `part` counts from 0 in the reply; `name` is the tool's, for a tool call."""

    part: int
    type: PartKind
    name: str = ""


class PartText(NamedTuple):
    """More of a part's text (for a tool call: of its arguments' JSON)."""

    part: int
    text: str


class Sealed(NamedTuple):
    """What the vendor wants back with a part of reasoning (a signature, an encrypted body): opaque, with its `provider`."""

    part: int
    vendor: dict[str, Any]


class Cited(NamedTuple):
    """A whole part of its own: where the text before it comes from."""

    part: int
    citation: Citation


class Waits(NamedTuple):
    """Nothing comes for so many seconds: `model` will be asked then, and not sooner because of `reason`."""

    seconds: float
    model: str
    reason: str


class Stop(NamedTuple):
    """The reply ended cleanly."""

    reason: StopReason


class Spent(NamedTuple):
    """Tokens as reported; the last report holds."""

    usage: Usage


Delta = PartStart | PartText | Sealed | Cited | Waits | Stop | Spent


class Stream(Protocol):
    """One reply on its way."""

    async def drain(self, sink: Callable[[Sequence[Delta]], None]) -> None:
        """Feed `sink` with all that each read brought until the reply ends; returns after a `Stop` was given.

        Error handling: raises ProviderError when the stream breaks before its `Stop`; what was given until then stays given.
        """


class Provider(Protocol):
    """A model vendor's endpoint. `keys`: how many API keys it has, to be used in turn; at least 1, also where none is needed."""

    name: str

    @property
    def keys(self) -> int: ...

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


Build = Callable[[str, ModelLimits], Prompt]
"""Makes the request for a model that may answer, given its full name and limits. The router sets `model` and `key`.

Error handling: ContextTooLong or BudgetExceeded if this model cannot be asked that; another one perhaps can.
"""


class ModelRequest(Protocol):
    """A reply that is wanted, over all the attempts that it takes, also those after it broke off in the middle.

    `model`: the full name of the one that is asked, or was asked last, and its `limits`. `over`: no attempt is left: what broke off
    cannot be gone on with.
    """

    @property
    def model(self) -> str: ...

    @property
    def over(self) -> bool: ...

    @property
    def limits(self) -> ModelLimits: ...

    async def drain(self, build: Build, sink: Callable[[Sequence[Delta]], None]) -> None:
        """Attempts until one gives its first delta, then that one to its end; returns after a `Stop` was given.

        Called again after it broke off, `build` makes a prompt that is `continuing`: the attempts count on, and what the reply
        repeats of the text it should go on from does not reach `sink`.

        Error handling: the attempt's ProviderError when its reply broke off. Once nothing was given and no attempt is left, one
        error for all of them, with `retry_after` if coming back may help; ContextTooLong if a shorter prompt may.
        """


class Models(Protocol):
    """What core asks for replies: the router."""

    def limits(self, model: str) -> ModelLimits:
        """Of the candidate that would be asked first."""

    def request(self, model: str) -> ModelRequest:
        """`model`: `provider/model`, an alias, or several of them with commas between, tried in order. Raises InvalidParams."""
