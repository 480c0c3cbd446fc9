"""The endpoint against a real HTTP server, beyond what every provider promises (tests/conformance/test_provider.py): keys, headers,
connections, listing. What goes wrong: test_endpoint_faults.py."""

from __future__ import annotations

import pytest
import trio
from attrs import evolve

from agentd.providers.chat_dialect import VENDORS
from agentwire.config import Timeouts
from agentwire.errors import AuthFailed, BadRequest, ProviderDown, ProviderTimeout
from agentwire.types import Usage
from tests.fakes.model_script import Fail, Hang, Reply, Say, Silent, text
from tests.fakes.model_server import serve
from tests.fakes.raw_server import Do, raw_server
from tests.providers.exchanges import ASK
from tests.providers.scenes import HELLO, KEY, RICH, Whole, ask, chat, wired

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


# --- keys and headers ----------------------------------------------------------------------------------------------------------


async def test_keys_share_connections() -> None:
    """Each request goes with its key, over the connections of all; the list is asked for with the first."""
    async with wired([text("hi")], keys=("sk-one", "sk-two")) as (server, provider):
        assert provider.keys == 2
        for key in (0, 1, 1, 0):
            await ask(provider, evolve(HELLO, key=key))
        await provider.models()
        assert [seen.headers["authorization"].removeprefix("Bearer sk-") for seen in server.seen] == ["one", "two", "two", "one"]
        assert server.connections == 1


async def test_further_headers() -> None:
    """Go with every request, also before those of the SDK: a gateway may want another way to sign in."""
    headers = {"x-team": "blue", "Authorization": "Basic abc"}
    async with serve([text("hi")]) as server:
        provider = chat(server.url, "sk-one", headers=headers)
        await ask(provider)
        assert (server.seen[0].headers["x-team"], server.seen[0].headers["authorization"]) == ("blue", "Basic abc")
        await provider.aclose()


async def test_the_list_is_asked_for_as_the_sdk_would() -> None:
    """With the key and for JSON, over the connection that is there; a body it has not."""
    listed = b'{"data": [{"id": "a"}]}'
    async with raw_server([ASK, b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(listed), listed)]) as server:
        provider = chat(f"http://127.0.0.1:{server.port}/v1", KEY)
        assert [info.id for info in await provider.models()] == ["openai/a"]
        await provider.aclose()
    head = server.requests[0].lower()
    assert head.startswith(b"get /v1/models http/1.1\r\n")
    assert f"authorization: bearer {KEY}".encode() in head
    assert b"accept: application/json" in head
    assert b"content-type" not in head


async def test_the_list_without_an_end() -> None:
    """A host that sends and sends is left."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n"
    async with raw_server([ASK, head + b"x" * (17 << 20), Do.HANG]) as server:
        provider = chat(f"http://127.0.0.1:{server.port}/v1", KEY)
        with pytest.raises(ProviderDown, match="its answer is longer than 16 MiB"):
            await provider.models()
        await provider.aclose()


# --- the configuration changes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("warm", [False, True])
async def test_new_time_limits(warm: bool) -> None:
    """Hold for the requests from then on, also the one to connect."""
    async with raw_server([Do.HANG]) as server:
        provider = chat(f"https://127.0.0.1:{server.port}/v1", KEY)
        if warm:
            await provider.prewarm()
        provider.reconfigure(Timeouts(connect=0.03))
        with pytest.raises(ProviderTimeout, match=r"did not accept a connection within 0\.03 s"):
            await ask(provider)
        await provider.aclose()


def test_password_in_the_address_is_not_shown() -> None:
    assert chat("http://user:word@localhost:1/v1").status() == ("idle", "http://localhost:1/v1")
