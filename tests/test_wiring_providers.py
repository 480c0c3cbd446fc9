"""Providers as they are configured: what is spoken where, with which keys, and what becomes of them when that changes."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest
import trio
import trio.testing
from attrs import evolve

from agentd.ports import Delta, Message, ModelLimits, Prompt, Stop, Stream
from agentd.wiring import check
from agentd.wiring_providers import Providers
from agentwire.config import Config, ProviderConfig, Timeouts, load
from agentwire.errors import ConfigError
from agentwire.types import ModelInfo, Text
from tests.fakes.model_script import text
from tests.fakes.model_server import serve

HELLO = Prompt(model="m", system="", messages=[Message(role="user", parts=(Text(text="hello"),))])


def configure(toml: str = "", **environ: str) -> Config:
    return load({"AGENTD_HOME": "/h", **environ}, read={"/h/config/config.toml": toml}.get)


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[Providers]:
    providers = Providers(config)
    async with trio.open_nursery() as nursery:
        await nursery.start(providers.run)
        yield providers
        nursery.cancel_scope.cancel()
    await providers.aclose()


async def ask(providers: Providers, name: str, **prompt: Any) -> str:
    """The text of one reply."""
    deltas: list[Delta] = []
    async with providers[name].stream(evolve(HELLO, **prompt)) as stream:
        await stream.drain(deltas.extend)
    return said(deltas)


def said(deltas: Sequence[Delta]) -> str:
    return "".join(getattr(delta, "text", "") for delta in deltas)


@pytest.mark.parametrize(
    ("toml", "path"),
    [
        ('base_url = "{base}/v1"', "/v1/chat/completions"),
        ('base_url = "{base}/v1"\ndialect = "responses"', "/v1/responses"),
        ('base_url = "{base}"\ndialect = "anthropic"', "/v1/messages"),
        ('base_url = "{base}"\ndialect = "ollama"', "/api/chat"),
    ],
)
async def test_what_is_spoken(toml: str, path: str) -> None:
    """A provider of one's own is asked in the dialect that is configured, with its headers and each of its keys."""
    async with serve([text("one"), text("two")]) as server:
        config = configure(f'[providers.mine]\n{toml.format(base=server.base)}\nheaders = {{X-Team = "blue"}}', **KEYS)
        async with running(config) as providers:
            assert providers["mine"].keys == 2
            assert [await ask(providers, "mine", key=key) for key in (0, 1)] == ["one", "two"]
        assert [request.path.partition("?")[0] for request in server.seen] == [path, path]
        assert [request.headers["x-team"] for request in server.seen] == ["blue", "blue"]
        assert [request.headers["authorization"] for request in server.seen] == ["Bearer k1", "Bearer k2"]


KEYS = {"AGENTD_PROVIDERS_MINE_API_KEY": "k1", "AGENTD_PROVIDERS_MINE_API_KEY_1": "k2"}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("openai", "/v1/chat/completions"),
        ("deepseek", "/v1/chat/completions"),
        ("qwen", "/v1/chat/completions"),
        ("anthropic", "/v1/v1/messages"),
        ("ollama", "/v1/api/chat"),
    ],
)
async def test_vendors_elsewhere(name: str, path: str) -> None:
    """At another base URL a vendor's dialect is spoken; OpenAI's is Chat Completions there."""
    async with serve(lambda _: text("yes")) as server:
        async with running(configure(f'providers.{name} = {{base_url = "{server.url}", api_key = "k"}}')) as providers:
            assert await ask(providers, name) == "yes"
        assert server.seen[0].path.partition("?")[0] == path


def test_only_what_is_configured_is_shown() -> None:
    """All vendors are there to say what they lack; people are told of those that can be asked, or should be."""
    providers = Providers(configure(ANTHROPIC_API_KEY="k", AGENTD_MODEL="deepseek/x, anthropic/y"))
    assert {*providers} == {"local", "openai", "anthropic", "deepseek", "qwen", "ollama"}
    assert [status.name for status in providers.statuses()] == ["local", "anthropic", "deepseek"]
    assert {status.name: status.state for status in providers.statuses()}["deepseek"] == "unavailable"
    assert set(providers.pullers) == {"ollama"}


def test_what_is_known_without_asking() -> None:
    """The models of vendors that have a key, at their own address; what the configuration says of single ones."""
    config = configure(
        '[parameters."lab/*"]\ntools = "none"\n[parameters."openai/gpt-5"]\ncontext = 5000',
        OPENAI_API_KEY="k",
        DEEPSEEK_API_KEY="k",
        DEEPSEEK_BASE_URL="http://127.0.0.1:9",
    )
    known = Providers(config)
    found = {info.id: info for info in known.built_in()}
    assert {name.partition("/")[0] for name in found} == {"openai"}
    assert (found["openai/gpt-5"].context, found["openai/gpt-5"].known) == (5000, True)
    assert not any("*" in name for name in found)
    assert known.named() == ["openai/gpt-5"]
    assert known.described("lab", "x").capabilities == ("emulated-schema",)


async def test_others_list_nothing() -> None:
    """An Ollama that nobody configured is not asked for its models."""
    async with running(configure()) as providers:
        assert await providers["ollama"].models() == ()


# --- a new configuration -------------------------------------------------------------------------------------------------------


