"""The real daemon with several providers of its own, and a configuration that changes under it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agentwire.errors import ConfigError
from tests.client.cli import agentctl
from tests.fakes.history import text_of
from tests.fakes.real import Home, Models, rule, say

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
LONG = "one two three four five six seven eight nine ten"
KEY = "sk-0123456789abcdef0123"


@pytest.fixture
def old() -> Iterator[Models]:
    with Models([rule("slowly", say(LONG, delay=0.1)), rule("", say("From the old."))]) as models:
        yield models


@pytest.fixture
def new() -> Iterator[Models]:
    with Models([rule("", say("From the new."))]) as models:
        yield models


@pytest.fixture
def home() -> Iterator[Home]:
    with Home() as home:
        yield home


def lab(home: Home, models: Models, *more: str) -> None:
    """The configuration: one provider, an alias that is the default model."""
    lines = ['model = "fast"', *more, "[providers.lab]", f'base_url = "http://127.0.0.1:{models.port}/v1"', f'api_key = "{KEY}"']
    home.write("config/config.toml", "\n".join([*lines, "[models]", 'fast = ["lab/scripted-1"]']))


async def ended(peer: Any, session: str) -> str:
    """The text of the turn that runs, once it is done."""
    finished = (await peer.until("turn_finished"))["data"]
    assert finished["outcome"] == "done", finished
    return text_of(await peer.log(session), finished["turn"])


async def test_a_new_address_counts_for_the_next_request(home: Home, old: Models, new: Models) -> None:
    """A reply that is under way ends as it began, from the old one; the next is the new one's."""
    lab(home, old)
    daemon = home.start()
    async with daemon.connect() as first, daemon.connect() as second:
        session = await first.create()
        await first.prompt(session, "slowly")
        await first.until("delta")
        lab(home, new)
        assert (await second.call("daemon/reload"))["changed"] == ["providers.lab.base_url"]
        other = await second.create()
        await second.prompt(other, "and now?")
        assert await ended(second, other) == "From the new."
        assert await ended(first, session) == LONG
    assert (len(old.requests()), len(new.requests())) == (1, 1)
    assert await daemon.stop() == 0


async def test_what_is_asked_follows_the_configuration(home: Home, old: Models, new: Models) -> None:
    """An alias may come to mean something else, parameters reach the request, and what leads nowhere changes nothing."""
    lab(home, old)
    daemon = home.start()
    async with daemon.connect() as peer:
        session = await peer.create()
        await peer.prompt(session, "hello")
        assert await ended(peer, session) == "From the old."
        lab(home, new, "parameters.'lab/*' = {temperature = 0.25, extra = {seed = 7}}")
        await peer.call("daemon/reload")
        other = await peer.create()
        await peer.prompt(other, "hello")
        assert await ended(peer, other) == "From the new."
        (asked,) = new.requests()
        assert (asked["body"]["temperature"], asked["body"]["seed"]) == (0.25, 7)
        with (home.path / "config/config.toml").open("a") as file:
            file.write("\nslow = 'nobody/x'\n")
        with pytest.raises(ConfigError, match="nobody"):
            await peer.call("daemon/reload")
    assert await daemon.stop() == 0


def test_what_is_configured_is_shown_without_its_secrets(home: Home, old: Models) -> None:
    """Providers in `status`, aliases in `model list`, everything with its source in `config show`; no key, also not in the log."""
    lab(home, old)
    home.start(ANTHROPIC_API_KEY_1=KEY + "x", DEEPSEEK_API_KEY=KEY + "y")
    states = {provider["name"]: provider["state"] for provider in agentctl(home.path, "status", "--json").document["providers"]}
    assert set(states) == {"local", "lab", "anthropic", "deepseek"}
    shown = {value["key"]: value for value in agentctl(home.path, "config", "show", "--json").document}
    assert shown["providers.anthropic.api_keys"]["value"] == ["sk-…123x"]
    assert shown["providers.anthropic.api_keys"]["source"] == "environment (ANTHROPIC_API_KEY_1)"
    assert shown["models.fast.candidates"]["value"] == ["lab/scripted-1"]
    assert agentctl(home.path, "run", "hello").out == "From the old.\n"
    models = {model["id"]: model for model in agentctl(home.path, "model", "list", "--json").document}
    assert models["fast"]["default"] and models["fast"]["candidates"] == ["lab/scripted-1"]
    assert KEY not in str(shown) + str(models) + home.log
