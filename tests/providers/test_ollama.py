"""Ollama over HTTP: replies like everybody's, and the models that it fetches. (Failures of replies: the conformance suite.)"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from agentd.ports import Fetched
from agentd.providers import ollama
from agentd.providers.catalog import Catalog
from agentd.providers.ollama import OllamaProvider
from agentd.providers.ollama_pull import PullReader
from agentwire.config import ProviderConfig, Timeouts
from agentwire.errors import BadRequest, ProviderDown, ProviderError, ProviderOverloaded, ProviderTimeout
from agentwire.types import Usage
from tests.fakes.model_script import Answer, Cut, Drop, Event, Fail, Hang, Raw, Reply, Say, error, text
from tests.fakes.model_server import ScriptedModelServer, serve
from tests.providers.scenes import RICH, Whole, ask

MODEL = "llama3.2"


@asynccontextmanager
async def wired(
    script: Sequence[Answer] = (), *, keys: tuple[str, ...] = ()
) -> AsyncIterator[tuple[ScriptedModelServer, OllamaProvider]]:
    async with serve(script) as server:
        config = ProviderConfig(dialect="ollama", base_url=server.base, api_keys=keys)
        provider = OllamaProvider("ollama", config, Timeouts(), Catalog())
        try:
            yield server, provider
        finally:
            await provider.aclose()


async def test_reply_with_everything() -> None:
    async with wired([RICH]) as (server, provider):
        assert await ask(provider) == Whole(
            (
                ("reasoning", "", "let me see: "),
                ("text", "", "Grüße, 世界 🎉, done"),
                ("tool_call", "look", '{"at":"a b"}'),
                ("tool_call", "read", '{"n":1}'),
            ),
            Usage(input=12, output=34),
            "tool_calls",
        )
        (seen,) = server.seen
        assert (seen.path, seen.last_user) == ("/api/chat", "hello")
        assert "authorization" not in seen.headers


async def test_a_key() -> None:
    """Where Ollama is behind a gate."""
    async with wired([text("hi")], keys=("secret",)) as (server, provider):
        await ask(provider)
        assert server.seen[0].headers["authorization"] == "Bearer secret"


async def test_what_failures_mean() -> None:
    """A model that is not there names the command that fetches it."""
    missing = error(404, f'model "{MODEL}" not found, try pulling it first')
    busy = error(503, "server busy, please try again")
    async with wired([missing, busy, Reply([Say("half"), Cut()])]) as (_, provider):
        with pytest.raises(BadRequest, match=f"agentctl model pull ollama/{MODEL}"):
            await ask(provider)
        with pytest.raises(ProviderOverloaded):
            await ask(provider)
        with pytest.raises(ProviderDown, match="cut the reply off"):
            await ask(provider)


async def test_models() -> None:
    async with wired() as (server, provider):
        server.models = ["llama3.2:latest", "mystery"]
        known, unknown = await provider.models()
        assert (known.id, known.known, known.note) == ("ollama/llama3.2:latest", True, "3.2B Q4_K_M, 2.0 GB")
        assert (unknown.id, unknown.known) == ("ollama/mystery", False)


# --- fetching models -------------------------------------------------------------------------------------------------------------


async def test_a_pull() -> None:
    """Bytes of all layers together, as far as they are known; it ends with the last word."""
    told: list[Fetched] = []
    async with wired() as (server, provider):
        await provider.pull(MODEL, told.append)
        assert server.pulls == 1
    assert told[-1] == Fetched(2500, 2500, "success")
    assert [fetched.completed for fetched in told] == sorted(fetched.completed for fetched in told)


def lines(*values: dict[str, Any]) -> list[Event]:
    return [Event(value) for value in values]


@pytest.mark.parametrize(
    ("answer", "cls", "said"),
    [
        (Reply(lines({"status": "pulling manifest"}, {"error": "file does not exist"})), BadRequest, "finds no model"),
        (Reply(lines({"status": "pulling 8e"}, {"error": "no space left on device"})), ProviderDown, "no space left on device"),
        (Reply([*lines({"status": "pulling 8e", "digest": "8e", "total": 9}), Cut()]), ProviderDown, "goes on from there"),
        (Reply(lines({"status": "pulling 8e"}), done=False), ProviderDown, "goes on from there"),
        (Reply([Raw(b"<html>\n")]), ProviderDown, "words that nobody understands"),
        (Reply([Raw(b'{"status": "\xff"}\n')]), ProviderDown, "words that nobody understands"),
        (Reply([Raw(b'{"status": "pul')], done=False), ProviderDown, "goes on from there"),
        (Fail(200, "<html>", content_type="text/html"), ProviderDown, "Check the base URL"),
        (error(500, "pull model manifest: no route to host"), ProviderDown, "no route to host"),
        (Drop(), ProviderDown, "cannot reach"),
    ],
)
async def test_a_pull_that_fails(answer: Answer, cls: type[ProviderError], said: str) -> None:
    """What the host says, or what is to be done."""
    async with wired() as (server, provider):
        server.pulling = answer
        with pytest.raises(cls, match=said):
            await provider.pull(MODEL, lambda fetched: None)


async def test_a_pull_that_falls_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollama, "_SILENCE", 0.03)
    async with wired() as (server, provider):
        server.pulling = Reply([*lines({"status": "pulling manifest"}), Hang()])
        with pytest.raises(ProviderTimeout, match="said nothing"):
            await provider.pull(MODEL, lambda fetched: None)


async def test_a_pull_that_is_broken_off_ends_at_the_host() -> None:
    async with wired() as (server, provider):
        server.pulling = Reply([*lines({"status": "pulling manifest"}), Hang()])
        async with trio.open_nursery() as nursery:

            def stop(fetched: Fetched) -> None:
                nursery.cancel_scope.cancel()

            await provider.pull(MODEL, stop)
        await server.gone(1)


def test_numbers_that_cannot_be() -> None:
    """More than all, less than nothing: what is shown stays between them."""
    reader = PullReader("the host", MODEL)
    said = [
        b'{"digest": "a", "total": 10, "completed": 99}',
        b'{"digest": "b", "total": 10, "completed": -5}',
        b'{"total": -1}',
        b"",
    ]
    assert reader.feed(b"\n".join(said)) == Fetched(10, 20, "")
    assert not reader.done