async def test_what_did_not_change_stays() -> None:
    """Its connections and all; new time limits reach it. Parameters of a model concern its provider only."""
    async with serve(lambda _: text("yes")) as server:
        toml = f'providers.mine.base_url = "{server.url}"\n'
        async with running(configure(toml)) as providers:
            before = providers["mine"]
            assert await ask(providers, "mine") == "yes"
            assert await providers.replace(configure(toml + 'timeouts.step = 3\nparameters."openai/x".effort = "low"')) == [
                "openai"
            ]
            assert providers["mine"] is before
            assert await ask(providers, "mine") == "yes"
            assert server.connections == 1
            assert await providers.replace(configure(toml + 'parameters."mine/*".effort = "low"')) == ["openai", "mine"]


async def test_a_reply_under_way_ends_in_peace() -> None:
    """The new provider takes the next request while the old one's reply is still read."""
    async with serve([text("half whole"), text("new")]) as server:
        toml = f'providers.mine = {{base_url = "{server.url}", api_key = "%s"}}'
        async with running(configure(toml % "old")) as providers:
            got: list[Delta] = []
            async with providers["mine"].stream(HELLO) as stream:
                assert await providers.replace(configure(toml % "new")) == ["mine"]
                assert await ask(providers, "mine") == "new"
                await stream.drain(got.extend)
            assert said(got) == "half whole"
        assert [request.headers["authorization"] for request in server.seen] == ["Bearer old", "Bearer new"]


class Recorder:
    """A provider as somebody's own class: a reply has no words. `story`: what became of all of them."""

    name = "mine"
    keys = 1
    story: ClassVar[list[str]] = []

    def __init__(self, config: ProviderConfig, timeouts: Timeouts) -> None:
        self.called = config.base_url

    def limits(self, model: str) -> ModelLimits:
        return ModelLimits(context=1000, max_output=100)

    @asynccontextmanager
    async def stream(self, prompt: Prompt) -> AsyncIterator[Stream]:
        yield self

    async def drain(self, sink: Callable[[Sequence[Delta]], None]) -> None:
        sink([Stop("end")])

    async def models(self) -> Sequence[ModelInfo]:
        return ()

    async def prewarm(self) -> None: ...

    def status(self) -> tuple[str, str]:
        return "ready", ""

    def reconfigure(self, timeouts: Timeouts) -> None: ...

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            self.story.append(f"{self.called} ended")

    async def aclose(self) -> None:
        self.story.append(f"{self.called} closed")


async def test_what_was_replaced_is_closed_when_it_is_quiet(autojump_clock: trio.testing.MockClock) -> None:
    """Not before its last reply has ended, and at the stop of the daemon only those that are left."""
    Recorder.story.clear()
    toml = 'providers.mine = {path = "tests.test_wiring_providers:Recorder", base_url = "http://%s"}'
    async with running(configure(toml % "a")) as providers:
        async with providers["mine"].stream(HELLO), providers["mine"].stream(HELLO):
            assert await providers.replace(configure(toml % "b")) == ["mine"]
            assert await providers.replace(configure(toml % "c")) == ["mine"]
            await trio.testing.wait_all_tasks_blocked()
            assert sorted(Recorder.story) == ["http://b closed", "http://b ended"]
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(Recorder.story[2:]) == ["http://a closed", "http://a ended"]
    assert sorted(Recorder.story[4:]) == ["http://c closed", "http://c ended"]


def test_a_class_that_is_none() -> None:
    """An error of the configuration, before anything runs."""
    with pytest.raises(ConfigError, match=r"providers\.mine\.path: .*: no class Nobody there"):
        Providers(configure('providers.mine.path = "tests.test_wiring_providers:Nobody"'))


class Slow(Recorder):
    """It notes in `story` which thread makes it."""

    def __init__(self, config: ProviderConfig, timeouts: Timeouts) -> None:
        super().__init__(config, timeouts)
        self.story.append(threading.current_thread().name)


async def test_code_of_others_is_imported_beside_the_loop() -> None:
    """It may take long, and every session waits for the loop. One that cannot be imported changes nothing."""
    async with running(configure()) as providers:
        Recorder.story.clear()
        assert await providers.replace(configure('providers.mine.path = "tests.test_wiring_providers:Slow"')) == ["mine"]
        await check(configure('providers.mine.path = "tests.test_wiring_providers:Slow"'))
        assert len(Recorder.story) == 2 and threading.current_thread().name not in Recorder.story
        before = providers["mine"]
        with pytest.raises(ConfigError, match="no class Nobody"):
            await providers.replace(configure('providers.mine.path = "tests.test_wiring_providers:Nobody"'))
        assert providers["mine"] is before


async def test_a_key_that_is_gone_is_another() -> None:
    """A request that began with more keys than there are now is answered all the same."""
    toml = 'providers.mine = {base_url = "%s", api_key = "only"}'
    async with serve(lambda _: text("yes")) as server, running(configure(toml % server.url)) as providers:
        assert await ask(providers, "mine", key=5) == "yes"


async def test_a_stop_closes_also_what_was_replaced(autojump_clock: trio.testing.MockClock) -> None:
    """While a reply of the old one was still under way."""
    Recorder.story.clear()
    toml = 'providers.mine = {path = "tests.test_wiring_providers:Recorder", base_url = "http://%s"}'
    async with running(configure(toml % "a")) as providers, providers["mine"].stream(HELLO):
        await providers.replace(configure(toml % "b"))
        await trio.testing.wait_all_tasks_blocked()
        assert Recorder.story == []
    assert sorted(Recorder.story)[::2] == ["http://a closed", "http://b closed"]


async def test_one_that_is_no_more_configured() -> None:
    """Who began to ask it may still; it is no name any more."""
    async with running(configure('providers.mine.base_url = "http://h"')) as providers:
        before = providers["mine"]
        assert await providers.replace(configure()) == []
        assert "mine" not in set(providers) and providers["mine"] is before
        with pytest.raises(KeyError):
            providers["never"]
