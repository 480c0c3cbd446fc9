"""The provider against a real HTTP server: requests, replies, connections, listing. What goes wrong: test_endpoint_faults.py."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
from attrs import evolve

from agentd.ports import Delta, Message
from agentd.providers.chat_dialect import VENDORS
from agentwire.errors import AuthFailed, BadRequest, ProviderDown
from agentwire.types import Text, Usage
from tests.fakes.model_script import Fail, Hang, Reply, Say, Silent, Tokens, text
from tests.fakes.model_server import serve
from tests.providers.scenes import HELLO, KEY, RICH, Whole, ask, chat, whole, wired

ENDLESS = Reply([Say("once upon a time "), Hang()])


async def test_reply_with_everything() -> None:
    """Thoughts, text, parallel calls, usage and the reason, over real HTTP."""
    async with wired([RICH]) as (_, provider):
        assert await ask(provider) == Whole(
            (
                ("reasoning", "", "let me see: "),
                ("text", "", "Grüße, 世界 🎉, done"),
                ("tool_call", "look", '{"at": "a b"}'),
                ("tool_call", "read", '{"n": 1}'),
            ),
            Usage(input=12, output=34, cached=5, reasoning=6),
            "tool_calls",
        )


async def test_request() -> None:
    """Key, content type and body as the host expects them; nothing that asks for compression."""
    async with wired([text("hi")]) as (server, provider):
        await ask(provider)
        (seen,) = server.seen
        assert seen.path == "/v1/chat/completions"
        assert seen.headers["authorization"] == f"Bearer {KEY}"
        assert seen.headers["content-type"] == "application/json"
        assert seen.headers["accept"] == "text/event-stream"
        assert seen.headers["accept-encoding"] == "identity"
        assert seen.body["model"] == "scripted-1"
        assert [message["content"] for message in seen.messages] == ["be brief", "hello"]


async def test_tokens_that_arrive_together_are_one_call_of_the_sink() -> None:
    """The cost follows the reads: far fewer calls than tokens."""
    calls: list[Sequence[Delta]] = []
    async with wired([Reply([Tokens(2000)])]) as (_, provider), provider.stream(HELLO) as stream:
        await stream.drain(calls.append)
    assert len(calls) < 100


async def test_nothing_is_held_back_to_make_a_bigger_batch() -> None:
    """The sink has all words that came while the server keeps the next to itself."""
    calls: list[Delta] = []
    async with wired([Reply([Say("one two "), Hang()])]) as (_, provider), trio.open_nursery() as nursery:

        def sink(deltas: Sequence[Delta]) -> None:
            calls.extend(deltas)
            if whole(calls).text == "one two ":
                nursery.cancel_scope.cancel()

        async with provider.stream(HELLO) as stream:
            await stream.drain(sink)


async def test_connections_are_used_again() -> None:
    """Ten requests, one after the other, one connection; also after an error status."""
    async with wired([text("hi"), Fail(400), text("again")]) as (server, provider):
        await ask(provider)
        with pytest.raises(BadRequest):
            await ask(provider)
        for _ in range(8):
            await ask(provider)
        assert len(server.seen) == 10
        assert server.connections == 1


async def test_many_at_once() -> None:
    """A hundred streams of one provider do not wait for each other; afterwards their connections serve the next hundred."""
    async with wired([Reply([Tokens(20, delay=0.001)])]) as (server, provider):
        for _ in range(2):
            async with trio.open_nursery() as nursery:
                for _ in range(100):
                    nursery.start_soon(ask, provider)
    assert len(server.seen) == 200
    assert server.connections == 100


async def test_cancelling_closes_the_exchange() -> None:
    """The host sees that nobody listens any more, at once; the connection is not used again, and the provider still works."""
    async with wired([ENDLESS, text("hi")]) as (server, provider):
        begun = trio.Event()
        async with trio.open_nursery() as nursery:

            async def listen() -> None:
                async with provider.stream(HELLO) as stream:
                    await stream.drain(lambda _: begun.set())

            nursery.start_soon(listen)
            await begun.wait()
            nursery.cancel_scope.cancel()
        await server.gone(1)
        assert (await ask(provider)).text == "hi"
        assert server.connections == 2


async def test_cancelling_before_the_answer() -> None:
    async with wired([Silent()]) as (server, provider), trio.open_nursery() as nursery:
        nursery.start_soon(ask, provider)
        await server.requests(1)
        nursery.cancel_scope.cancel()
    assert len(server.seen) == 1


async def test_leaving_without_draining_closes_the_exchange() -> None:
    async with wired([ENDLESS]) as (server, provider):
        async with provider.stream(HELLO):
            pass
        await server.gone(1)


async def test_exception_of_the_sink_ends_the_exchange_and_is_raised() -> None:
    """A reply that grew too long is broken off by whoever takes it."""

    def full(deltas: Sequence[Delta]) -> None:
        raise RuntimeError("enough")

    async with wired([ENDLESS]) as (server, provider):
        with pytest.raises(RuntimeError, match="enough"):
            async with provider.stream(HELLO) as stream:
                await stream.drain(full)
        await server.gone(1)


async def test_continuing_a_cut_reply() -> None:
    """The partial text goes back with the request to go on."""
    half = Message("assistant", (Text(text="Once upon"),))
    async with wired([text(" a time")]) as (server, provider):
        prompt = evolve(HELLO, messages=[*HELLO.messages, half], continuing=True)
        assert (await ask(provider, prompt)).text == " a time"
        assert server.seen[0].partial == "Once upon"


async def test_without_key() -> None:
    """OpenAI itself needs one; a server of one's own may not, and gets a harmless one."""
    provider = chat()
    assert provider.status() == ("unavailable", "no OPENAI_API_KEY")
    assert await provider.models() == ()
    with pytest.raises(AuthFailed, match="OPENAI_API_KEY"):
        await ask(provider)
    async with wired([text("hi")], keys=()) as (server, provider):
        await ask(provider)
        assert server.seen[0].headers["authorization"] == "Bearer none"


