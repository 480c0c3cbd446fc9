"""What the provider tests share: prompts, a provider wired to a scripted server, and a reply put together from its deltas."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from attrs import frozen

from agentd.ports import Cited, Delta, Message, PartStart, PartText, Prompt, Provider, Sealed, Spent, Stop
from agentd.providers.catalog import Catalog
from agentd.providers.chat_dialect import ChatDialect
from agentd.providers.endpoint import Endpoint
from agentwire.config import ProviderConfig, Timeouts
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
    """A reply put together: its parts in order as (type, name, text), of a citation (its title, its address); what seals them."""

    parts: tuple[tuple[PartKind, str, str], ...]
    usage: Usage | None
    stop: StopReason | None
    seals: tuple[tuple[int, dict[str, Any]], ...] = ()

    @property
    def text(self) -> str:
        return "".join(text for kind, _, text in self.parts if kind == "text")


def whole(deltas: Iterable[Delta]) -> Whole:
    """Also checks what every stream of deltas promises: a start before the text, parts numbered in order, Stop last."""
    parts: list[tuple[PartKind, str, str]] = []
    seals: list[tuple[int, dict[str, Any]]] = []
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
            case Cited(part, citation):
                assert part == len(parts)
                parts.append(("citation", citation.title, citation.url))
            case Sealed(part, vendor):
                assert parts[part][0] == "reasoning"
                seals.append((part, vendor))
            case Spent(usage):
                pass
            case Stop(stop):
                pass
    return Whole(tuple(parts), usage, stop, tuple(seals))


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


def chat(url: str = "", *keys: str, name: str = "openai", timeouts: Timeouts | None = None, **config: Any) -> Endpoint:
    """An endpoint that speaks Chat Completions; its vendor's own without a `url`."""
    told = ProviderConfig(api_keys=keys, base_url=url, **config)
    return Endpoint(name, ChatDialect(name, url), told, timeouts or Timeouts(), Catalog())


@asynccontextmanager
async def wired(
    script: Sequence[Answer] | Choose, timeouts: Timeouts | None = None, *, keys: Sequence[str] = (KEY,)
) -> AsyncIterator[tuple[ScriptedModelServer, Endpoint]]:
    """A server that plays `script` and an endpoint that talks to it."""
    async with serve(script) as server:
        endpoint = chat(server.url, *keys, timeouts=timeouts)
        try:
            yield server, endpoint
        finally:
            await endpoint.aclose()


async def ask(provider: Provider, prompt: Prompt = HELLO, into: list[Delta] | None = None) -> Whole:
    """One request, drained. `into` has what came, also when it fails."""
    deltas: list[Delta] = [] if into is None else into
    async with provider.stream(prompt) as stream:
        await stream.drain(deltas.extend)
    return whole(deltas)
