"""What the provider tests share: prompts, a provider wired to a scripted server, and a reply put together from its deltas."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from attrs import frozen

from agentd.ports import Delta, Message, PartStart, PartText, Prompt, Provider, Spent, Stop
from agentd.providers.openai import OpenAIProvider
from agentwire.config import OpenAIConfig, Timeouts
from agentwire.types import PartKind, StopReason, Text, Usage
from tests.fakes.model_rules import Choose
from tests.fakes.model_script import Answer, Call, Reply, Say, Spend, Think
from tests.fakes.model_server import ScriptedModelServer, serve
from tests.fakes.voices import Voice, frame
from tests.fakes.voices.chat import ChatVoice

KEY = "sk-test-4f9a2b7c"
HELLO = Prompt(model="scripted-1", system="be brief", messages=[Message("user", (Text(text="hello"),))])

RICH = Reply(
    [Think("let me see: "), Say("Grüße, 世界 🎉, "), Call("look", {"at": "a b"}), Call("read", {"n": 1}, pieces=1), Say("done")],
    usage=Spend(input=12, output=34, cached=5, reasoning=6),
)
"""A reply with everything in it."""


@frozen
class Whole:
    """A reply put together: its parts in order as (type, name, text)."""

    parts: tuple[tuple[PartKind, str, str], ...]
    usage: Usage | None
    stop: StopReason | None

    @property
    def text(self) -> str:
        return "".join(text for kind, _, text in self.parts if kind == "text")


def whole(deltas: Iterable[Delta]) -> Whole:
    """Also checks what every stream of deltas promises: a start before the text, parts numbered in order, Stop last."""
    parts: list[tuple[PartKind, str, str]] = []
    usage: Usage | None = None
    stop: StopReason | None = None
    for delta in deltas:
        assert stop is None, "nothing comes after the Stop"
        match delta:
            case PartStart(part, kind, name):
                assert part == len(parts)
                parts.append((kind, name, ""))
            case PartText(part, text):
                assert text
                kind, name, before = parts[part]
                parts[part] = (kind, name, before + text)
            case Spent(usage):
                pass
            case Stop(stop):
                pass
    return Whole(tuple(parts), usage, stop)


def body(reply: Reply, voice: type[Voice] = ChatVoice) -> bytes:
    """The bytes of a reply's body, as a client sees them without the transfer encoding."""
    out = bytearray()
    for action in reply.actions(voice()):
        assert isinstance(action, bytes)
        rest = action
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            out += rest[: int(size, 16)]
            rest = rest[int(size, 16) + 2 :]
    assert frame(bytes(out))
    return bytes(out)


@asynccontextmanager
async def wired(
    script: Sequence[Answer] | Choose, timeouts: Timeouts | None = None, *, key: str = KEY
) -> AsyncIterator[tuple[ScriptedModelServer, OpenAIProvider]]:
    """A server that plays `script` and a provider that talks to it."""
    async with serve(script) as server:
        provider = OpenAIProvider(OpenAIConfig(api_key=key, base_url=server.url), timeouts or Timeouts())
        try:
            yield server, provider
        finally:
            await provider.aclose()


async def ask(provider: Provider, prompt: Prompt = HELLO, into: list[Delta] | None = None) -> Whole:
    """One request, drained. `into` has what came, also when it fails."""
    deltas: list[Delta] = [] if into is None else into
    async with provider.stream(prompt) as stream:
        await stream.drain(deltas.extend)
    return whole(deltas)