async def test_models() -> None:
    async with wired([]) as (server, provider):
        server.models = ["a", "b/c"]
        assert [(info.id, info.known) for info in await provider.models()] == [("openai/a", False), ("openai/b/c", False)]


async def test_models_of_a_host_that_cannot_list() -> None:
    for answer, error in ((Fail(200, "<html>"), ProviderDown), (Fail(404), BadRequest), (Fail(500), ProviderDown)):
        async with wired([]) as (server, provider):
            server.models = answer
            with pytest.raises(error):
                await provider.models()


async def test_empty_model_is_the_first_that_the_host_lists() -> None:
    """`openai/` with one's own server: who serves one model need not name it. It is asked once."""
    async with wired([text("hi")]) as (server, provider):
        for _ in range(2):
            await ask(provider, evolve(HELLO, model=""))
        assert [seen.body["model"] for seen in server.seen] == ["scripted-1"] * 2
        assert server.listed == 1


async def test_empty_model_of_a_host_that_lists_none() -> None:
    async with wired([text("hi")]) as (server, provider):
        server.models = []
        with pytest.raises(BadRequest, match="Name one"):
            await ask(provider, evolve(HELLO, model=""))


def test_limits() -> None:
    """What is known of the model, unless the configuration says that this host serves less."""
    assert chat("", "k").limits("gpt-5-mini").context == 400_000
    limits = chat("http://localhost/v1", context=16_000).limits("gpt-5-mini")
    assert (limits.context, limits.max_output) == (16_000, 4_000)


async def test_status_tells_whether_the_library_is_loaded() -> None:
    """Nothing is imported or connected before the first use; prewarming does it early, and twice does no harm."""
    async with wired([]) as (server, provider):
        assert provider.status() == ("idle", server.url)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(provider.prewarm)
            nursery.start_soon(provider.prewarm)
        assert provider.status() == ("ready", server.url)
        assert not server.connections
    assert chat("", "k").status() == ("idle", VENDORS["openai"])


async def test_has_no_upkeep() -> None:
    """`run` is over as soon as it has started."""
    async with wired([]) as (_, provider), trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: provider.run(task_status=task_status))


async def test_no_answer_and_no_key_in_the_environment_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration alone says where to go and with which key, whatever the SDK would find in the environment."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "other")
    async with serve([text("hi")]) as server:
        provider = chat(server.url)
        assert (await ask(provider)).text == "hi"
        assert server.seen[0].headers["authorization"] == "Bearer none"
        await provider.aclose()
